#include "ops/matmul.h"

#include <algorithm>

#include "ops/cpu/gemm_kernels.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/parallel.h"

namespace bolide::cpu {
namespace {

constexpr int64_t kPanelRows = PackedMatrix::kPanelRows;
// k is summed in blocks of 512, each block in order, blocks in order: the same for every row count and thread
// count. 512 k of two fp32 panels are 64 KiB, which stay in the second-level cache while rows pass by; so are
// AMX's 1024 k of two bf16 panels.
constexpr int64_t kBlockK = 512;
constexpr int64_t kAmxBlockK = 1024;
// Rows of x that take part at once: 192 x 512 fp32 are 384 KiB of the second-level cache.
constexpr int64_t kBlockRows = 192;
constexpr int64_t kAmxBlockRows = 256;  // 512 KiB of bf16 with 1024 k
// Rows from which int8 weights are widened to bf16 for tiles of bf16.
constexpr int64_t kMinInt8Rows = 5;
// All k of the rows of x at once up to this: about half of the second-level cache of AVX-512 servers.
constexpr int64_t kCachedX = int64_t{1} << 20;
// How far ahead a stream of weights is fetched when each line is used only once. DRAM latency (about 120 ns)
// at 20 GB/s a thread is 2.4 KB; measured on two cores, fp32 decode has 90, 99 and 95 % of the bandwidth at
// 2, 4 and 8 KiB.
constexpr int64_t kStreamAhead = 4096;

// How one matmul runs.
struct Plan {
  const TileKernels* tiles = nullptr;
  int group = 1;          // rows interleaved in packed x
  int64_t x_k_bytes = 0;  // of one group of packed x, one k
  int64_t line = 1;       // k that a tile takes between two prefetches: a cache line, or AMX's kilobyte
  int64_t rows = 0;       // of x
  int64_t tile_rows = 0;
  int64_t padded = 0;  // k, as the weights have it
  int64_t block_k = kBlockK;
  int64_t block_rows = kBlockRows;
  bool k_inside = true;  // all k of two panels, then the next two; else all panels for one block of k
  // Weights pass through a block of the tiles' type that several row tiles share.
  void (*widen)(const std::byte* w, int64_t k, std::byte* out) = nullptr;
  int64_t wide_k_bytes = 0;  // of one panel of that block, one k
  void (*pack)(const float* x, int64_t stride, int64_t rows, int64_t columns, std::byte* out) = nullptr;
};

Plan make_plan(const MatmulArgs& args) {
  Plan plan;
  plan.rows = args.x.shape[0];
  plan.padded = args.w->padded_cols();
  const bool int8 = args.w->dtype == DType::kI8;
  // Whole numbers up to 127 are exact in bf16.
  const bool bf16 =
      int8 ? args.w->x_dtype == DType::kBF16 && plan.rows >= kMinInt8Rows : args.w->dtype == DType::kBF16;
  const Isa level = isa();
  plan.line = 4 / static_cast<int64_t>(size_of(args.w->dtype));
  plan.tiles = &tile_kernels(args.w->dtype);
  plan.group = plan.rows == 1 ? 1 : plan.tiles->group;
  plan.x_k_bytes = plan.group * static_cast<int64_t>(sizeof(float));
  // One row is bound by memory either way, so it keeps x in fp32.
  if constexpr (kX86) {
    if (bf16 && plan.rows > 1 && level >= Isa::kAvx512Bf16) {
      const bool amx = level == Isa::kAmx;
      if (int8) plan.widen = plan.tiles->widen_bf16;
      plan.tiles = amx ? &amx_kernels() : &bf16_dot_kernels();
      plan.pack = amx ? &pack_amx : &pack_bf16_dot;
      plan.group = plan.tiles->group;
      plan.x_k_bytes = plan.group * 2;
      plan.line = amx ? 32 : 2;
      if (amx) {
        plan.block_k = kAmxBlockK;
        plan.block_rows = kAmxBlockRows;
      }
    }
  }
  // One pass over the weights while one tile can take all rows: they come from memory.
  const int64_t most = plan.rows <= plan.tiles->most_rows ? plan.tiles->most_rows : plan.tiles->max_rows;
  const int64_t tiles = (plan.rows + most - 1) / most;
  const int64_t even = (plan.rows + tiles - 1) / tiles;
  plan.tile_rows = std::min((even + plan.group - 1) / plan.group * plan.group, most);
  // x must stay in the second-level cache while panels pass by: whole, or one block of k.
  plan.k_inside =
      std::min(plan.rows, plan.block_rows) * plan.padded * plan.x_k_bytes / plan.group <= kCachedX;
  // Widening in registers, twice, is cheaper than through memory once.
  plan.wide_k_bytes = kPanelRows * 2;
  if (plan.rows > 2 * plan.tile_rows && plan.tiles->widen && args.w->dtype != DType::kF32) {
    plan.widen = plan.tiles->widen;
    plan.tiles = &tile_kernels(DType::kF32);
    plan.wide_k_bytes = kPanelRows * 4;
  }
  return plan;
}

void pack_x(const Context& context, const MatmulArgs& args, const Plan& plan, std::byte* out) {
  const int64_t groups = (plan.rows + plan.group - 1) / plan.group;
  Context packing = context;
  if (plan.rows <= 16) packing.threads = 1;  // cheaper than waking the others
  parallel_ranges(packing, groups, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) {
      const int64_t row = g * plan.group, rows = std::min<int64_t>(plan.group, plan.rows - row);
      const float* x = args.x.as<float>() + row * args.x.row_stride;
      std::byte* to = out + g * plan.padded * plan.x_k_bytes;
      if (plan.pack) {
        plan.pack(x, args.x.row_stride, rows, args.w->cols, to);
      } else {
        pack_rows(x, args.x.row_stride, rows, args.w->cols, plan.padded, plan.group,
                  reinterpret_cast<float*>(to));
      }
    }
  });
}

