#pragma once

#include <cstddef>
#include <cstdint>

// Plain data only: included by translation units that are compiled with wider instruction sets, where an
// inline function of a library would be emitted with instructions that other machines lack.
namespace bolide::cpu {

// One register tile: y[rows, columns] (+)= x[rows, k] w[columns, k]^T over one block of k.
struct Tile {
  // Rows in groups of TileKernels::group: [row / group][k][group] fp32, so that one pointer serves several
  // rows; the bf16 kernels have layouts of their own (see their files).
  const std::byte* x = nullptr;
  int64_t x_group = 0;           // bytes from one group of rows to the next
  const std::byte* w = nullptr;  // first panel, at this block's first k
  int64_t w_panel = 0;           // bytes from one panel to the next
  int64_t k = 0;                 // elements of this block
  float* y = nullptr;            // row 0, column 0
  int64_t y_stride = 0;          // floats
  int64_t columns = 0;           // that exist: less than 16 a panel at the right edge
  const float* scale = nullptr;  // of each column's sum; null: 1
  bool accumulate = false;       // add to y instead of writing it
  // Prefetching, for each panel: from `fetch` on, `fetch_step` bytes further for each line of weights used
  // (AMX: each kilobyte, fetching fetch_step / 64 lines), until k reaches fetch_until; from there on starting
  // at then_fetch with then_step.
  const std::byte *fetch[2] = {}, *then_fetch[2] = {};
  int64_t fetch_step = 0, then_step = 0, fetch_until = 0;
};

using TileFunction = void (*)(const Tile& tile, int rows);

// The tiles of one weight dtype and one instruction set.
struct TileKernels {
  static constexpr int kMaxRows = 32;
  int max_rows = 0;   // of the tile that does most a cycle
  int most_rows = 0;  // that some tile takes at once
  int group = 0;      // rows interleaved in x
  // By rows; [0] is one row that is not interleaved with others.
  TileFunction wide[kMaxRows + 1] = {};    // two panels at once, or null where registers are short
  TileFunction narrow[kMaxRows + 1] = {};  // one panel
  // One panel's block of k, widened to fp32 in the layout of fp32 weights; null in the bf16 kernels.
  void (*widen)(const std::byte* w, int64_t k, std::byte* out) = nullptr;
  // The same to bf16, for weights that it can hold; else null.
  void (*widen_bf16)(const std::byte* w, int64_t k, std::byte* out) = nullptr;
};

}  // namespace bolide::cpu
