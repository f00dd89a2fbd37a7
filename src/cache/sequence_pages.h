#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "cache/page_pool.h"

namespace bolide {

// A page whose contents must be copied before the next step writes to `to` (KvCache::copy_page).
struct PageCopy {
  int32_t from = 0;
  int32_t to = 0;
};

// One sequence's pages: token j lies in pages()[j / page_size], row j % page_size, unless it was dropped.
// Owns one reference to each, given back by the destructor. The pool must outlive it. Movable; fork() is the
// copy.
class SequencePages {
 public:
  SequencePages() = default;
  SequencePages(PagePool& pool, int64_t page_size) : pool_(&pool), page_size_(page_size) {}
  SequencePages(SequencePages&& other) noexcept;
  SequencePages& operator=(SequencePages&& other) noexcept;
  ~SequencePages() { clear(); }

  // Takes pages until `tokens` tokens have room. False, and nothing taken, when the pool has too few.
  bool reserve(int64_t tokens);
  // Makes the rows of tokens [tokens(), tokens() + count) writable and counts them in: takes pages where they
  // are missing, and replaces pages that a fork shares by own ones, with one entry in `copies` for each that
  // holds older tokens. False, and nothing changed, when the pool has too few pages.
  bool append(int64_t count, std::vector<PageCopy>& copies);
  // Nobody reads tokens before `token` any more: the pages of none but such are dropped. Those that this
  // sequence has alone become its next ones, as long as `tokens` tokens have no room yet, so that who was
  // admitted never has to ask for more; all others go back.
  void drop_before(int64_t token, int64_t tokens);
  // A second owner of the same pages; the next append() of either takes its own copy of what it writes to.
  SequencePages fork() const;
  // Gives all pages back.
  void clear();

  int64_t tokens() const { return tokens_; }
  std::span<const int32_t> pages() const { return pages_; }  // those dropped are 0
  // Batch::slots of token `position`, which must have a page.
  int64_t slot(int64_t position) const {
    return int64_t{pages_[position / page_size_]} * page_size_ + position % page_size_;
  }

 private:
  PagePool* pool_ = nullptr;
  int64_t page_size_ = 1;
  int64_t tokens_ = 0;  // appended so far
  std::vector<int32_t> pages_;
  int64_t dropped_ = 0;  // pages, the first of pages_
};

// Pages that `tokens` tokens take.
constexpr int64_t pages_for(int64_t tokens, int64_t page_size) {
  return (tokens + page_size - 1) / page_size;
}

// Pages that a sequence of up to `tokens` tokens has at once, when those that nobody reads any more are
// dropped before each step: no step brings more than `rows` of its tokens, and none reads what is `window` or
// more away (0: all is read).
constexpr int64_t pages_at_once(int64_t tokens, int64_t window, int64_t rows, int64_t page_size) {
  const int64_t all = pages_for(tokens, page_size);
  if (window == 0 || window >= tokens) return all;
  // The first row reads window - 1 tokens before it; of a stretch of tokens both ends may lie within a page.
  return std::min(all, pages_for(window + rows - 2, page_size) + 1);
}

}  // namespace bolide
