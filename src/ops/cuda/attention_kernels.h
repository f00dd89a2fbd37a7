#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/attention.h"
#include "ops/cuda/device/fast_divide.cuh"

// The families of attention kernels, each complete for what it accepts: attention() chooses.
namespace bolide::cuda {

// A matrix whose type is known only at run time: activations are touched once a row, so that one branch for
// each of their elements' vectors is cheaper than a kernel for each pair of types.
struct Matrix {
  void* data = nullptr;
  int64_t stride = 0;  // elements from row to row
  DType dtype = DType::kF32;
  bool vectors = false;  // each head of each row starts at a multiple of 16 bytes
};

// What every kernel here takes, by value.
struct AttentionParams {
  Matrix q, y;  // [rows, heads * head_size]
  Matrix k, v;  // [rows, kv_heads * head_size], for fused writes: see attention_rows()
  const int64_t* slots;
  void* k_pages;  // [pages, kv_heads, page_size, head_size]
  void* v_pages;
  const int32_t* page_table;  // [sequences, max_pages]
  const int32_t* query_offsets;
  const int32_t* kv_lengths;
  const float* alibi_slopes;  // [heads] or null
  // For attention_decode() alone, which turns all columns of q and of the new keys: [rows, head_size / 2], or
  // null.
  const float *cos, *sin;
  int64_t angle_stride;  // elements from row to row, of both
  int64_t max_pages;
  int64_t rows;
  FastDivide page_size;
  int32_t sequences;
  int32_t heads, kv_heads, head_size;
  float scale_log2;  // scale * log2(e): softmax is computed with powers of two
  // What few models have: see plain() and device/attention_functors.cuh.
  float soft_cap_log2;    // 0: none
  const float* relative;  // [heads, 2 * far + 1] or null
  int32_t far;
  MaskKind mask;
  int32_t window;                 // kNoWindow: none
  const int32_t* prefix_lengths;  // kPrefix

  // Keys from the first query's on and no others: what has kernels of its own.
  bool causal() const { return mask == MaskKind::kCausal && window == kNoWindow; }
  // Scores without a cap or a table.
  bool plain_scores() const { return soft_cap_log2 == 0 && !relative; }
};

// The most keys that a row sees, of sequences of up to max_kv_length.
inline int64_t max_seen(const AttentionParams& params, int64_t max_kv_length) {
  return std::min<int64_t>(max_kv_length, params.mask == MaskKind::kCausal ? params.window : kNoWindow);
}

// Any shape. Each row by itself and in the same order of additions, whatever else there is: its result is the
// same, bit for bit, for every batch, every cut of a prompt and every max_kv_length. `fused`: every sequence
// has exactly one row, and its key and value, not yet in the pages, are taken from k and v and stored on the
// way.
void attention_rows(const Context& context, const AttentionParams& params, DType pages, int64_t max_kv_length,
                    bool fused);

// The fused rows of a decode step, as fast as can be, but not independent of what else there is. Returns
// false, having done nothing, unless all is fp16 or all bf16, in vectors, of head sizes and page sizes that
// it knows.
bool attention_decode(const Context& context, const AttentionParams& params, DType dtype, int64_t pages,
                      int64_t max_kv_length);

// What attention_decode() gives to attention_ring(), for steps of many sequences.
struct DecodeParams;  // device/decode_worker.cuh
struct DecodeCase {
  DType dtype;  // of everything
  int64_t head_size, rows, pages, max_kv_length;
};
void attention_ring(const Context& context, const DecodeParams& params, const DecodeCase& of);
// Whether there are enough of them, and this GPU has the copy engine.
bool ring_fits(const DecodeParams& params, const DecodeCase& of);

// Tensor cores, for sequences of many rows. q, y and the pages fp16 or bf16 alike, vectors, head_size a
// multiple of 8, scale above 0 and flash_fits().
void attention_flash(const Context& context, const AttentionParams& params, int64_t max_kv_length);
// Whether this GPU has the shared memory for it.
bool flash_fits(int64_t head_size);

// The same on Hopper's own tensor core instructions, for pages of which hopper_fits() approves.
void attention_hopper(const Context& context, const AttentionParams& params, int64_t pages,
                      int64_t max_kv_length);
bool hopper_fits(const AttentionParams& params, int64_t pages);

// How tiles of query rows are shared out among blocks: see flash_tile() in device/attention_tiles.cuh.
struct FlashGrid {
  int slots, section;
};
FlashGrid flash_grid(const AttentionParams& params, int64_t tile_rows, int64_t max_kv_length);

}  // namespace bolide::cuda
