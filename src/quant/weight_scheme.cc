#include "quant/weight_scheme.h"

#include <vector>

#include "base/error.h"
#include "quant/int8/int8.h"

namespace bolide {
namespace {

constexpr const WeightScheme* kSchemes[] = {&kDenseScheme, &kInt8Scheme};

}  // namespace

std::span<const WeightScheme* const> all_weight_schemes() { return kSchemes; }

const WeightScheme& find_weight_scheme(std::string_view name) {
  if (name.empty()) return *kSchemes[0];
  std::vector<std::string_view> names;
  for (const WeightScheme* scheme : kSchemes) {
    if (scheme->name == name) return *scheme;
    names.push_back(scheme->name);
  }
  fail(ErrorCode::kUsage, "unknown weight scheme '{}': use {}", name, fmt::join(names, " or "));
}

}  // namespace bolide
