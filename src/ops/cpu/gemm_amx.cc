// Tiles of AMX-BF16: 16 x 16 sums from 32 k a step. Compiled with -mamx-tile -mamx-bf16 and AVX-512, so this
// file may include nothing but plain data.
#include "ops/cpu/gemm_bf16-inl.h"

namespace bolide::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kStepBytes = 16 * 32 * 2;  // one tile of x or w: 32 k

// Tile registers: 0..3 sums [row half][panel], 4..5 x, 6..7 w. All are whole: rows that x lacks are zeros in
// its packed form, and their sums stay here. One shape for all tiles, because loading a configuration costs
// as much as several products.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

void fetch_lines(const std::byte* from, int64_t bytes) {
  for (int64_t line = 0; line < bytes; line += 64)
    _mm_prefetch(reinterpret_cast<const char*>(from + line), _MM_HINT_T0);
}

// gcc's intrinsic wants the register's number as a literal.
template <int kRegister>
void store_register(float* to, int64_t row_bytes) {
  if constexpr (kRegister == 0) _tile_stored(0, to, row_bytes);
  if constexpr (kRegister == 1) _tile_stored(1, to, row_bytes);
  if constexpr (kRegister == 2) _tile_stored(2, to, row_bytes);
  if constexpr (kRegister == 3) _tile_stored(3, to, row_bytes);
}

// One 16 x 16 block of sums into y: straight from the tile register where y takes all of it, through a buffer
// where it is scaled, added to what is there or cut off by an edge.
template <int kRegister>
void store_block(float* y, int64_t y_stride, int rows, int64_t columns, bool accumulate, const float* scale) {
  if (columns <= 0) return;
  if (rows >= kTileRows && columns >= 16 && !accumulate && !scale) {
    store_register<kRegister>(y, y_stride * static_cast<int64_t>(sizeof(float)));
    return;
  }
  alignas(64) float block[16 * 16];
  store_register<kRegister>(block, 64);
  for (int r = 0; r < rows && r < kTileRows; ++r)
    store_sums(y + r * y_stride, columns, accumulate, scale, _mm512_load_ps(block + r * 16));
}

template <int kHalves, int kPanels>
void tile(const Tile& args, int rows) {
  _tile_zero(0);
  if constexpr (kPanels > 1) _tile_zero(1);
  if constexpr (kHalves > 1) _tile_zero(2);
  if constexpr (kHalves > 1 && kPanels > 1) _tile_zero(3);
  const std::byte *x0 = args.x, *x1 = args.x + args.x_group;
  const std::byte *w0 = args.w, *w1 = args.w + args.w_panel;
  const std::byte *fetch0 = args.fetch[0], *fetch1 = args.fetch[1];
  int64_t fetch_step = args.fetch_step;
  if (args.accumulate)
    for (int r = 0; r < rows; ++r)
      fetch_lines(reinterpret_cast<const std::byte*>(args.y + r * args.y_stride), 128);
  for (int64_t k = 0; k < args.k; k += 32) {
    if (k == args.fetch_until) {
      fetch0 = args.then_fetch[0];
      fetch1 = args.then_fetch[1];
      fetch_step = args.then_step;
    }
    fetch_lines(fetch0, fetch_step);
    if constexpr (kPanels > 1) fetch_lines(fetch1, fetch_step);
    fetch0 += fetch_step;
    fetch1 += fetch_step;
    _tile_loadd(6, w0, 64);
    _tile_loadd(4, x0, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kPanels > 1) {
      _tile_loadd(7, w1, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kHalves > 1) {
      _tile_loadd(5, x1, 64);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kPanels > 1) _tile_dpbf16ps(3, 5, 7);
      x1 += kStepBytes;
    }
    x0 += kStepBytes;
    w0 += kStepBytes;
    w1 += kStepBytes;
  }
  float* y1 = args.y + kTileRows * args.y_stride;
  const float* scale1 = args.scale ? args.scale + 16 : nullptr;
  store_block<0>(args.y, args.y_stride, rows, args.columns, args.accumulate, args.scale);
  if constexpr (kPanels > 1)
    store_block<1>(args.y + 16, args.y_stride, rows, args.columns - 16, args.accumulate, scale1);
  if constexpr (kHalves > 1) {
    store_block<2>(y1, args.y_stride, rows - kTileRows, args.columns, args.accumulate, args.scale);
    if constexpr (kPanels > 1)
      store_block<3>(y1 + 16, args.y_stride, rows - kTileRows, args.columns - 16, args.accumulate, scale1);
  }
}

constexpr TileKernels make_kernels() {
  TileKernels kernels;
  kernels.max_rows = kernels.most_rows = 2 * kTileRows;
  kernels.group = kTileRows;
  for (int rows = 1; rows <= 2 * kTileRows; ++rows) {
    kernels.narrow[rows] = rows > kTileRows ? &tile<2, 1> : &tile<1, 1>;
    kernels.wide[rows] = rows > kTileRows ? &tile<2, 2> : &tile<1, 2>;
  }
  return kernels;
}

}  // namespace

const TileKernels& amx_kernels() {
  static constexpr TileKernels kKernels = make_kernels();
  return kKernels;
}

void pack_amx(const float* x, int64_t stride, int64_t rows, int64_t columns, std::byte* out) {
  for (int64_t k = 0; k < columns; k += 32) {
    std::byte* to = out + k / 32 * kStepBytes;
    for (int64_t r = 0; r < rows; ++r)
      _mm512_store_si512(to + r * 64, round_to_bf16(x + r * stride + k, columns - k));
    for (int64_t r = rows; r < kTileRows; ++r) _mm512_store_si512(to + r * 64, _mm512_setzero_si512());
  }
}

void begin_amx() {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = kTileRows;
  }
  // gcc 12's intrinsic claims to read 8 of the 64 bytes: without this the stores to the others are dropped.
  asm volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
}
void end_amx() { _tile_release(); }

double amx_flops(int64_t steps) {
  alignas(64) static constexpr std::byte kZeros[kStepBytes] = {};
  begin_amx();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, kZeros, 64);
  _tile_loadd(5, kZeros, 64);
  _tile_loadd(6, kZeros, 64);
  _tile_loadd(7, kZeros, 64);
  for (int64_t s = 0; s < steps; ++s) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  end_amx();
  return 4.0 * 2 * 16 * 16 * 32 * static_cast<double>(steps);
}

}  // namespace bolide::cpu
