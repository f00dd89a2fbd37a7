// The register tiles that every instruction set has, through Highway.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/gemm_tile.cc"
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "hwy/foreach_target.h"
// Highway re-includes this file for each target: what it includes first must stay first.
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "ops/cpu/gemm_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace bolide::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
constexpr int kVectors = 16 / kLanes;  // of one panel
constexpr bool kWideRegisters = kLanes == 16;

// Rows of the largest tile and rows interleaved in x. 24 of AVX-512's 32 registers, 12 of AVX2's 16, hold
// sums; what is left holds weights and the broadcast x.
constexpr int kTileRows = kWideRegisters ? 12 : 6;
constexpr int kGroup = kWideRegisters ? 4 : 2;
// AVX2 takes up to 12 rows in one pass over the weights where these come from memory; see tile_by_halves().
constexpr int kMaxRows = kVectors == 2 ? 12 : kTileRows;

// How many panels a tile of `rows` rows takes at once where it may take two.
constexpr bool has_wide_tile(int rows) { return kWideRegisters || rows <= 3; }

// Weights<T>::load: vector `v` of a panel's 16 outputs at one step. A step is one k, or two for bf16 and
// int8.
template <class T>
struct Weights;

template <>
struct Weights<float> {
  static constexpr int kStep = 1;
  static HWY_INLINE void load(const std::byte* w, int v, V (&out)[1]) {
    out[0] = hn::Load(D(), reinterpret_cast<const float*>(w) + v * kLanes);
  }
};

template <>
struct Weights<f16> {
  static constexpr int kStep = 1;
  static HWY_INLINE void load(const std::byte* w, int v, V (&out)[1]) {
    const hn::Rebind<hwy::float16_t, D> half;
    out[0] = hn::PromoteTo(D(), hn::Load(half, reinterpret_cast<const hwy::float16_t*>(w) + v * kLanes));
  }
};

template <>
struct Weights<bf16> {
  static constexpr int kStep = 2;
  static HWY_INLINE void load(const std::byte* w, int v, V (&out)[2]) {
    const hn::RebindToUnsigned<D> bits;
    const auto pair = hn::Load(bits, reinterpret_cast<const uint32_t*>(w) + v * kLanes);
    out[0] = hn::BitCast(D(), hn::ShiftLeft<16>(pair));
    out[1] = hn::BitCast(D(), hn::And(pair, hn::Set(bits, 0xFFFF0000u)));
  }
};

template <>
struct Weights<int8_t> {
  static constexpr int kStep = 2;
  static HWY_INLINE void load(const std::byte* w, int v, V (&out)[2]) {
    const hn::Rebind<int8_t, D> bytes;
    const hn::RebindToSigned<D> whole;
    const auto* from = reinterpret_cast<const int8_t*>(w) + v * kLanes;
    out[0] = hn::ConvertTo(D(), hn::PromoteTo(whole, hn::Load(bytes, from)));
    out[1] = hn::ConvertTo(D(), hn::PromoteTo(whole, hn::Load(bytes, from + 16)));
  }
};

template <int kVecs>
HWY_INLINE void store_row(float* y, int64_t columns, bool accumulate, const float* scale, const V* sum) {
  const D d;
  if (HWY_LIKELY(columns >= kVecs * kLanes)) {
    for (int v = 0; v < kVecs; ++v) {
      const V before = accumulate ? hn::LoadU(d, y + v * kLanes) : hn::Zero(d);
      const V after =
          scale ? hn::MulAdd(sum[v], hn::LoadU(d, scale + v * kLanes), before) : hn::Add(before, sum[v]);
      hn::StoreU(after, d, y + v * kLanes);
    }
    return;
  }
  HWY_ALIGN float row[kVecs * kLanes];
  for (int v = 0; v < kVecs; ++v) hn::Store(sum[v], d, row + v * kLanes);
  for (int64_t c = 0; c < columns; ++c)
    y[c] = (accumulate ? y[c] : 0.0f) + (scale ? row[c] * scale[c] : row[c]);
}

