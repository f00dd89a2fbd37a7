#pragma once

#include "models/gated_decoder.h"

namespace bolide {

// What all Gemmas have: norms whose weights count from 1, and a scaled embedding. `defaults` as
// read_gated_decoder() takes them, but for what is the same in all.
DecoderConfig read_scaled_decoder(const Json& json, GatedDecoderDefaults defaults, std::string_view where);
// And Gemma 2 and 3: norms before and after each sublayer, a scale of their own for attention, caps.
DecoderConfig read_capped_decoder(const Json& json, GatedDecoderDefaults defaults, double attention_cap,
                                  double logit_cap, std::string_view where);
// The names of the norms of these.
extern const NameTable kCappedDecoderNames;

}  // namespace bolide
