#pragma once

#include <cstdint>
#include <functional>
#include <string>

// Counts what a test program takes from the heap: its CMakeLists.txt names ../support/heap_use.cc, too, which
// replaces the operators new and delete of the program.

namespace bolide::test {

// The bytes that `body` had from the heap at its worst, over what there was before, as the allocator rounds
// them. Of all threads.
int64_t heap_peak(const std::function<void()>& body);

// `piece`, `count` times.
std::string repeated(const std::string& piece, int count);

}  // namespace bolide::test
