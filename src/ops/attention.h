#pragma once

#include <span>
#include <vector>

#include "ops/attention_mask.h"
#include "tensor/context.h"

namespace bolide {

// One layer's keys and values in pages, and which pages belong to which sequence.
// Token j of sequence s lies in page page_table[s * max_pages + j / page_size], row j % page_size.
struct PagedKv {
  View k;                               // [pages, kv_heads, page_size, head_size] fp32, fp16 or bf16
  View v;                               // the same shape and dtype
  std::span<const int32_t> page_table;  // [sequences, max_pages], in the memory of the context's device
  int64_t max_pages = 0;
  int64_t page_size() const { return k.shape[2]; }
  int64_t kv_heads() const { return k.shape[1]; }
};

struct KvWriteArgs {
  View k;  // [tokens, kv_heads * head_size] fp32 or context.activation, rows may be strided
  View v;  // the same
  std::span<const int64_t> slots;  // [tokens]: page * page_size + row; on the device
  View k_pages, v_pages;           // as PagedKv::k and v
};
// Stores new keys and values into their pages, converted to the cache's dtype.
void kv_write(const Context& context, const KvWriteArgs& args);

// What a query sees of its sequence's keys.
struct AttentionMask {
  MaskKind kind = MaskKind::kCausal;
  int64_t window = 0;                            // only keys fewer than so many away; 0: no such bound
  std::span<const int32_t> prefix_lengths = {};  // kPrefix: [sequences], on the device
};

// What the places of query i and key j add to the score: nothing, or what one of these gives. (Rotary
// positions turn q and k themselves: ops/rotary.h.)
struct PositionBias {
  View alibi_slopes = {};  // [heads] fp32: slope * (j - i)
  // [heads, 2 * far + 1] fp32: by the distance j - i, from -far to far; what is further counts as that far.
  // Buckets of distances (T5) are such a table, too, once they are written out.
  View relative = {};
};

struct AttentionArgs {
  View q;  // [tokens, heads * head_size] fp32 or context.activation, rows may be strided
  // Keys and values of these tokens and their places, as KvWriteArgs: stored into the pages first. Empty: the
  // pages hold them already.
  View k = {}, v = {};
  std::span<const int64_t> slots = {};
  // Rotary positions, as RotaryArgs has them: q and k are turned first, and may be left so. [tokens, pairs]
  // fp32, or empty. A GPU may read them while the kernel before this one still runs, as the arrays below.
  View cos = {}, sin = {};
  bool interleaved = false;  // their pairs
  PagedKv kv;
  // These two in the memory of the context's device.
  std::span<const int32_t>
      query_offsets;                    // [sequences + 1]: sequence s owns rows [offsets[s], offsets[s + 1])
  std::span<const int32_t> kv_lengths;  // [sequences]: cached tokens, the new ones included
  // What a GPU kernel is launched for: no sequence has more query rows, or more cached tokens.
  int64_t max_query = 0, max_kv_length = 0;
  int64_t heads = 0;  // query heads; kv_heads divides it
  AttentionMask mask = {};
  PositionBias position = {};
  float scale = 1.0f;     // multiplies q.k
  float soft_cap = 0.0f;  // over 0: a score x becomes soft_cap * tanh(x / soft_cap)
  View y;                 // [tokens, heads * head_size] of q's dtype, rows may be strided
};
// softmax(cap(scale * q.k + bias(i, j))) v over the keys j in the pages that query i sees; the last query of
// a sequence is at position kv_length - 1. Pages that no query sees are not read: their entries of the page
// table may name any page. (ALiBi as slope * j and as slope * (j - i) differ by a constant per row, which
// softmax removes.) Flash-style: no score matrix in memory; fp32 accumulation.
void attention(const Context& context, const AttentionArgs& args);

// For backends: turns args.q and args.k in place, in one piece where they lie side by side.
void turn(const Context& context, const AttentionArgs& args);

// ALiBi slopes of all `heads` heads as the ALiBi paper and Hugging Face define them, also when not a power of
// two.
std::vector<float> alibi_slopes(int64_t heads);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void kv_write(const Context& context, const KvWriteArgs& args);
void attention(const Context& context, const AttentionArgs& args);
}  // namespace cpu
namespace cuda {
void kv_write(const Context& context, const KvWriteArgs& args);
void attention(const Context& context, const AttentionArgs& args);
}  // namespace cuda

}  // namespace bolide
