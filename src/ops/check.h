#pragma once

#include <string_view>

#include "ops/norm.h"
#include "tensor/has_cuda.h"

namespace bolide {

// What every op asserts of its arguments before a backend sees them. A violation is a fault of the caller's
// code, not of a user, so it aborts.

inline void check_context(const Context& context) {
  BOLIDE_CHECK(context.threads >= 1, "threads = {}", context.threads);
  BOLIDE_CHECK(context.device == Device::kCpu || kHasCuda || context.counting(),
               "this build has no CUDA backend");
}

inline void check_vector(const Context& context, std::string_view name, const View& v, int64_t count,
                         DType dtype = DType::kF32) {
  BOLIDE_CHECK(v.device == context.device && v.dtype == dtype && v.shape.rank() == 1 && v.shape[0] == count &&
                   (v.data || count == 0),
               "{}: {} {}, expected {} [{}]", name, name_of(v.dtype), v.shape.str(), name_of(dtype), count);
}

// [rows, columns] of one dtype, whose rows may be strided.
inline void check_matrix(const Context& context, std::string_view name, const View& v, int64_t rows,
                         int64_t columns, DType dtype = DType::kF32) {
  BOLIDE_CHECK(v.device == context.device && v.dtype == dtype && v.shape.rank() == 2 && v.shape[0] == rows &&
                   v.shape[1] == columns && (v.row_stride >= columns || rows <= 1) &&
                   (v.data || rows * columns == 0),
               "{}: {} {} with row stride {}, expected {} [{}, {}]", name, name_of(v.dtype), v.shape.str(),
               v.row_stride, name_of(dtype), rows, columns);
}

// The same, fp32 or what ops hand to each other.
inline void check_activations(const Context& context, std::string_view name, const View& v, int64_t rows,
                              int64_t columns) {
  check_matrix(context, name, v, rows, columns,
               v.dtype == context.activation ? context.activation : DType::kF32);
}

// A norm of rows of so many elements.
inline void check_norm(const Context& context, const Norm& norm, int64_t hidden) {
  check_vector(context, "norm.weight", norm.weight, hidden);
  if (!norm.rms) check_vector(context, "norm.bias", norm.bias, hidden);
  BOLIDE_CHECK(!norm.rms || norm.bias.empty(), "an RMS norm has no bias");
}

// Whether two rank-2 views share an element. Exact for column blocks of one matrix, conservative otherwise.
bool overlap(const View& a, const View& b);
// The very same elements.
inline bool same(const View& a, const View& b) {
  return a.data == b.data && a.dtype == b.dtype && a.shape == b.shape && a.row_stride == b.row_stride;
}

}  // namespace bolide
