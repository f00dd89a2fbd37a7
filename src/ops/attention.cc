#include "ops/attention.h"

#include <cmath>

#include "ops/check.h"
#include "ops/rotary.h"
#include "tensor/has_cuda.h"

namespace bolide {
namespace {
void check_pages(const Context& context, const View& k, const View& v) {
  BOLIDE_CHECK(k.shape.rank() == 4 && k.shape == v.shape && k.dtype == v.dtype && k.contiguous() &&
                   v.contiguous() && k.device == context.device && v.device == context.device,
               "pages are {} {} and {} {}", name_of(k.dtype), k.shape.str(), name_of(v.dtype), v.shape.str());
  BOLIDE_CHECK(k.dtype == DType::kF32 || k.dtype == DType::kF16 || k.dtype == DType::kBF16);
}

// What decides a score but for q and k.
void check_score(const Context& context, const AttentionArgs& args, int64_t sequences) {
  const PositionBias& position = args.position;
  if (!position.alibi_slopes.empty())
    check_vector(context, "alibi_slopes", position.alibi_slopes, args.heads);
  if (!position.relative.empty()) {
    const int64_t entries = position.relative.shape[1];
    check_matrix(context, "relative", position.relative, args.heads, entries, DType::kF32);
    BOLIDE_CHECK(entries % 2 == 1 && position.alibi_slopes.empty() && position.relative.contiguous(),
                 "{} entries", entries);
  }
  BOLIDE_CHECK(args.mask.window >= 0 && args.mask.window <= kNoWindow && args.soft_cap >= 0);
  if (args.mask.kind == MaskKind::kPrefix)
    BOLIDE_CHECK(static_cast<int64_t>(args.mask.prefix_lengths.size()) == sequences);
}

// Of arrays that the host can read.
void check_sequences(const AttentionArgs& args) {
  const int64_t sequences = static_cast<int64_t>(args.kv_lengths.size());
  const PagedKv& kv = args.kv;
  BOLIDE_CHECK(args.query_offsets[0] == 0 && args.query_offsets[sequences] == args.q.shape[0]);
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t queries = args.query_offsets[s + 1] - args.query_offsets[s];
    const int64_t pages = (args.kv_lengths[s] + kv.page_size() - 1) / kv.page_size();
    BOLIDE_CHECK(queries >= 0 && args.kv_lengths[s] >= queries && pages <= kv.max_pages &&
                     queries <= args.max_query && args.kv_lengths[s] <= args.max_kv_length,
                 "sequence {}: {} queries, {} cached tokens, {} of {} pages", s, queries, args.kv_lengths[s],
                 pages, kv.max_pages);
    if (args.mask.kind == MaskKind::kPrefix)
      BOLIDE_CHECK(args.mask.prefix_lengths[s] >= 0, "prefix {}", args.mask.prefix_lengths[s]);
    for (int64_t p = 0; p < pages; ++p) {
      const int32_t page = kv.page_table[s * kv.max_pages + p];
      BOLIDE_CHECK(page >= 0 && page < kv.k.shape[0], "sequence {}: page {}", s, page);
    }
  }
}
}  // namespace

void turn(const Context& context, const AttentionArgs& args) {
  const int64_t head_size = args.kv.k.shape[3];
  View q = args.q;
  const size_t width = static_cast<size_t>(q.shape[1]) * size_of(q.dtype);
  const bool adjacent =
      args.k.data == static_cast<std::byte*>(q.data) + width && args.k.row_stride == q.row_stride;
  if (adjacent) q.shape[1] += args.k.shape[1];
  const auto turn_heads = [&](const View& x) {
    rotary(
        context,
        {.x = x, .head_size = head_size, .cos = args.cos, .sin = args.sin, .interleaved = args.interleaved});
  };
  turn_heads(q);
  if (!args.k.empty() && !adjacent) turn_heads(args.k);
}

void kv_write(const Context& context, const KvWriteArgs& args) {
  check_context(context);
  check_pages(context, args.k_pages, args.v_pages);
  const int64_t tokens = static_cast<int64_t>(args.slots.size());
  const int64_t width = args.k_pages.shape[1] * args.k_pages.shape[3];
  check_activations(context, "k", args.k, tokens, width);
  check_activations(context, "v", args.v, tokens, width);
  if (context.device == Device::kCpu) {
    for (int64_t slot : args.slots)
      BOLIDE_CHECK(slot >= 0 && slot < args.k_pages.shape[0] * args.k_pages.shape[2], "slot {}", slot);
  }
  if (tokens == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::kv_write(context, args);
  }
  cpu::kv_write(context, args);
}

void attention(const Context& context, const AttentionArgs& args) {
  check_context(context);
  check_pages(context, args.kv.k, args.kv.v);
  BOLIDE_CHECK(args.q.shape.rank() == 2 && args.heads > 0 && args.heads % args.kv.kv_heads() == 0);
  const int64_t tokens = args.q.shape[0], width = args.heads * args.kv.k.shape[3];
  check_activations(context, "q", args.q, tokens, width);
  check_matrix(context, "y", args.y, tokens, width, args.q.dtype);
  BOLIDE_CHECK(!overlap(args.q, args.y), "y overlaps q");
  if (!args.k.empty()) {
    const int64_t kv_width = args.kv.kv_heads() * args.kv.k.shape[3];
    check_matrix(context, "k", args.k, tokens, kv_width, args.q.dtype);
    check_matrix(context, "v", args.v, tokens, kv_width, args.q.dtype);
    BOLIDE_CHECK(static_cast<int64_t>(args.slots.size()) == tokens);
  }
  if (!args.cos.empty()) {
    BOLIDE_CHECK(args.cos.shape.rank() == 2 && 2 * args.cos.shape[1] <= args.kv.k.shape[3]);
    check_matrix(context, "cos", args.cos, tokens, args.cos.shape[1]);
    check_matrix(context, "sin", args.sin, tokens, args.cos.shape[1]);
  }
  const int64_t sequences = static_cast<int64_t>(args.kv_lengths.size());
  check_score(context, args, sequences);
  BOLIDE_CHECK(static_cast<int64_t>(args.query_offsets.size()) == sequences + 1 &&
               static_cast<int64_t>(args.kv.page_table.size()) >= sequences * args.kv.max_pages);
  if (tokens == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::attention(context, args);
  }
  check_sequences(args);
  if (!args.cos.empty()) turn(context, args);
  if (!args.k.empty()) {
    kv_write(context,
             {.k = args.k, .v = args.v, .slots = args.slots, .k_pages = args.kv.k, .v_pages = args.kv.v});
  }
  cpu::attention(context, args);
}

std::vector<float> alibi_slopes(int64_t heads) {
  BOLIDE_CHECK(heads > 0);
  int64_t power = 1;
  while (power * 2 <= heads) power *= 2;
  // The base is rounded to float32 before it is raised, as Hugging Face's tensors do: slopes must match to
  // the last bit.
  std::vector<float> slopes;
  const auto add = [&](int64_t of_heads, int64_t step, int64_t count) {
    const float base =
        static_cast<float>(std::pow(2.0, -std::pow(2.0, -(std::log2(static_cast<double>(of_heads)) - 3))));
    for (int64_t i = 0; i < count; ++i)
      slopes.push_back(static_cast<float>(std::pow(static_cast<double>(base), 1 + i * step)));
  };
  add(power, 1, power);
  if (power < heads) add(2 * power, 2, std::min(power, heads - power));
  return slopes;
}

}  // namespace bolide
