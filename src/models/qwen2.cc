#include "models/qwen2.h"

#include "models/gated_decoder.h"

namespace bolide {
namespace {

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_gated_decoder(json,
                                          {.architecture = kQwen2Family.architecture,
                                           .vocab_size = 151936,
                                           .hidden_size = 4096,
                                           .inter_size = 22016,
                                           .kv_heads = 32,
                                           .rope = {.positions = 32768}},
                                          where);
  read.graph.biases.qkv = true;
  read_upper_windows(json, read.model, where);
  return settle(std::move(read));
}

}  // namespace

const Family kQwen2Family = {"Qwen2ForCausalLM", "qwen2", read_hf_config,
                             kGatedDecoderNames, nullptr, build_decoder};

}  // namespace bolide
