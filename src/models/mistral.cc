#include "models/mistral.h"

#include "models/config.h"
#include "models/gated_decoder.h"

namespace bolide {
namespace {

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  ModelConfig config =
      read_gated_decoder(json, {.hidden_size = 4096, .inter_size = 14336, .kv_heads = 8, .positions = 131072},
                         kMistralFamily.architecture, where);
  const int64_t window = read_sliding_window(json, 4096, where);
  if (window > 0) config.windows.assign(static_cast<size_t>(config.layers), window);
  return config;
}

}  // namespace

const Family kMistralFamily = {"MistralForCausalLM", "mistral", read_hf_config,
                               kGatedDecoderNames,   nullptr,   build_gated_decoder};

}  // namespace bolide
