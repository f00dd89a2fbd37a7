#pragma once

#include "ops/cuda/device/attention_functors.cuh"
#include "ops/cuda/device/attention_ptx.cuh"

// What the tiled kernels, on mma.sync and on wgmma, have in common: which rows a block computes, and softmax
// on the tensor cores' registers.
namespace bolide::cuda {

// One block's tile of rows of one head.
struct FlashTile {
  int head, sequence;
  int rows;      // of the tile
  int64_t row;   // the first row, of q and y
  int position;  // of the first row in its sequence
  int keys;      // that the last row sees: the end of what any row does
  int begin;     // of what the first row sees, and so of what any does
};

// Sequence s has the slots from offsets[s] / tile_rows + s on, of which there are enough for its tiles, and
// one is left over at times: so a block finds its tile by a binary search, and few blocks find none, however
// unlike the sequences are. Blocks run through slots from the last, since later tiles have more keys, with
// `section` heads side by side: as many as have keys and values that L2 holds.
// n-th of a section's tiles.
template <class Mask>
__device__ __forceinline__ bool flash_tile(const AttentionParams& p, const FlashGrid& grid, int tile_rows,
                                           int section, int n, FlashTile& tile) {
  const int heads = min(grid.section, p.heads - section * grid.section);
  if (n >= heads * grid.slots) return false;
  tile.head = section * grid.section + n % heads;
  const int slot = grid.slots - 1 - n / heads;
  int low = 0, high = p.sequences;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (p.query_offsets[middle] / tile_rows + middle <= slot ? low : high) = middle;
  }
  tile.sequence = low;
  const int begin = p.query_offsets[low], queries = p.query_offsets[low + 1] - begin;
  const int first = (slot - begin / tile_rows - low) * tile_rows;
  if (first >= queries) return false;
  tile.rows = min(tile_rows, queries - first);
  tile.row = begin + first;
  tile.position = p.kv_lengths[low] - queries + first;
  const Mask mask = mask_of<Mask>(p, low);
  tile.keys = mask.end(tile.position + tile.rows - 1);
  tile.begin = mask.begin(tile.position);
  return true;
}
// A block's only tile.
template <class Mask>
__device__ __forceinline__ bool flash_tile(const AttentionParams& p, const FlashGrid& grid, int tile_rows,
                                           FlashTile& tile) {
  const int block = static_cast<int>(blockIdx.x), section = block / (grid.section * grid.slots);
  return flash_tile<Mask>(p, grid, tile_rows, section, block - section * grid.section * grid.slots, tile);
}
// All tiles of a block, where there are fewer blocks than tiles: in every second round blocks take tiles in
// reverse order, so that all get as many keys.
template <class Mask, class Visit>
__device__ __forceinline__ void flash_tiles(const AttentionParams& p, const FlashGrid& grid, int tile_rows,
                                            Visit visit) {
  const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
  const int rounds = (grid.section * grid.slots + blocks - 1) / blocks;
  for (int section = 0, round = 0; section * grid.section < p.heads; ++section) {
    for (int n = 0; n < rounds; ++n, ++round) {
      FlashTile tile;
      const int place = round % 2 == 0 ? block : blocks - 1 - block;
      if (flash_tile<Mask>(p, grid, tile_rows, section, n * blocks + place, tile)) visit(tile);
    }
  }
}

// The softmax of a thread's two rows, lane / 4 and lane / 4 + 8 of a warp's 16, whose scores it has in
// columns 8n + 2 * (lane % 4) and the next: score[n][0 and 1] of the first row, [2 and 3] of the second.
template <class Mask, class Bias>
struct FlashSoftmax {
  const Mask mask;
  const Bias bias;
  const float scale;
  const int position;  // of the first of the two rows
  // max: within kSlack of the largest scaled score, so that what was summed up seldom has to shrink. Weights
  // are up to 2^kSlack then, which costs floats no precision and is far from fp16's end.
  static constexpr float kSlack = 6.0f;
  float max[2], sum[2];

