#include "models/qwen3.h"

#include "models/gated_decoder.h"

namespace bolide {
namespace {

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_gated_decoder(json,
                                          {.architecture = kQwen3Family.architecture,
                                           .vocab_size = 151936,
                                           .hidden_size = 4096,
                                           .inter_size = 22016,
                                           .kv_heads = 32,
                                           .head_size = 128,
                                           .rope = {.positions = 32768}},
                                          where);
  const bool biases = json_get_or<bool>(json, "attention_bias", false, where);
  read.graph.biases.qkv = read.graph.biases.attention_out = biases;
  read.graph.head_norms = HeadNorms::kShared;
  read_upper_windows(json, read.model, where);
  return settle(std::move(read));
}

}  // namespace

const Family kQwen3Family = {"Qwen3ForCausalLM", "qwen3", read_hf_config,
                             kGatedDecoderNames, nullptr, build_decoder};

}  // namespace bolide
