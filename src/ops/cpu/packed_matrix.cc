#include "ops/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "ops/cpu/gemm_kernels.h"
#include "ops/cpu/parallel.h"

namespace bolide::cpu {
namespace {

constexpr int64_t kRows = PackedMatrix::kPanelRows;
constexpr int64_t kStageCols = 256;  // k staged at once: 16 x 256 fp32 are 16 KiB
constexpr int64_t kStagePanels = 8;  // of a transposed block, whose rows run along the panels

// 4 x 4 units of 32 bits: out[k * kRows + r] = rows[r][k]. Shuffles of 128 bits are in every x86-64 and Arm,
// so that this needs no choice at run time.
inline void transpose4(const uint32_t* const rows[4], uint32_t* out) {
#if defined(__SSE2__)
  const auto load = [](const uint32_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); };
  const __m128i a = load(rows[0]), b = load(rows[1]), c = load(rows[2]), d = load(rows[3]);
  const __m128i ab0 = _mm_unpacklo_epi32(a, b), ab1 = _mm_unpackhi_epi32(a, b);
  const __m128i cd0 = _mm_unpacklo_epi32(c, d), cd1 = _mm_unpackhi_epi32(c, d);
  const auto store = [](uint32_t* p, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); };
  store(out, _mm_unpacklo_epi64(ab0, cd0));
  store(out + kRows, _mm_unpackhi_epi64(ab0, cd0));
  store(out + 2 * kRows, _mm_unpacklo_epi64(ab1, cd1));
  store(out + 3 * kRows, _mm_unpackhi_epi64(ab1, cd1));
#else
  for (int k = 0; k < 4; ++k)
    for (int r = 0; r < 4; ++r) out[k * kRows + r] = rows[r][k];
#endif
}

// Sixteen staged rows of `count` units (an fp32, or a pair of bf16) into a panel: out[k][16].
void interleave16(const uint32_t* stage, int64_t stage_stride, int64_t count, uint32_t* out) {
  int64_t k = 0;
  for (; k + 4 <= count; k += 4) {
    for (int64_t r = 0; r < kRows; r += 4) {
      const uint32_t* from = stage + r * stage_stride + k;
      const uint32_t* const rows[4] = {from, from + stage_stride, from + 2 * stage_stride,
                                       from + 3 * stage_stride};
      transpose4(rows, out + k * kRows + r);
    }
  }
  for (; k < count; ++k)
    for (int64_t r = 0; r < kRows; ++r) out[k * kRows + r] = stage[r * stage_stride + k];
}

struct Block {
  const View& from;
  int64_t row0, col0, rows, cols;
  PackedMatrix& matrix;
};

const std::byte* source(const Block& block, int64_t r, int64_t c) {
  return static_cast<const std::byte*>(block.from.data) +
         static_cast<size_t>(r * block.from.row_stride + c) * size_of(block.from.dtype);
}

// Rows [first, first + 16) cut to the block, of one panel; the block is [rows, cols].
template <class T>
void pack_panel(const Block& block, int64_t panel) {
  PackedMatrix& m = block.matrix;
  constexpr int64_t kGroup = std::is_same_v<T, bf16> ? 2 : 1;
  T* out = m.data.as<T>();
  const int64_t low = std::max(panel * kRows, block.row0);
  const int64_t high = std::min((panel + 1) * kRows, block.row0 + block.rows);
  alignas(64) T stage[kRows * kStageCols];
  for (int64_t c = 0; c < block.cols; c += kStageCols) {
    const int64_t count = std::min(kStageCols, block.cols - c);
    for (int64_t r = low; r < high; ++r)
      convert_elements(source(block, r - block.row0, c), block.from.dtype, stage + (r - low) * kStageCols,
                       m.dtype, static_cast<size_t>(count));
    const int64_t col = block.col0 + c;
    int64_t done = 0;
    if constexpr (!std::is_same_v<T, f16>) {
      if (high - low == kRows && col % kGroup == 0) {
        done = count / kGroup * kGroup;
        interleave16(reinterpret_cast<const uint32_t*>(stage), kStageCols / kGroup, done / kGroup,
                     reinterpret_cast<uint32_t*>(out + m.offset(low, col)));
      }
    }
    for (int64_t k = done; k < count; ++k) {
      T* to = out + m.offset(low, col + k);
      for (int64_t r = 0; r < high - low; ++r) to[r * kGroup] = stage[r * kStageCols + k];
    }
  }
}

