#pragma once

#include <functional>

#include "ops/matmul.h"
#include "ops/sample.h"

namespace bolide {

// Draws where each rank of context.tensor_comm holds the logits of its own ids, Dist::vocab_part(vocab).
// Every rank calls these together, with the same rows. Nothing here waits on the host or allocates outside
// context.arena: on a GPU it can be captured.

// How many logits of a row each rank sends the others: all (0), its largest (1), or a power of 2 that the
// rows' top_k do not exceed. Whole rows go where a row draws from more than kMaxCandidates, top_p without
// top_k among them. `rows` in host memory.
inline constexpr int64_t kMaxCandidates = 1024;
int64_t candidates_wanted(std::span<const SampleRow> rows, int64_t vocab);

// sample(), of which each rank gets all ids, and the same ones, bit for bit, as one rank would that has the
// whole rows. Log-probabilities differ by the rounding of the ranks' sums, at most 4e-6 + 1e-7 of their size:
// an fp32 exp() is off by 1.2e-7 of its argument, whose size is ln(vocab) = 12 at the most where it matters.
// local.logits [rows, vocab_part(vocab)]; all else of `local` is for all ranks. `candidates` may be more than
// candidates_wanted(), or 0. Without a tensor_comm this is sample() itself.
void sample_slices(const Context& context, const SampleArgs& local, int64_t vocab, int64_t candidates);

// The same of rows that are all greedy, and of which no log-probabilities are wanted, without their logits:
// find() leaves the largest of this rank's, as MatmulArgs::argmax, where it is told to. `rows` and `ids`
// [rows], as in SampleArgs.
void greedy_slices(const Context& context, std::span<const SampleRow> rows, std::span<int32_t> ids,
                   int64_t vocab, const std::function<void(const Argmax&)>& find);

// whole [rows, vocab] = the ranks' local [rows, vocab_part(vocab)] side by side; fp32, rows may be strided.
void gather_logits(const Context& context, const View& local, const View& whole);

}  // namespace bolide
