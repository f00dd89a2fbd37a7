#include <algorithm>
#include <limits>

#include "ops/attention.h"
#include "ops/cuda/attention_kernels.h"
#include "ops/cuda/device/attention_pages.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/launch.h"
#include "ops/limits.h"

namespace bolide::cuda {
namespace {

// Queries of a sequence from which a tile of them is better than row by row.
constexpr int64_t kFlashQueries = 8;
// And from which tiles of 128 of them are better than tiles of 64.
constexpr int64_t kHopperQueries = 65;
constexpr float kLog2e = 1.4426950408889634f;

// Grid: x = tokens, y = k and v. One block stores one token's keys or values of all heads.
template <class T, bool kVectors>
__global__ void kv_write_kernel(const __grid_constant__ AttentionParams p) {
  constexpr int kCount = kVectors ? kVector<T> : 1;
  let_next_start();
  wait_for_previous();
  const Matrix& from = blockIdx.y == 0 ? p.k : p.v;
  T* to = static_cast<T*>(blockIdx.y == 0 ? p.k_pages : p.v_pages);
  const int64_t slot = p.slots[blockIdx.x];
  const int width = p.kv_heads * p.head_size;
  for (int i = static_cast<int>(threadIdx.x) * kCount; i < width;
       i += static_cast<int>(blockDim.x) * kCount) {
    const int head = i / p.head_size;
    T* at = to + static_cast<int64_t>(slot_row(p, slot, head)) * p.head_size + i - head * p.head_size;
    float x[kCount];
    load(from, blockIdx.x, i, width, x);
    if constexpr (kVectors) {
      *reinterpret_cast<uint4*>(at) = pack<T>(x);
    } else {
      *at = from_f32<T>(x[0]);
    }
  }
}

template <class T>
void write_pages(const Context& context, const AttentionParams& p) {
  const bool vectors = p.head_size % kVector<T> == 0;
  const int64_t pieces = int64_t{p.kv_heads} * p.head_size / (vectors ? kVector<T> : 1);
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(p.rows), 2),
      .block = dim3(static_cast<unsigned>(std::clamp<int64_t>((pieces + 31) / 32 * 32, 32, 256))),
      .division = division_for(p.rows)};
  launch(context, "kv_write", vectors ? kv_write_kernel<T, true> : kv_write_kernel<T, false>, shape, p);
}

Matrix matrix(const View& view, int64_t head_size) {
  if (view.empty()) return {};
  const auto bytes = static_cast<int64_t>(size_of(view.dtype));
  const bool aligned = reinterpret_cast<uintptr_t>(view.data) % 16 == 0 && head_size * bytes % 16 == 0 &&
                       (view.shape[0] <= 1 || view.row_stride * bytes % 16 == 0);
  return {.data = view.data, .stride = view.row_stride, .dtype = view.dtype, .vectors = aligned};
}

// What k and v pages have in common; indices into them are 32-bit rows of head_size elements.
void set_pages(AttentionParams& p, const View& k, const View& v) {
  const int64_t head_size = k.shape[3];
  BOLIDE_CHECK(
      head_size <= kMaxHeadSize && k.shape[0] - 1 <= most_pages(Device::kCuda, k.shape[1], k.shape[2]),
      "pages are {}", k.shape.str());
  BOLIDE_CHECK(reinterpret_cast<uintptr_t>(k.data) % 16 == 0 &&
               reinterpret_cast<uintptr_t>(v.data) % 16 == 0);
  p.k_pages = k.data;
  p.v_pages = v.data;
  p.page_size = FastDivide(static_cast<uint32_t>(k.shape[2]));
  p.kv_heads = static_cast<int32_t>(k.shape[1]);
  p.head_size = static_cast<int32_t>(head_size);
}

