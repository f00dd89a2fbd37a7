#pragma once

#include <span>

#include "tensor/context.h"

namespace bolide {

// One row's parameters, as in FasterTransformer: top_k == 0 and top_p == 0 is greedy; both set is top-k, then
// top-p.
struct SampleRow {
  float temperature = 1.0f;  // > 0; divides the logits
  int32_t top_k = 0;         // 0 = off
  float top_p = 0.0f;        // 0 = off, 1 = whole distribution
  uint64_t seed = 0;
  uint64_t request = 0;   // with seed and position, the whole state of the draw
  uint64_t position = 0;  // index of the token being drawn within its request
};

struct SampleArgs {
  // All in the memory of the context's device.
  View logits;                      // [rows, vocab] fp32, rows may be strided
  std::span<const SampleRow> rows;  // [rows]
  std::span<int32_t> ids;           // [rows], out
  std::span<float> log_probs;  // [rows], out: log softmax(logits / temperature) of the chosen id; or empty
  bool all_greedy = false;     // promises that every row is greedy, so that the rest need not be launched

  // For rows that are the candidates (ops/candidates.h) of longer ones. Each must be greedy or have a top_k;
  // it draws, bit for bit, what it would from the longer row.
  View ids_of = {};  // [rows, columns] int32: by column, rising but where the logit is minus infinity
  View totals = {};  // [parts, rows, 2] fp32, as candidates() gave them; only log_probs need it
};
// Draws one id per row. Greedy takes the lowest id among equals. Reproducible from (seed, request, position)
// alone. A row whose largest logit is not finite (it holds NaN or infinity, or nothing but minus infinity)
// gets kNoId, and NaN for its log-probability: garbage must not become a token.
void sample(const Context& context, const SampleArgs& args);

inline constexpr int32_t kNoId = -1;
constexpr bool is_greedy(const SampleRow& row) {
  return (row.top_k == 0 && row.top_p == 0) || row.top_k == 1;
}
// The backends, called through the functions above once arguments are checked.
namespace cpu {
void sample(const Context& context, const SampleArgs& args);
}  // namespace cpu
namespace cuda {
void sample(const Context& context, const SampleArgs& args);
}  // namespace cuda

}  // namespace bolide
