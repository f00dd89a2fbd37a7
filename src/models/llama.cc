#include "models/llama.h"

#include "models/gated_decoder.h"

namespace bolide {
namespace {

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_gated_decoder(json,
                                          {.architecture = kLlamaFamily.architecture,
                                           .hidden_size = 4096,
                                           .inter_size = 11008,
                                           .bos_id = 1,
                                           .rope = {.positions = 2048}},
                                          where);
  const bool biases = json_get_or<bool>(json, "attention_bias", false, where);
  read.graph.biases = {
      .qkv = biases, .attention_out = biases, .mlp = json_get_or<bool>(json, "mlp_bias", false, where)};
  return settle(std::move(read));
}

}  // namespace

const Family kLlamaFamily = {"LlamaForCausalLM", "llama", read_hf_config,
                             kGatedDecoderNames, nullptr, build_decoder};

}  // namespace bolide
