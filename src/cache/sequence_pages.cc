#include "cache/sequence_pages.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace bolide {

SequencePages::SequencePages(SequencePages&& other) noexcept { *this = std::move(other); }

SequencePages& SequencePages::operator=(SequencePages&& other) noexcept {
  if (this == &other) return *this;
  clear();
  pool_ = other.pool_;
  page_size_ = other.page_size_;
  tokens_ = std::exchange(other.tokens_, 0);
  pages_ = std::exchange(other.pages_, {});
  dropped_ = std::exchange(other.dropped_, 0);
  return *this;
}

bool SequencePages::reserve(int64_t tokens) {
  const int64_t wanted = pages_for(tokens, page_size_), have = static_cast<int64_t>(pages_.size());
  if (wanted <= have) return true;
  if (wanted - have > pool_->free_pages()) return false;
  pages_.reserve(wanted);
  for (int64_t i = have; i < wanted; ++i) pages_.push_back(*pool_->take());
  return true;
}

bool SequencePages::append(int64_t count, std::vector<PageCopy>& copies) {
  BOLIDE_CHECK(count >= 0);
  if (count == 0) return true;
  const int64_t first = tokens_ / page_size_, end = pages_for(tokens_ + count, page_size_);
  const int64_t have = static_cast<int64_t>(pages_.size());
  int64_t missing = std::max<int64_t>(end - have, 0);
  for (int64_t i = first; i < std::min(end, have); ++i) missing += pool_->references(pages_[i]) > 1;
  if (missing > pool_->free_pages()) return false;

  for (int64_t i = first; i < std::min(end, have); ++i) {
    if (pool_->references(pages_[i]) == 1) continue;
    const int32_t own = *pool_->take();
    // Only the first page can hold older tokens; later ones are reserved but unwritten.
    if (i == first && tokens_ % page_size_ != 0) copies.push_back({pages_[i], own});
    pool_->release(pages_[i]);
    pages_[i] = own;
  }
  const bool reserved = reserve(tokens_ + count);
  BOLIDE_CHECK(reserved);
  tokens_ += count;
  return true;
}

void SequencePages::drop_before(int64_t token, int64_t tokens) {
  const int64_t end = std::min(token / page_size_, tokens_ / page_size_);
  for (; dropped_ < end; ++dropped_) {
    const int32_t page = std::exchange(pages_[dropped_], 0);
    if (pool_->references(page) == 1 && std::ssize(pages_) < pages_for(tokens, page_size_)) {
      pages_.push_back(page);
    } else {
      pool_->release(page);
    }
  }
}

SequencePages SequencePages::fork() const {
  BOLIDE_CHECK(pool_ != nullptr);
  SequencePages copy(*pool_, page_size_);
  copy.pages_ = pages_;
  copy.tokens_ = tokens_;
  copy.dropped_ = dropped_;
  for (size_t i = static_cast<size_t>(dropped_); i < pages_.size(); ++i) pool_->share(pages_[i]);
  return copy;
}

void SequencePages::clear() {
  for (size_t i = static_cast<size_t>(dropped_); i < pages_.size(); ++i) pool_->release(pages_[i]);
  pages_.clear();
  tokens_ = dropped_ = 0;
}

}  // namespace bolide
