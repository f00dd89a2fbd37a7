#include "models/llama.h"

#include "models/gated_decoder.h"

namespace bolide {
namespace {

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  ModelConfig config =
      read_gated_decoder(json, {.hidden_size = 4096, .inter_size = 11008, .kv_heads = 0, .positions = 2048},
                         kLlamaFamily.architecture, where);
  gated_decoder(config).attention_bias = json_get_or<bool>(json, "attention_bias", false, where);
  gated_decoder(config).mlp_bias = json_get_or<bool>(json, "mlp_bias", false, where);
  return config;
}

}  // namespace

const Family kLlamaFamily = {"LlamaForCausalLM", "llama", read_hf_config,
                             kGatedDecoderNames, nullptr, build_gated_decoder};

}  // namespace bolide
