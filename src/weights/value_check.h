#pragma once

#include "checkpoint/tensor_source.h"

namespace bolide {

// The index of the first of `count` values of type `from` that no weight may have: NaN, infinity, or one that
// would become infinite as a `to`. -1 when there is none. At the speed of memory; data aligned to its type.
int64_t find_bad_value(const void* data, DType from, DType to, int64_t count);

// Throws kCorrupt, or kUsage when it is `to` that is too narrow, naming tensor, element and file, when what
// `source` has read of this slice of `name` into `data` holds such a value.
void check_values(const TensorSource& source, const std::string& name, const Slice& slice, const void* data,
                  DType to);

}  // namespace bolide