// One thread's share of y: the panels [panel, end).
class Worker {
 public:
  Worker(const MatmulArgs& args, const Plan& plan, const std::byte* x)
      : args_(args),
        plan_(plan),
        x_(x),
        w_(static_cast<const std::byte*>(args.w->data.view().data)),
        k_bytes_(kPanelRows * static_cast<int64_t>(size_of(args.w->dtype))),
        panel_bytes_(plan.padded * k_bytes_) {}

  void run(int64_t panel, int64_t end) const {
    for (int64_t row = 0; row < plan_.rows; row += plan_.block_rows) {
      const int64_t rows = std::min(plan_.block_rows, plan_.rows - row);
      if (plan_.k_inside) {
        for (int64_t p = panel; p < end; p += 2)
          for (int64_t k = 0; k < plan_.padded; k += plan_.block_k)
            block(row, rows, k, p, std::min(p + 2, end));
      } else {
        for (int64_t k = 0; k < plan_.padded; k += plan_.block_k)
          for (int64_t p = panel; p < end; p += 2) block(row, rows, k, p, std::min(p + 2, end));
      }
    }
  }

 private:
  // One block of k of one or two panels, all rows of the row block.
  void block(int64_t row0, int64_t rows, int64_t k, int64_t panel, int64_t panel_end) const {
    const int64_t block_k = std::min(plan_.block_k, plan_.padded - k);
    const bool last = k + block_k == plan_.padded;
    Tile tile;
    tile.k = block_k;
    tile.x_group = plan_.padded * plan_.x_k_bytes;
    tile.w = w_ + panel * panel_bytes_ + k * k_bytes_;
    tile.w_panel = panel_bytes_;
    tile.y_stride = args_.y.row_stride;
    tile.columns = args_.w->rows - panel * kPanelRows;
    tile.accumulate = args_.accumulate || k > 0;
    const std::byte* slice = tile.w;
    // Two panels of 512 k of fp32, or of 1024 of bf16.
    alignas(64) std::byte wide[2 * kBlockK * kPanelRows * sizeof(float)];
    if (plan_.widen) {
      tile.w = wide;
      tile.w_panel = plan_.block_k * plan_.wide_k_bytes;
      for (int64_t p = 0; p < panel_end - panel; ++p)
        plan_.widen(slice + p * panel_bytes_, block_k, wide + p * tile.w_panel);
    }
    const int64_t tiles = (rows + plan_.tile_rows - 1) / plan_.tile_rows;
    const int64_t column = panel * kPanelRows;
    if (!args_.w->scales.empty()) tile.scale = args_.w->scales.as<float>() + column;
    const float* bias = args_.bias.empty() ? nullptr : args_.bias.as<float>() + column;
    const int64_t columns = std::min(panel_end * kPanelRows, args_.w->rows) - column;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t first = t * plan_.tile_rows, count = std::min(plan_.tile_rows, rows - first);
      tile.x = x_ + (row0 + first) / plan_.group * tile.x_group + k * plan_.x_k_bytes;
      tile.y = args_.y.as<float>() + (row0 + first) * args_.y.row_stride + column;
      plan_fetch(slice, block_k, last, t, tiles, tile);
      run_tile(*plan_.tiles, tile, plan_.group == 1 ? 0 : static_cast<int>(count), panel_end - panel == 2);
      // At once: rows of y are often a multiple of 4 KiB apart, and few of them fit a cache's sets together.
      if (last) epilogue(tile.y, tile.y_stride, count, columns, bias, args_.activation);
    }
  }

  // Weights come from DRAM. A single row tile fetches its own stream ahead, and at the end of a pair of
  // panels the next pair; with several row tiles, each fetches its share of the block that comes next.
  void plan_fetch(const std::byte* slice, int64_t block_k, bool last, int64_t t, int64_t tiles,
                  Tile& tile) const {
    const int64_t slice_bytes = block_k * k_bytes_, steps = block_k / plan_.line;
    if (tiles == 1) {
      const int64_t jump = last && plan_.k_inside ? panel_bytes_ : 0;
      tile.fetch_step = tile.then_step = plan_.line * k_bytes_;
      tile.fetch_until =
          std::max<int64_t>(slice_bytes - kStreamAhead, 0) / k_bytes_ / plan_.line * plan_.line;
      for (int p = 0; p < 2; ++p) {
        tile.fetch[p] = slice + p * panel_bytes_ + kStreamAhead;
        tile.then_fetch[p] = tile.fetch[p] + tile.fetch_until * k_bytes_ + jump;
      }
      return;
    }
    // Evenly over the tile's steps: a burst would fill the miss buffers and hold up the loads. Steps of less
    // than a line fetch some lines twice, which costs a load slot and no bandwidth.
    const std::byte* next =
        slice + (!plan_.k_inside ? 2 * panel_bytes_ : slice_bytes + (last ? panel_bytes_ : 0));
    const int64_t share = slice_bytes / tiles, even = (share + steps - 1) / steps;
    tile.fetch_step = plan_.line == 32 ? (even + 63) / 64 * 64 : even;  // AMX fetches whole lines
    tile.fetch_until = block_k;
    for (int p = 0; p < 2; ++p) {
      tile.fetch[p] = next + p * panel_bytes_ + t * share;
      tile.then_fetch[p] = tile.fetch[p];
    }
  }

  static void run_tile(const TileKernels& kernels, Tile& tile, int rows, bool two_panels) {
    if (two_panels && kernels.wide[rows]) return kernels.wide[rows](tile, rows);
    kernels.narrow[rows](tile, rows);
    if (!two_panels) return;
    Tile second = tile;
    second.w += tile.w_panel;
    second.y += kPanelRows;
    second.columns -= kPanelRows;
    if (tile.scale) second.scale = tile.scale + kPanelRows;
    second.fetch[0] = tile.fetch[1];
    second.then_fetch[0] = tile.then_fetch[1];
    kernels.narrow[rows](second, rows);
  }

  const MatmulArgs& args_;
  const Plan& plan_;
  const std::byte* x_;
  const std::byte* w_;
  int64_t k_bytes_;      // of one panel, one k
  int64_t panel_bytes_;  // from one panel to the next
};

}  // namespace