// Vectors [first, first + kVecs) of kPanels panels; all of them but where a tile takes half a panel.
template <class T, int kRows, int kPanels, int kVecs, int kRowGroup>
HWY_INLINE void step(const float* const* x, const std::byte* w, int64_t panel, int first,
                     V (&sum)[kRows][kPanels * kVecs]) {
  constexpr int kStep = Weights<T>::kStep;
  V weight[kPanels * kVecs][kStep];
  for (int p = 0; p < kPanels; ++p)
    for (int v = 0; v < kVecs; ++v) Weights<T>::load(w + p * panel, first + v, weight[p * kVecs + v]);
#pragma GCC unroll 2
  for (int s = 0; s < kStep; ++s) {
#pragma GCC unroll 16  // sums must become registers before gcc looks for arrays to split
    for (int r = 0; r < kRows; ++r) {
      const V scale = hn::Set(D(), x[r / kRowGroup][s * kRowGroup + r % kRowGroup]);
      for (int v = 0; v < kPanels * kVecs; ++v) sum[r][v] = hn::MulAdd(scale, weight[v][s], sum[r][v]);
    }
  }
}

template <class T, int kRows, int kPanels, int kPanelVecs, int kRowGroup>
HWY_INLINE void multiply(const Tile& args, int first_vector) {
  constexpr int kStep = Weights<T>::kStep;
  constexpr int kVecs = kPanels * kPanelVecs;
  constexpr int kGroups = (kRows + kRowGroup - 1) / kRowGroup;
  constexpr int kLine = 64 / 16 / static_cast<int>(sizeof(T));  // k of a panel in one cache line
  constexpr int64_t kStepBytes = 16 * kStep * static_cast<int64_t>(sizeof(T));
  V sum[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(D());
  const float* x[kGroups];
  for (int g = 0; g < kGroups; ++g) x[g] = reinterpret_cast<const float*>(args.x + g * args.x_group);
  for (int r = 0; r < kRows; ++r) hwy::Prefetch(args.y + r * args.y_stride);
  const std::byte* w = args.w;
  const int64_t panel = args.w_panel;
  for (int64_t k = 0; k < args.k;) {
    const bool first = k < args.fetch_until;
    const int64_t end = first && args.fetch_until < args.k ? args.fetch_until : args.k;
    const int64_t fetch_step = first ? args.fetch_step : args.then_step;
    const std::byte* fetch[kPanels];
    for (int p = 0; p < kPanels; ++p) fetch[p] = first ? args.fetch[p] : args.then_fetch[p];
    for (; k + kLine <= end; k += kLine) {
      for (int p = 0; p < kPanels; ++p) {
        hwy::Prefetch(fetch[p]);
        fetch[p] += fetch_step;
      }
      step<T, kRows, kPanels, kPanelVecs, kRowGroup>(x, w, panel, first_vector, sum);
      // Not a loop over the steps of a line: gcc 12 then keeps the sums in memory.
      if constexpr (kLine > kStep) {
        for (int g = 0; g < kGroups; ++g) x[g] += kStep * kRowGroup;
        w += kStepBytes;
        step<T, kRows, kPanels, kPanelVecs, kRowGroup>(x, w, panel, first_vector, sum);
      }
      for (int g = 0; g < kGroups; ++g) x[g] += kStep * kRowGroup;
      w += kStepBytes;
    }
    for (; k < end; k += kStep) {  // half a line at the end of an odd row of fp16
      step<T, kRows, kPanels, kPanelVecs, kRowGroup>(x, w, panel, first_vector, sum);
      for (int g = 0; g < kGroups; ++g) x[g] += kStep * kRowGroup;
      w += kStepBytes;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    store_row<kVecs>(args.y + r * args.y_stride + first_vector * kLanes, args.columns - first_vector * kLanes,
                     args.accumulate, args.scale ? args.scale + first_vector * kLanes : nullptr, sum[r]);
}

template <class T, int kRows, int kPanels, int kRowGroup = kGroup>
void tile(const Tile& args, int) {
  multiply<T, kRows, kPanels, kVectors, kRowGroup>(args, 0);
}

// A panel in halves, for more rows than registers hold sums of a whole one: the second half's lines are in
// the first-level cache, and no weight is converted twice.
template <class T, int kRows>
void tile_by_halves(const Tile& args, int) {
  multiply<T, kRows, 1, 1, kGroup>(args, 0);
  Tile again = args;
  again.fetch_until = again.then_step = 0;
  again.then_fetch[0] = again.w;
  multiply<T, kRows, 1, 1, kGroup>(again, 1);
}

// One panel's block of k, widened to fp32 in fp32's layout.
template <class T>
void widen(const std::byte* w, int64_t k, std::byte* to) {
  using W = Weights<T>;
  auto* out = reinterpret_cast<float*>(to);
  for (int64_t i = 0; i < k; i += W::kStep) {
    for (int v = 0; v < kVectors; ++v) {
      V step[W::kStep];
      W::load(w + i * 16 * static_cast<int64_t>(sizeof(T)), v, step);
      for (int s = 0; s < W::kStep; ++s) hn::Store(step[s], D(), out + (i + s) * 16 + v * kLanes);
    }
  }
}

// To pairs of bf16, which hold these numbers exactly.
void widen_int8_to_bf16(const std::byte* w, int64_t k, std::byte* out) {
  const hn::RebindToUnsigned<D> bits;
  for (int64_t i = 0; i < k; i += 2) {
    for (int v = 0; v < kVectors; ++v) {
      V pair[2];
      Weights<int8_t>::load(w + i * 16, v, pair);
      const auto low = hn::ShiftRight<16>(hn::BitCast(bits, pair[0]));
      hn::Store(hn::Or(low, hn::BitCast(bits, pair[1])), bits,
                reinterpret_cast<uint32_t*>(out + i * 32) + v * kLanes);
    }
  }
}

template <class T, int kRows>
constexpr void fill(TileKernels& kernels) {
  if constexpr (kRows <= kTileRows) {
    kernels.narrow[kRows] = &tile<T, kRows, 1>;
    if constexpr (has_wide_tile(kRows)) kernels.wide[kRows] = &tile<T, kRows, 2>;
    fill<T, kRows + 1>(kernels);
  } else if constexpr (kRows <= kMaxRows) {
    kernels.narrow[kRows] = &tile_by_halves<T, kRows>;
    fill<T, kRows + 1>(kernels);
  }
}

template <class T>
constexpr TileKernels make_kernels() {
  TileKernels kernels;
  kernels.max_rows = kTileRows;
  kernels.most_rows = kMaxRows;
  kernels.group = kGroup;
  kernels.widen = &widen<T>;
  if constexpr (std::is_same_v<T, int8_t>) kernels.widen_bf16 = &widen_int8_to_bf16;
  kernels.narrow[0] = &tile<T, 1, 1, 1>;
  kernels.wide[0] = &tile<T, 1, 2, 1>;
  fill<T, 1>(kernels);
  return kernels;
}

// Interleaves kRows rows of x: out[k][kRows].
template <int kRows>
void interleave(const float* const* x, int64_t columns, int64_t padded, float* out) {
  const D d;
  int64_t k = 0;
  for (; k + kLanes <= columns; k += kLanes) {
    if constexpr (kRows == 4) {
      hn::StoreInterleaved4(hn::LoadU(d, x[0] + k), hn::LoadU(d, x[1] + k), hn::LoadU(d, x[2] + k),
                            hn::LoadU(d, x[3] + k), d, out + k * kRows);
    } else {
      hn::StoreInterleaved2(hn::LoadU(d, x[0] + k), hn::LoadU(d, x[1] + k), d, out + k * kRows);
    }
  }
  for (; k < padded; ++k)
    for (int r = 0; r < kRows; ++r) out[k * kRows + r] = k < columns ? x[r][k] : 0.0f;
}

void pack_group(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t padded, float* out) {
  // A missing row repeats row 0: its sums are never stored.
  const float* row[kGroup];
  for (int r = 0; r < kGroup; ++r) row[r] = x + (r < rows ? r * stride : 0);
  interleave<kGroup>(row, columns, padded, out);
}

const TileKernels& tile_kernels_of(DType dtype) {
  static constexpr TileKernels kF32 = make_kernels<float>(), kF16 = make_kernels<f16>(),
                               kBF16 = make_kernels<bf16>(), kI8 = make_kernels<int8_t>();
  return dtype == DType::kF32 ? kF32 : dtype == DType::kF16 ? kF16 : dtype == DType::kBF16 ? kBF16 : kI8;
}

}  // namespace HWY_NAMESPACE
}  // namespace bolide::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bolide::cpu {
HWY_EXPORT(tile_kernels_of);
HWY_EXPORT(pack_group);
void pack_rows(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t padded, int group,
               float* out) {
  if (group == 1) {
    std::memcpy(out, x, static_cast<size_t>(columns) * sizeof(float));
    std::fill(out + columns, out + padded, 0.0f);
    return;
  }
  HWY_DYNAMIC_DISPATCH(pack_group)(x, stride, rows, columns, padded, out);
}
const TileKernels& tile_kernels(DType dtype) { return HWY_DYNAMIC_DISPATCH(tile_kernels_of)(dtype); }
}  // namespace bolide::cpu
#endif
