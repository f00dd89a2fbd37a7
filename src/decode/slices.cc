#include "decode/slices.h"

#include <algorithm>
#include <bit>

#include "comm/communicator.h"
#include "comm/dist.h"
#include "ops/candidates.h"
#include "ops/concat_columns.h"

namespace bolide {
namespace {

int ranks(const Context& context) { return context.tensor_comm ? context.tensor_comm->size() : 1; }

Dist::Range my_ids(const Context& context, int64_t vocab) {
  return Dist{.tensor_size = ranks(context), .tensor_rank = context.tensor_comm->rank()}.vocab_part(vocab);
}

View part_of(const View& view, int64_t at, DType dtype, Shape shape) {
  return {view.as<int32_t>() + at, dtype, shape, view.device};
}

// One message a rank: values [rows, k], ids [rows, k], and for log-probabilities totals [rows, 2]. find()
// leaves this rank's there. Of `local` all but the logits.
template <class Find>
void draw_from_candidates(const Context& context, const SampleArgs& local, int64_t k, const Find& find) {
  const int64_t rows = static_cast<int64_t>(local.rows.size()), parts = ranks(context);
  const int64_t totals_at = 2 * rows * k, words = totals_at + (local.log_probs.empty() ? 0 : 2 * rows);
  const View mine = context.arena->take({words}, DType::kI32);
  const View all = context.arena->take({parts, words}, DType::kI32);
  const View beside = context.arena->take({2 * rows, parts * k}, DType::kI32);
  View my_totals, totals;
  if (!local.log_probs.empty()) {
    my_totals = part_of(mine, totals_at, DType::kF32, {rows, 2});
    totals = part_of(all, totals_at, DType::kF32, {parts, rows, 2});
    totals.row_stride = words;
  }
  find(part_of(mine, 0, DType::kF32, {rows, k}), part_of(mine, rows * k, DType::kI32, {rows, k}), my_totals);
  context.tensor_comm->all_gather(context, mine, all);
  concat_columns(
      context,
      {.x = part_of(all, 0, DType::kI32, {2 * rows, k}), .parts = parts, .part_stride = words, .y = beside});
  sample(context, {.logits = part_of(beside, 0, DType::kF32, {rows, parts * k}),
                   .rows = local.rows,
                   .ids = local.ids,
                   .log_probs = local.log_probs,
                   .all_greedy = local.all_greedy || k == 1,
                   .ids_of = beside.slice_rows(rows, 2 * rows),
                   .totals = totals});
}

}  // namespace

int64_t candidates_wanted(std::span<const SampleRow> rows, int64_t vocab) {
  int64_t most = 1;
  for (const SampleRow& row : rows) {
    const int64_t k = candidates_of(row);
    if (k == 0 || k >= vocab || k > kMaxCandidates) return 0;
    most = std::max(most, k);
  }
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(most)));
}

void sample_slices(const Context& context, const SampleArgs& local, int64_t vocab, int64_t candidates) {
  if (ranks(context) == 1) return sample(context, local);
  if (local.rows.empty()) return;
  const Dist::Range mine = my_ids(context, vocab);
  const int64_t rows = static_cast<int64_t>(local.rows.size());
  BOLIDE_CHECK(local.logits.shape == Shape({rows, mine.size()}), "logits {} of ids [{}, {})",
               local.logits.shape.str(), mine.begin, mine.end);
  const Arena::Scope scope(*context.arena);
  if (candidates > 0) {
    return draw_from_candidates(context, local, candidates,
                                [&](const View& values, const View& ids, const View& totals) {
                                  bolide::candidates(context, {.logits = local.logits,
                                                               .rows = local.rows,
                                                               .begin = mine.begin,
                                                               .values = values,
                                                               .ids = ids,
                                                               .totals = totals});
                                });
  }
  SampleArgs whole = local;
  whole.logits = context.arena->take({rows, vocab}, DType::kF32);
  gather_logits(context, local.logits, whole.logits);
  sample(context, whole);
}

void greedy_slices(const Context& context, std::span<const SampleRow> rows, std::span<int32_t> ids,
                   int64_t vocab, const std::function<void(const Argmax&)>& find) {
  if (rows.empty()) return;
  const Arena::Scope scope(*context.arena);
  if (ranks(context) == 1) {
    const Shape shape = {static_cast<int64_t>(rows.size()), 1};
    return find({.values = context.arena->take(shape, DType::kF32),
                 .ids = View(ids.data(), DType::kI32, shape, context.device)});
  }
  draw_from_candidates(context, {.logits = {}, .rows = rows, .ids = ids, .log_probs = {}, .all_greedy = true},
                       1, [&](const View& values, const View& found, const View&) {
                         find({.values = values, .ids = found, .begin = my_ids(context, vocab).begin});
                       });
}

void gather_logits(const Context& context, const View& local, const View& whole) {
  const int64_t rows = whole.shape[0], vocab = whole.shape[1], parts = ranks(context);
  if (rows == 0) return;
  if (parts == 1) return concat_columns(context, {.x = local, .y = whole});
  BOLIDE_CHECK(local.shape == Shape({rows, my_ids(context, vocab).size()}), "logits {} of {} ids",
               local.shape.str(), vocab);
  const Arena::Scope scope(*context.arena);
  // The first rank's columns are the most that any has.
  const int64_t columns = Dist{.tensor_size = ranks(context)}.vocab_part(vocab).size();
  View mine = local;
  if (local.shape[1] < columns || !local.contiguous()) {
    mine = context.arena->take({rows, columns}, DType::kF32);
    concat_columns(context, {.x = local, .y = mine.slice_columns(0, local.shape[1])});
  }
  const View all = context.arena->take({parts, rows, columns}, DType::kF32);
  context.tensor_comm->all_gather(context, mine, all);
  concat_columns(context, {.x = View(all.data, DType::kF32, {rows, columns}, all.device),
                           .parts = parts,
                           .part_stride = rows * columns,
                           .y = whole});
}

}  // namespace bolide