void set_rare(const Context& context, AttentionParams& p, const AttentionArgs& args) {
  p.soft_cap_log2 = args.soft_cap * kLog2e;
  const View& relative = args.position.relative;
  p.relative = relative.empty() ? nullptr : relative.as<float>();
  p.far = relative.empty() ? 0 : static_cast<int32_t>(relative.shape[1] / 2);
  p.mask = args.mask.kind;
  p.window = args.mask.window == 0 ? kNoWindow : static_cast<int32_t>(args.mask.window);
  p.prefix_lengths = args.mask.prefix_lengths.data();
  // What another kernel is for depends on what else there is, and its sums need not be the same to the bit.
  if (context.deterministic) return;
  // A row that is the last of its sequence sees the same keys whatever the kind, and a window that no text
  // reaches is none.
  if (args.max_query <= 1) p.mask = MaskKind::kCausal;
  if (args.mask.window >= args.max_kv_length) p.window = kNoWindow;
}

bool flash_possible(const AttentionParams& p, DType pages) {
  return pages != DType::kF32 && p.q.dtype == pages && p.head_size % 8 == 0 && p.q.vectors && p.y.vectors &&
         p.scale_log2 > 0 && flash_fits(p.head_size);
}

}  // namespace

void kv_write(const Context& context, const KvWriteArgs& args) {
  AttentionParams p{};
  set_pages(p, args.k_pages, args.v_pages);
  p.k = matrix(args.k, p.head_size);
  p.v = matrix(args.v, p.head_size);
  p.slots = args.slots.data();
  p.rows = static_cast<int64_t>(args.slots.size());
  if (p.rows == 0) return;
  dispatch_float(args.k_pages.dtype, [&]<class T>() { write_pages<device_t<T>>(context, p); });
}

void attention(const Context& context, const AttentionArgs& args) {
  const PagedKv& kv = args.kv;
  AttentionParams p{};
  set_pages(p, kv.k, kv.v);
  p.q = matrix(args.q, p.head_size);
  p.y = matrix(args.y, p.head_size);
  p.k = matrix(args.k, p.head_size);
  p.v = matrix(args.v, p.head_size);
  p.slots = args.slots.data();
  p.page_table = kv.page_table.data();
  p.max_pages = kv.max_pages;
  p.query_offsets = args.query_offsets.data();
  p.kv_lengths = args.kv_lengths.data();
  p.sequences = static_cast<int32_t>(args.kv_lengths.size());
  p.rows = args.q.rows();
  p.heads = static_cast<int32_t>(args.heads);
  p.alibi_slopes = args.position.alibi_slopes.empty() ? nullptr : args.position.alibi_slopes.as<float>();
  p.scale_log2 = args.scale * kLog2e;
  set_rare(context, p, args);
  if (p.rows == 0) return;

  const bool brings = !args.k.empty();
  const bool fused = brings && args.max_query == 1 && p.rows == p.sequences;
  const bool decodes = fused && !context.deterministic;
  bool turns = !args.cos.empty();
  if (turns && decodes && !args.interleaved && 2 * args.cos.shape[1] == p.head_size &&
      (p.rows == 1 || args.cos.row_stride == args.sin.row_stride)) {
    p.cos = args.cos.as<float>();
    p.sin = args.sin.as<float>();
    p.angle_stride = args.cos.row_stride;
  } else if (turns) {
    turn(context, args);
    turns = false;
  }
  if (brings && !fused) dispatch_float(kv.k.dtype, [&]<class T>() { write_pages<device_t<T>>(context, p); });
  if (decodes && attention_decode(context, p, kv.k.dtype, kv.k.shape[0], args.max_kv_length)) return;
  if (turns) turn(context, args);
  if (args.max_query >= kFlashQueries && !context.deterministic && flash_possible(p, kv.k.dtype)) {
    if (args.max_query >= kHopperQueries && hopper_fits(p, kv.k.shape[0])) {
      attention_hopper(context, p, kv.k.shape[0], args.max_kv_length);
    } else {
      attention_flash(context, p, args.max_kv_length);
    }
  } else {
    attention_rows(context, p, kv.k.dtype, args.max_kv_length, fused);
  }
}

}  // namespace bolide::cuda
