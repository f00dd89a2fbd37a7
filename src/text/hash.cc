#include "text/hash.h"

#include <random>

namespace bolide::text {

HashSeeds::HashSeeds() {
  std::random_device random;
  const auto draw = [&] { return uint64_t{random()} << 32 | random(); };
  first = draw();
  second = draw();
}

}  // namespace bolide::text
