#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace bolide {

// One step's work, ragged: no padding anywhere. T tokens of S sequences; prefill, chunked prefill and decode
// differ only in how many rows a sequence brings.
struct Batch {
  std::vector<int32_t> token_ids;       // [T]; -1 - r: what row r of the previous step's draws became
  std::vector<int32_t> positions;       // [T] index of the token within its sequence
  std::vector<int32_t> query_offsets;   // [S + 1], starts at 0
  std::vector<int32_t> kv_lengths;      // [S] cached tokens after this step's are written
  std::vector<int32_t> prompt_lengths;  // [S] tokens of the whole prompt
  std::vector<int64_t> slots;           // [T] page * page_size + row where the token's key and value go
  std::vector<int32_t> page_table;      // [S, max_pages], unused entries 0
  int64_t max_pages = 0;
  std::vector<int32_t> logit_rows;  // rows of [0, T) whose logits are wanted, ascending

  int64_t tokens() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t sequences() const { return static_cast<int64_t>(kv_lengths.size()); }
};

// A Batch where the ops read it: the arrays lie in the memory of the context's device, the counts on the
// host. On a GPU the counts are what kernels are launched with, so they may exceed what the arrays say (a
// captured step serves every batch that fits it); rows beyond those are padding, whose results nobody reads.
struct BatchView {
  std::span<const int32_t> token_ids, positions, query_offsets, kv_lengths, page_table, logit_rows,
      prompt_lengths;
  std::span<const int32_t> previous_ids;  // what the previous step drew
  std::span<const int64_t> slots;
  int64_t max_pages = 0;
  int64_t max_query = 0;      // rows of the sequence that brings most
  int64_t max_kv_length = 0;  // cached tokens of the longest sequence

  int64_t tokens() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t sequences() const { return static_cast<int64_t>(kv_lengths.size()); }
};

// The batch in the host's own memory.
inline BatchView host_view(const Batch& batch) {
  BatchView view{.token_ids = batch.token_ids,
                 .positions = batch.positions,
                 .query_offsets = batch.query_offsets,
                 .kv_lengths = batch.kv_lengths,
                 .page_table = batch.page_table,
                 .logit_rows = batch.logit_rows,
                 .prompt_lengths = batch.prompt_lengths,
                 .previous_ids = {},
                 .slots = batch.slots,
                 .max_pages = batch.max_pages};
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    view.max_query = std::max<int64_t>(view.max_query, batch.query_offsets[s + 1] - batch.query_offsets[s]);
    view.max_kv_length = std::max<int64_t>(view.max_kv_length, batch.kv_lengths[s]);
  }
  return view;
}

}  // namespace bolide