// The block is [cols, rows]: each of its rows gives one k of several panels.
template <class T>
void pack_panels_transposed(const Block& block, int64_t panel, int64_t panel_end) {
  PackedMatrix& m = block.matrix;
  constexpr int64_t kGroup = std::is_same_v<T, bf16> ? 2 : 1;
  T* out = m.data.as<T>();
  const int64_t low = std::max(panel * kRows, block.row0);
  const int64_t high = std::min(panel_end * kRows, block.row0 + block.rows);
  alignas(64) T stage[kGroup][kStagePanels * kRows];
  for (int64_t c = 0; c < block.cols;) {
    const int64_t col = block.col0 + c;
    const int64_t count = col % kGroup == 0 ? std::min(kGroup, block.cols - c) : 1;
    for (int64_t i = 0; i < count; ++i)
      convert_elements(source(block, c + i, low - block.row0), block.from.dtype, stage[i], m.dtype,
                       static_cast<size_t>(high - low));
    for (int64_t r = low; r < high;) {
      const int64_t end = std::min(high, (r / kRows + 1) * kRows);
      T* to = out + m.offset(r, col);
      const T* from = stage[0] + (r - low);
      if (kGroup == 1) {
        std::memcpy(to, from, static_cast<size_t>(end - r) * sizeof(T));
      } else if (count == 2) {
        const T* odd = stage[kGroup - 1] + (r - low);
        for (int64_t i = 0; i < end - r; ++i) {
          to[2 * i] = from[i];
          to[2 * i + 1] = odd[i];
        }
      } else {
        for (int64_t i = 0; i < end - r; ++i) to[kGroup * i] = from[i];
      }
      r = end;
    }
    c += count;
  }
}

}  // namespace

void interleave_panel(const float* rows, int64_t stride, int64_t count, float* out) {
  interleave16(reinterpret_cast<const uint32_t*>(rows), stride, count, reinterpret_cast<uint32_t*>(out));
}

void pack_block(const Context& context, const View& from, bool transposed, int64_t row0, int64_t col0,
                PackedMatrix& matrix) {
  const Block block = {from,  row0, col0, from.shape[transposed ? 1 : 0], from.shape[transposed ? 0 : 1],
                       matrix};
  const int64_t first = row0 / kRows, last = (row0 + block.rows + kRows - 1) / kRows;
  const int64_t unit = transposed ? kStagePanels : 1;
  dispatch_float(matrix.dtype, [&]<class T>() {
    parallel_ranges(context, (last - first + unit - 1) / unit, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t panel = first + i * unit;
        if (transposed) {
          pack_panels_transposed<T>(block, panel, std::min(panel + unit, last));
        } else {
          pack_panel<T>(block, panel);
        }
      }
    });
  });
}

// A panel at a time, whose sixteen rows lie side by side.
void quantize_rows(const Context& context, const QuantizeRowsArgs& args) {
  const PackedMatrix& from = *args.from;
  PackedMatrix& to = *args.to;
  parallel_ranges(context, from.panels(), [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const float* w = from.data.as<float>() + panel * from.panel_stride();
      int8_t* out = to.data.as<int8_t>() + panel * to.panel_stride();
      const int64_t row0 = panel * kRows, rows = std::min(kRows, from.rows - row0);
      float scale[kRows] = {};
      for (int64_t r = 0; r < rows; ++r)
        if (!args.at_least.empty()) scale[r] = args.at_least.as<float>()[row0 + r];
      for (int64_t k = 0; k < from.cols; ++k)
        for (int64_t r = 0; r < kRows; ++r) scale[r] = std::max(scale[r], std::abs(w[k * kRows + r]));
      for (int64_t r = 0; r < kRows; ++r) scale[r] /= 127.0f;
      std::copy_n(scale, rows, to.scales.as<float>() + row0);
      for (int64_t r = 0; r < kRows; ++r)
        if (scale[r] == 0) scale[r] = 1;  // a row of zeros
      // 1.5 * 2^23: what is added to it is rounded to a whole number, ties to even. A subnormal scale has few
      // digits left, and the quotient may exceed 127.
      constexpr float kRound = 12582912.0f;
      for (int64_t k = 0; k < from.cols; ++k) {
        for (int64_t r = 0; r < kRows; ++r) {
          const float whole = w[k * kRows + r] / scale[r] + kRound - kRound;
          out[k * kRows + r] = static_cast<int8_t>(std::clamp(whole, -127.0f, 127.0f));
        }
      }
    }
  });
}

void unpack(const Context& context, const PackedMatrix& matrix, const View& y) {
  parallel_ranges(context, matrix.rows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      unpack_row(matrix, row, 0, matrix.cols, y.as<float>() + row * y.row_stride);
  });
}

// A row lies in its panel as one element (bf16: one pair) a line, so this is bound by lines touched: the raw
// bits are collected first, then converted at once.
void unpack_row(const PackedMatrix& matrix, int64_t row, int64_t col0, int64_t count, float* out) {
  constexpr int64_t kBlock = 512;
  if (matrix.dtype == DType::kI8) {
    const int8_t* from = matrix.data.as<int8_t>() + matrix.offset(row, col0);
    const float scale = matrix.scales.as<float>()[row];
    for (int64_t k = 0; k < count; ++k) out[k] = static_cast<float>(from[k * kRows]) * scale;
    return;
  }
  dispatch_float(matrix.dtype, [&]<class T>() {
    constexpr int64_t kGroup = std::is_same_v<T, bf16> ? 2 : 1, kStep = kRows * kGroup;
    T block[kBlock];
    for (int64_t k0 = 0; k0 < count; k0 += kBlock) {
      const int64_t some = std::min(kBlock, count - k0);
      const T* from = matrix.data.as<T>() + matrix.offset(row, col0 + k0);
      for (int64_t k = 0; k < some; ++k) block[k] = from[k / kGroup * kStep + k % kGroup];
      convert_elements(block, matrix.dtype, out + k0, DType::kF32, static_cast<size_t>(some));
    }
  });
}

}  // namespace bolide::cpu
