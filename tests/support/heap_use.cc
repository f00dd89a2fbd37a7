#include "support/heap_use.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> now{0}, peak{0};

void* take(size_t size) noexcept {
  void* made = std::malloc(size ? size : 1);
  if (!made) return nullptr;
  const int64_t all = now += static_cast<int64_t>(::malloc_usable_size(made));
  for (int64_t most = peak; most < all && !peak.compare_exchange_weak(most, all);) {
  }
  return made;
}

void* take_or_throw(size_t size) {
  if (void* made = take(size)) return made;
  throw std::bad_alloc();
}

void give(void* made) noexcept {
  if (made) now -= static_cast<int64_t>(::malloc_usable_size(made));
  std::free(made);
}

}  // namespace

// All but those for types of a large alignment, which are another pair.
void* operator new(size_t size) { return take_or_throw(size); }
void* operator new[](size_t size) { return take_or_throw(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return take(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return take(size); }
void operator delete(void* made) noexcept { give(made); }
void operator delete[](void* made) noexcept { give(made); }
void operator delete(void* made, size_t) noexcept { give(made); }
void operator delete[](void* made, size_t) noexcept { give(made); }
void operator delete(void* made, const std::nothrow_t&) noexcept { give(made); }
void operator delete[](void* made, const std::nothrow_t&) noexcept { give(made); }

namespace bolide::test {

int64_t heap_peak(const std::function<void()>& body) {
  const int64_t before = now;
  peak = before;
  body();
  return peak - before;
}

std::string repeated(const std::string& piece, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += piece;
  return all;
}

}  // namespace bolide::test
