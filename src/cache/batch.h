#pragma once

#include <cstdint>
#include <vector>

namespace bolide {

// One step's work, ragged: no padding anywhere. T tokens of S sequences; prefill, chunked prefill and decode
// differ only in how many rows a sequence brings.
struct Batch {
  std::vector<int32_t> token_ids;      // [T]
  std::vector<int32_t> positions;      // [T] index of the token within its sequence
  std::vector<int32_t> query_offsets;  // [S + 1], starts at 0
  std::vector<int32_t> kv_lengths;     // [S] cached tokens after this step's are written
  std::vector<int64_t> slots;          // [T] page * page_size + row where the token's key and value go
  std::vector<int32_t> page_table;     // [S, max_pages], unused entries 0
  int64_t max_pages = 0;
  std::vector<int32_t> logit_rows;  // rows of [0, T) whose logits are wanted, ascending

  int64_t tokens() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t sequences() const { return static_cast<int64_t>(kv_lengths.size()); }
};

}  // namespace bolide