void matmul(const Context& context, const MatmulArgs& args) {
  Arena own;
  Arena& arena = context.arena ? *context.arena : own;
  const Arena::Scope scope(arena);
  if (!args.norm.weight.empty()) {
    MatmulArgs after_norm = args;
    after_norm.norm = {};
    after_norm.x = arena.take(args.x.shape, DType::kF32);
    if (!context.counting()) cpu::layer_norm(context, {.x = args.x, .norm = args.norm, .y = after_norm.x});
    return cpu::matmul(context, after_norm);
  }
  const Plan plan = make_plan(args);
  const int64_t groups = (plan.rows + plan.group - 1) / plan.group;
  const View packed = arena.take({groups * plan.padded * plan.x_k_bytes}, DType::kU8);
  if (context.counting()) return;
  auto* x = static_cast<std::byte*>(packed.data);
  pack_x(context, args, plan, x);
  const Worker worker(args, plan, x);
  const bool amx = plan.line == 32;
  parallel_ranges(context, (args.w->panels() + 1) / 2, [&](int64_t begin, int64_t end) {
    if constexpr (kX86) {
      if (amx) begin_amx();
    }
    worker.run(begin * 2, std::min(end * 2, args.w->panels()));
    if constexpr (kX86) {
      if (amx) end_amx();
    }
  });
}

}  // namespace bolide::cpu
