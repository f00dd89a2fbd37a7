#include "ops/rotary.h"

#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void rotary(const Context& context, const RotaryArgs& args) {
  const int64_t pairs = args.cos.shape[1], width = args.x.shape[1];
  // One of a pair is `step` behind the other, pairs are `stride` apart.
  const int64_t stride = args.interleaved ? 2 : 1, step = args.interleaved ? 1 : pairs;
  const Context chosen = for_light_work(context, args.x.shape.count());
  parallel_ranges(chosen, args.x.shape[0], [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* cos = args.cos.as<float>() + t * args.cos.row_stride;
      const float* sin = args.sin.as<float>() + t * args.sin.row_stride;
      float* row = args.x.as<float>() + t * args.x.row_stride;
      for (float* head = row; head < row + width; head += args.head_size) {
        for (int64_t i = 0; i < pairs; ++i) {
          float &a = head[i * stride], &b = head[i * stride + step];
          const float x = a, y = b;
          a = x * cos[i] - y * sin[i];
          b = y * cos[i] + x * sin[i];
        }
      }
    }
  });
}

}  // namespace bolide::cpu
