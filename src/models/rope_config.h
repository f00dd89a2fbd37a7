#pragma once

#include "base/json.h"
#include "layers/rotary.h"
#include "models/model.h"

namespace bolide {

// What a family's config class has where the file says nothing, and what it calls it.
struct RopeDefaults {
  int64_t positions = 0;  // max_position_embeddings
  double theta = 10000;
  const char* theta_key = "rope_theta";
  // Of a head's elements that turn; 0: all, and the family reads no such key.
  double partial = 0;
  const char* partial_key = "partial_rotary_factor";
  // original_max_position_embeddings beside the table, which then decides; 0: the table's own counts, too.
  int64_t original_positions = 0;
};
// The rotary positions of a config.json, in transformers 5's "rope_parameters" or the older "rope_scaling"
// and "rope_theta". kUnsupported for a kind that this version does not have, kCorrupt for numbers that no
// such kind can have.
RopeParameters read_rope_parameters(const Json& config, const RopeDefaults& defaults,
                                    const ModelConfig& sizes, std::string_view where);
// The same of `table`, the object that says it; null: nothing is said.
RopeParameters read_rope_table(const Json* table, const Json& config, const RopeDefaults& defaults,
                               const ModelConfig& sizes, std::string_view where);
// kUnsupported unless they are plain, or stretched by long and short factors.
void check_plain_or_long(const RopeParameters& rope, std::string_view where);
// The object of this name in a config, or null.
const Json* find_object(const Json& config, const char* key, std::string_view where);
// The elements of a head that turn.
int64_t rotary_dims(const RopeParameters& rope, const ModelConfig& sizes);

}  // namespace bolide
