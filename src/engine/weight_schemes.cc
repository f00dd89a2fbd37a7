#include "bolide/engine.h"
#include "quant/weight_scheme.h"

namespace bolide {

std::vector<WeightSchemeInfo> weight_schemes() {
  std::vector<WeightSchemeInfo> schemes;
  for (const WeightScheme* scheme : all_weight_schemes())
    schemes.push_back({scheme->name, scheme->summary, scheme->int8_mode});
  return schemes;
}

}  // namespace bolide
