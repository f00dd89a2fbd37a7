#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace bolide {

// Which pages of the cache are in use, and by how many sequences. Knows ids and counts, never the memory.
// All operations are O(1). One thread at a time.
class PagePool {
 public:
  // 1 <= pages < 2^31.
  explicit PagePool(int64_t pages);

  // A free page, now with one reference; nothing when all are in use. The page freed last comes first: it is
  // the one whose memory is touched already and perhaps still in a cache.
  std::optional<int32_t> take();
  // One more sequence uses the page, which must be in use.
  void share(int32_t page);
  // One sequence less uses the page; the last one frees it.
  void release(int32_t page);

  int32_t references(int32_t page) const { return references_[page]; }
  int64_t free_pages() const { return pages_ - std::ssize(references_) + std::ssize(free_); }
  int64_t pages() const { return pages_; }

 private:
  // A page is touched here when it is first taken: the size of a cache is a limit, not a price.
  int64_t pages_;
  std::vector<int32_t> references_;  // of the pages that were ever taken; 0 = free
  std::vector<int32_t> free_;        // of those, a stack
};

}  // namespace bolide
