#include "ops/matmul.h"

#include <limits>

#include "ops/candidates.h"
#include "ops/check.h"
#include "ops/cuda/matmul_kernels.h"
#include "ops/gate.h"
#include "tensor/has_cuda.h"

namespace bolide {
namespace {

void check_argmax(const Context& context, const MatmulArgs& args) {
  const int64_t tokens = args.y.shape[0], columns = args.y.shape[1], begin = args.argmax.begin;
  check_matrix(context, "argmax.values", args.argmax.values, tokens, 1);
  check_matrix(context, "argmax.ids", args.argmax.ids, tokens, 1, DType::kI32);
  BOLIDE_CHECK(begin >= 0 && begin + columns <= std::numeric_limits<int32_t>::max());
  BOLIDE_CHECK(args.y.dtype == DType::kF32 && !args.accumulate, "the largest of an fp32 product alone");
}

// The scratch that a GPU's kernels take. What cuBLASLt wants is the most, so where it serves so many rows
// this is what is taken, and for fewer no less.
void count_on_gpu(const Context& context, const MatmulArgs& args) {
  const PackedMatrix& w = *args.w;
  const DType dtype = cuda::x_dtype(w);
  const int64_t tokens = args.x.shape[0];
  const Arena::Scope scope(*context.arena);
  if (cuda::cublaslt_copies(args)) context.arena->take({tokens, w.padded_cols()}, dtype);
  if (context.deterministic || !cuda::cublaslt_wins(w, tokens)) return;
  if (w.dtype == DType::kI8) context.arena->take({cuda::share_of_rows(w), w.padded_cols()}, dtype);
  context.arena->take({kMatmulWorkspaceBytes}, DType::kU8);
}

// True if it has found args.argmax, too.
bool product(const Context& context, const MatmulArgs& args) {
  if (args.w->rows == 0) return false;
  if (context.counting() && context.device == Device::kCuda) {
    count_on_gpu(context, args);
    return false;
  }
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::matmul(context, args);
  }
  cpu::matmul(context, args);
  return false;
}

// Whether a GPU's kernels multiply first and gate then. (Of a matrix whose rows do not fit into shared memory
// own kernels do, too, which is why deterministic engines count it.)
bool gates_after(const Context& context, const MatmulArgs& args) {
  return context.deterministic || cuda::x_dtype(*args.w) == DType::kF32 ||
         cuda::cublaslt_wins(*args.w, args.x.shape[0]);
}

void gated(const Context& context, const MatmulArgs& args) {
  if (args.w->rows == 0) return;
  if (context.counting() && context.device == Device::kCuda && !gates_after(context, args))
    return count_on_gpu(context, args);
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda && !context.counting() && cuda::gated_matmul(context, args)) return;
  }
  gate_after_matmul(context, args, args.w->rows, [&](const MatmulArgs& both) { product(context, both); });
}

}  // namespace

void matmul(const Context& context, const MatmulArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.w != nullptr && args.x.shape.rank() == 2);
  const int64_t tokens = args.x.shape[0];
  BOLIDE_CHECK(args.w->device == context.device);
  if (args.norm.weight.empty()) {
    check_activations(context, "x", args.x, tokens, args.w->cols);
  } else {
    check_matrix(context, "x", args.x, tokens, args.w->cols);
    check_norm(context, args.norm, args.w->cols);
  }
  BOLIDE_CHECK(!args.gated || (args.w->rows % 2 == 0 && !args.accumulate && !args.argmax.wanted()));
  check_activations(context, "y", args.y, tokens, args.gated ? args.w->rows / 2 : args.w->rows);
  if (!args.bias.empty()) check_vector(context, "bias", args.bias, args.w->rows, args.y.dtype);
  BOLIDE_CHECK(!args.accumulate || (args.y.dtype == DType::kF32 && args.activation == Activation::kNone),
               "only fp32 without activation accumulates");
  BOLIDE_CHECK(!overlap(args.x, args.y), "y overlaps x");
  const Argmax& argmax = args.argmax;
  if (argmax.wanted()) check_argmax(context, args);
  if (tokens == 0) return;
  if (args.gated) return gated(context, args);
  if (!product(context, args) && argmax.wanted())
    candidates(context,
               {.logits = args.y, .begin = argmax.begin, .values = argmax.values, .ids = argmax.ids});
}

}  // namespace bolide
