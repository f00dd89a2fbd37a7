#include "ops/ref/element.h"
#include "ops/ref/ref.h"

namespace bolide::ref {

std::vector<double> rotary(const RotaryArgs& args) {
  const int64_t pairs = args.cos.shape[1], width = args.x.shape[1];
  std::vector<double> y = elements(args.x);
  for (int64_t t = 0; t < args.x.shape[0]; ++t) {
    for (int64_t head = 0; head < width; head += args.head_size) {
      for (int64_t i = 0; i < pairs; ++i) {
        const int64_t a = head + (args.interleaved ? 2 * i : i),
                      b = head + (args.interleaved ? 2 * i + 1 : i + pairs);
        const double cos = element(args.cos, t, i), sin = element(args.sin, t, i);
        y[static_cast<size_t>(t * width + a)] = element(args.x, t, a) * cos - element(args.x, t, b) * sin;
        y[static_cast<size_t>(t * width + b)] = element(args.x, t, b) * cos + element(args.x, t, a) * sin;
      }
    }
  }
  return y;
}

}  // namespace bolide::ref
