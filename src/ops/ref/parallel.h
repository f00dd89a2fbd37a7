#pragma once

#include <omp.h>

#include <algorithm>

#include "base/parallel.h"

namespace bolide::ref {

// Runs body(i) for every i in [0, count). `steps` is about how many multiplications that are in all: below
// 100k of them (0.1 ms) waking the team costs more than it saves. More than 16 threads are of no use to the
// tests' shapes, and harm on a machine that lends out fewer cores than it shows.
template <class Body>
void for_each(int64_t count, int64_t steps, const Body& body) {
  const int threads = steps < 100'000 ? 1 : std::min(omp_get_max_threads(), 16);
  parallel_for(threads, count, body);
}

}  // namespace bolide::ref