  __device__ __forceinline__ FlashSoftmax(const Mask& m, const Bias& b, float scale_log2, int row_position)
      : mask(m), bias(b), scale(scale_log2), position(row_position) {
    // Finite, so that a row that sees no key of its first tiles has differences that are not NaN.
    max[0] = max[1] = -1e30f;
    sum[0] = sum[1] = 0;
  }
  // Scores of keys from `first` on become weights; what was summed up before is to be multiplied by `shrink`.
  // kMasked: some row does not see all of these keys.
  template <bool kMasked, int kBlocks>
  __device__ __forceinline__ void weigh(int first, float (&score)[kBlocks][4], float (&shrink)[2]) {
    const int column = first + static_cast<int>(threadIdx.x) % 4 * 2;
    // The offsets that each row sees.
    const int limit[2] = {mask.end(position) - 1 - column, mask.end(position + 8) - 1 - column};
    const int least[2] = {mask.begin(position) - column, mask.begin(position + 8) - column};
    // A linear bias is the same for both rows but for a constant, which softmax does not notice; and its part
    // that all scores have in common joins their maximum.
    float origin = 0.0f;
    if constexpr (Bias::kLinear) origin = bias(static_cast<float>(position), static_cast<float>(column));
    if constexpr (Bias::kAny) {
      const auto each = [&](auto&& change) {
#pragma unroll
        for (int n = 0; n < kBlocks; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i) change(score[n][i], column + n * 8 + i % 2 - (position + i / 2 * 8));
      };
      each([&](float& x, int) { x *= scale; });
      bias.finish(each);
    }
    float top[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int offset = n * 8 + i % 2, row = i / 2;
        float& x = score[n][i];
        if constexpr (Bias::kLinear) {
          x = fmaf(x, scale, bias.slope * static_cast<float>(offset));
        }
        if (kMasked && (offset > limit[row] || (Mask::kBand && offset < least[row]))) x = -INFINITY;
        top[row] = fmaxf(top[row], x);
      }
    }
    // Without a bias, scores are scaled where they are subtracted from.
    const float unit = Bias::kZero ? scale : 1.0f;
    float base[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      top[row] = fmaf(top[row], unit, origin);
      // The four lanes that share a row.
      top[row] = fmaxf(top[row], __shfl_xor_sync(~0u, top[row], 1));
      top[row] = fmaxf(top[row], __shfl_xor_sync(~0u, top[row], 2));
      top[row] = top[row] > max[row] + kSlack ? top[row] : max[row];
      shrink[row] = exp2_approx(max[row] - top[row]);
      max[row] = top[row];
      sum[row] *= shrink[row];
      base[row] = top[row] - origin;
    }
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& x = score[n][i];
        x = exp2_approx(Bias::kZero ? fmaf(x, scale, -base[i / 2]) : x - base[i / 2]);
        sum[i / 2] += x;
      }
    }
  }
  // 1 / the sum of each row's weights.
  __device__ __forceinline__ void factors(float (&factor)[2]) const {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float total = sum[row];
      total += __shfl_xor_sync(~0u, total, 1);
      total += __shfl_xor_sync(~0u, total, 2);
      factor[row] = 1.0f / total;
    }
  }
};

// Multiplies the rows of an accumulator, laid out as scores are.
template <int kColumns>
__device__ __forceinline__ void scale_rows(float (&y)[kColumns][4], const float (&factor)[2]) {
#pragma unroll
  for (int n = 0; n < kColumns; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) y[n][i] *= factor[i / 2];
}

// The same by factors of FlashSoftmax::weigh(), which are 1 most of the time.
template <int kColumns>
__device__ __forceinline__ void shrink_rows(float (&y)[kColumns][4], const float (&shrink)[2]) {
  if (__any_sync(~0u, shrink[0] != 1.0f || shrink[1] != 1.0f)) scale_rows(y, shrink);
}

}  // namespace bolide::cuda
