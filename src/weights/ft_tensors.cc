#include "weights/ft_tensors.h"

namespace bolide {

std::vector<FtTensor> ft_tensors(std::span<const WeightSpec> specs, const NameTable& names) {
  std::vector<FtTensor> tensors;
  for (const WeightSpec& spec : specs) {
    for (const WeightSource& source : sources_of(spec, names)) {
      const Shape shape = stored_shape(spec, source);
      int split = -1;
      if (spec.shard == Shard::kOut) split = shape.rank() - 1;
      if (spec.shard == Shard::kIn) split = 0;
      tensors.push_back({source.names.front(), shape, split});
    }
  }
  return tensors;
}

}  // namespace bolide
