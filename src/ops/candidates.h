#pragma once

#include "ops/sample.h"

namespace bolide {

// Of rows whose columns are only some of the vocabulary's: what sample() needs of them in order to draw as
// from the whole row, once the candidates of all the other columns stand beside these (SampleArgs::ids_of).
struct CandidatesArgs {
  // All in the memory of the context's device.
  View logits;  // [rows, columns] fp32, rows may be strided; there may be no columns
  // [rows], each of them greedy or with a top_k of at most k; or empty with a k of 1 and without totals
  std::span<const SampleRow> rows = {};
  int64_t begin = 0;  // the id of column 0
  View values;        // [rows, k] fp32, out; k >= 1, and 1 promises that all rows are greedy
  View ids;           // [rows, k] int32, out
  View totals = {};   // [rows, 2] fp32, out: the largest logit, sum of exp((logit - largest) / temperature);
                      // or empty
};
// A greedy row's largest logit, or the top_k largest of a row; of equals the lowest ids; by rising id. Where
// the largest is not finite it comes alone, of id kNoId: NaN (wherever it is), infinity, or nothing but minus
// infinity. What is left of the k is minus infinity, of id kNoId.
void candidates(const Context& context, const CandidatesArgs& args);

// Of a row that holds a finite logit: how many candidates it wants.
constexpr int64_t candidates_of(const SampleRow& row) { return is_greedy(row) ? 1 : row.top_k; }
// The backends, called through the functions above once arguments are checked.
namespace cpu {
void candidates(const Context& context, const CandidatesArgs& args);
}  // namespace cpu
namespace cuda {
void candidates(const Context& context, const CandidatesArgs& args);
}  // namespace cuda

}  // namespace bolide
