#include "cache/page_pool.h"

#include <limits>

#include "base/error.h"

namespace bolide {

PagePool::PagePool(int64_t pages) {
  BOLIDE_CHECK(0 < pages && pages <= std::numeric_limits<int32_t>::max(), "{} pages", pages);
  references_.assign(pages, 0);
  free_.resize(pages);
  for (int64_t i = 0; i < pages; ++i) free_[i] = static_cast<int32_t>(pages - 1 - i);
}

std::optional<int32_t> PagePool::take() {
  if (free_.empty()) return std::nullopt;
  const int32_t page = free_.back();
  free_.pop_back();
  references_[page] = 1;
  return page;
}

void PagePool::share(int32_t page) {
  BOLIDE_CHECK(references_[page] > 0, "page {} is free", page);
  ++references_[page];
}

void PagePool::release(int32_t page) {
  BOLIDE_CHECK(references_[page] > 0, "page {} is released twice", page);
  if (--references_[page] == 0) free_.push_back(page);  // never allocates: capacity is all pages
}

}  // namespace bolide
