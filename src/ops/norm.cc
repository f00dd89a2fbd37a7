#include "ops/norm.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {
namespace {

// q and k of one step, by rows.
void check_heads(const Context& context, const View& q, const View& k) {
  check_context(context);
  BOLIDE_CHECK(q.shape.rank() == 2 && k.shape.rank() == 2);
  check_activations(context, "q", q, q.shape[0], q.shape[1]);
  check_matrix(context, "k", k, q.shape[0], k.shape[1], q.dtype);
  BOLIDE_CHECK(!overlap(q, k), "q overlaps k");
}

}  // namespace

void layer_norm(const Context& context, const LayerNormArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.x.shape.rank() == 2);
  check_matrix(context, "x", args.x, args.x.shape[0], args.x.shape[1]);
  check_activations(context, "y", args.y, args.x.shape[0], args.x.shape[1]);
  check_norm(context, args.norm, args.x.shape[1]);
  BOLIDE_CHECK(!args.accumulate || (args.y.dtype == DType::kF32 && !overlap(args.x, args.y)),
               "only fp32 that is not x accumulates");
  BOLIDE_CHECK(same(args.x, args.y) || !overlap(args.x, args.y), "y overlaps x without being x");
  if (args.x.shape.count() == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::layer_norm(context, args);
  }
  cpu::layer_norm(context, args);
}

void head_norm(const Context& context, const HeadNormArgs& args) {
  check_heads(context, args.q, args.k);
  BOLIDE_CHECK(args.q_norm.rms == args.k_norm.rms && args.ranks >= 1);
  const auto check = [&](const View& x, const Norm& norm) {
    const int64_t width = x.shape[1], each = args.head_size > 0 ? args.head_size : width;
    BOLIDE_CHECK(each > 0 && width % each == 0, "{} columns, heads of {}", width, each);
    check_norm(context, norm, norm.weight.shape[0] == each ? each : width);
  };
  check(args.q, args.q_norm);
  check(args.k, args.k_norm);
  if (!args.squares.empty()) {
    BOLIDE_CHECK(args.head_size == 0 && args.q_norm.rms, "whole rows and RMS norms alone");
    check_matrix(context, "squares", args.squares, args.q.shape[0], 2);
  }
  if (args.q.shape[0] == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::head_norm(context, args);
  }
  cpu::head_norm(context, args);
}

void row_squares(const Context& context, const RowSquaresArgs& args) {
  check_heads(context, args.q, args.k);
  check_matrix(context, "y", args.y, args.q.shape[0], 2);
  BOLIDE_CHECK(args.y.contiguous() && !overlap(args.q, args.y) && !overlap(args.k, args.y));
  if (args.q.shape[0] == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::row_squares(context, args);
  }
  cpu::row_squares(context, args);
}

}  // namespace bolide
