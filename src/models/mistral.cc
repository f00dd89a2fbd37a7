#include "models/mistral.h"

#include "models/config.h"
#include "models/gated_decoder.h"

namespace bolide {
namespace {

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_gated_decoder(json,
                                          {.architecture = kMistralFamily.architecture,
                                           .hidden_size = 4096,
                                           .inter_size = 14336,
                                           .kv_heads = 8,
                                           .bos_id = 1,
                                           .rope = {.positions = 131072}},
                                          where);
  const int64_t window = read_sliding_window(json, 4096, where);
  if (window > 0) read.model.windows.assign(static_cast<size_t>(read.model.layers), window);
  return settle(std::move(read));
}

}  // namespace

const Family kMistralFamily = {"MistralForCausalLM", "mistral", read_hf_config,
                               kGatedDecoderNames,   nullptr,   build_decoder};

}  // namespace bolide
