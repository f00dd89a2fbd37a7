// Register tiles of vdpbf16ps, which Highway 1.0.3 has no target for. This file is compiled with
// -mavx512bf16 and may include nothing but plain data.
#include "ops/cpu/gemm_bf16-inl.h"

namespace bolide::cpu {
namespace {

constexpr int kMaxRows = 12;  // 24 of 32 registers hold sums
constexpr int kGroup = 4;

__m512bh broadcast_pair(const std::byte* pair) {
  int bits;
  __builtin_memcpy(&bits, pair, sizeof(bits));
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits));
}

template <int kRows, int kPanels>
void tile(const Tile& args, int) {
  constexpr int kGroups = (kRows + kGroup - 1) / kGroup;
  __m512 sum[kRows][kPanels];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_setzero_ps();
  const std::byte* x[kGroups];
  for (int g = 0; g < kGroups; ++g) x[g] = args.x + g * args.x_group;
  for (int r = 0; r < kRows; ++r)
    _mm_prefetch(reinterpret_cast<const char*>(args.y + r * args.y_stride), _MM_HINT_T0);
  const std::byte* w = args.w;
  for (int64_t k = 0; k < args.k;) {
    const bool first = k < args.fetch_until;
    const int64_t end = first && args.fetch_until < args.k ? args.fetch_until : args.k;
    const int64_t fetch_step = first ? args.fetch_step : args.then_step;
    const std::byte* fetch[kPanels];
    for (int p = 0; p < kPanels; ++p) fetch[p] = first ? args.fetch[p] : args.then_fetch[p];
    for (; k < end; k += 2) {
      __m512bh weight[kPanels];
      for (int p = 0; p < kPanels; ++p) {
        _mm_prefetch(reinterpret_cast<const char*>(fetch[p]), _MM_HINT_T0);
        fetch[p] += fetch_step;
        weight[p] = reinterpret_cast<__m512bh>(_mm512_load_si512(w + p * args.w_panel));
      }
#pragma GCC unroll 16  // sums must become registers before gcc looks for arrays to split
      for (int r = 0; r < kRows; ++r) {
        const __m512bh scale = broadcast_pair(x[r / kGroup] + r % kGroup * 4);
        for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_dpbf16_ps(sum[r][p], weight[p], scale);
      }
      for (int g = 0; g < kGroups; ++g) x[g] += kGroup * 4;
      w += 64;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < kPanels; ++p)
      store_sums(args.y + r * args.y_stride + p * 16, args.columns - p * 16, args.accumulate,
                 args.scale ? args.scale + p * 16 : nullptr, sum[r][p]);
}

template <int kRows>
constexpr void fill(TileKernels& kernels) {
  if constexpr (kRows <= kMaxRows) {
    kernels.narrow[kRows] = &tile<kRows, 1>;
    kernels.wide[kRows] = &tile<kRows, 2>;
    fill<kRows + 1>(kernels);
  }
}

constexpr TileKernels make_kernels() {
  TileKernels kernels;
  kernels.max_rows = kernels.most_rows = kMaxRows;
  kernels.group = kGroup;
  fill<1>(kernels);
  return kernels;
}

}  // namespace

const TileKernels& bf16_dot_kernels() {
  static constexpr TileKernels kKernels = make_kernels();
  return kKernels;
}

// 32 elements a time: rounded to bf16 as 16 pairs, then the four rows' pairs are interleaved.
void pack_bf16_dot(const float* x, int64_t stride, int64_t rows, int64_t columns, std::byte* out) {
  for (int64_t k = 0; k < columns; k += 32) {
    __m512i pair[kGroup];
    for (int r = 0; r < kGroup; ++r)
      pair[r] = round_to_bf16(x + (r < rows ? r * stride : 0) + k, columns - k);
    const __m512i a = _mm512_unpacklo_epi32(pair[0], pair[1]), b = _mm512_unpackhi_epi32(pair[0], pair[1]);
    const __m512i c = _mm512_unpacklo_epi32(pair[2], pair[3]), d = _mm512_unpackhi_epi32(pair[2], pair[3]);
    // Pairs 4i .. 4i + 3 of the four rows lie in lane i of these.
    const __m512i four[4] = {_mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c),
                             _mm512_unpacklo_epi64(b, d), _mm512_unpackhi_epi64(b, d)};
    std::byte* to = out + k * 8;
    for (int i = 0; i < 4; ++i) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i * 16), _mm512_extracti32x4_epi32(four[i], 0));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 64 + i * 16), _mm512_extracti32x4_epi32(four[i], 1));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 128 + i * 16), _mm512_extracti32x4_epi32(four[i], 2));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 192 + i * 16), _mm512_extracti32x4_epi32(four[i], 3));
    }
  }
}

double bf16_dot_flops(int64_t steps) {
  constexpr int kChains = 16;
  __m512 sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto factor = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(steps) & 0x3F003F00));
  for (int64_t s = 0; s < steps; ++s)
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], factor, factor);
  for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return 64.0 * kChains * static_cast<double>(steps) + 0.0 * static_cast<double>(_mm512_cvtss_f32(sum[0]));
}

}  // namespace bolide::cpu
