#include "weights/weight_spec.h"

namespace bolide {

Dist::Range local_rows(const WeightSpec& spec, const WeightPart& part, const Dist& dist) {
  if (spec.shard == Shard::kVocab) return dist.vocab_part(part.rows);
  if (spec.shard != Shard::kOut) return {0, part.rows};
  if (part.heads == 0) return dist.tensor_part(part.rows);
  const int64_t head_size = part.rows / part.heads;
  const Dist::Range heads = dist.head_part(part.heads);
  return {heads.begin * head_size, heads.end * head_size};
}

Dist::Range local_cols(const WeightSpec& spec, const Dist& dist) {
  return spec.shard == Shard::kIn ? dist.tensor_part(spec.cols()) : Dist::Range{0, spec.cols()};
}

Shape local_shape(const WeightSpec& spec, const Dist& dist) {
  Shape shape = spec.shape;
  shape[0] = 0;
  for (const WeightPart& part : parts_of(spec)) shape[0] += local_rows(spec, part, dist).size();
  if (spec.is_matrix()) shape[1] = local_cols(spec, dist).size();
  return shape;
}

WeightStorage storage_of(const WeightSpec& spec, const WeightStorage& storage) {
  return spec.dense ? WeightStorage(storage.dtype) : storage;
}

int64_t weight_bytes(std::span<const WeightSpec> specs, const Dist& dist, const WeightStorage& storage) {
  int64_t bytes = 0;
  for (const WeightSpec& spec : specs) {
    const Shape shape = local_shape(spec, dist);
    const WeightStorage own = storage_of(spec, storage);
    bytes += spec.is_matrix() ? own.scheme->bytes(shape[0], shape[1], own.dtype, Device::kCpu)
                              : shape.count() * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

}  // namespace bolide
