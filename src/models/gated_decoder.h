#pragma once

// Decoders with RMS norms, rotary positions and gated MLPs, whose config.json has the usual keys and whose
// weights have the usual names.
#include <any>

#include "models/decoder.h"
#include "models/family.h"

namespace bolide {

// What transformers' config class of a family has where a file says nothing.
struct GatedDecoderDefaults {
  int64_t hidden_size, inter_size, kv_heads;  // 0 kv_heads: as many as heads
  int64_t positions;
};

// What such graphs differ in, in ModelConfig::family_config.
struct GatedDecoder {
  RopeParameters rope;
  Activation activation = Activation::kSilu;
  bool attention_bias = false, mlp_bias = false;
};

// Reads the keys that all have. What else a family's file may say, the family reads.
ModelConfig read_gated_decoder(const Json& json, const GatedDecoderDefaults& defaults,
                               std::string_view architecture, std::string_view where);
inline GatedDecoder& gated_decoder(ModelConfig& config) {
  return std::any_cast<GatedDecoder&>(config.family_config);
}
std::unique_ptr<Model> build_gated_decoder(const ModelConfig& config, const Dist& dist);
extern const NameTable kGatedDecoderNames;

}  // namespace bolide
