#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/rotary.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/rotary.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256;

struct Turned {
  void* x;
  const float *cos, *sin;
  int64_t x_stride, cos_stride, sin_stride;  // elements
  int heads, head_size, pairs;
  bool interleaved;
};

// Grid: x = rows, y = blocks of kThreads * kCount pairs. A thread has kCount neighbouring pairs of a head:
// those of a vector, in halves, or one of either kind.
template <class T, int kCount>
__global__ void __launch_bounds__(kThreads) rotary_kernel(const __grid_constant__ Turned p) {
  wait_for_previous();
  let_next_start();
  const int each = p.pairs / kCount, item = static_cast<int>(blockIdx.y * kThreads + threadIdx.x);
  const int head = item / each, pair = item % each * kCount;
  if (head >= p.heads) return;
  const float* cos = p.cos + blockIdx.x * p.cos_stride + pair;
  const float* sin = p.sin + blockIdx.x * p.sin_stride + pair;
  T* from = static_cast<T*>(p.x) + blockIdx.x * p.x_stride + static_cast<int64_t>(head) * p.head_size;
  const auto turn = [](T& a, T& b, float c, float s) {
    const float2 turned = turn_pair(to_f32(a), to_f32(b), c, s);
    a = from_f32<T>(turned.x);
    b = from_f32<T>(turned.y);
  };
  if constexpr (kCount > 1) {
    uint4* low = reinterpret_cast<uint4*>(from + pair);
    uint4* high = reinterpret_cast<uint4*>(from + p.pairs + pair);
    alignas(16) T a[kCount], b[kCount];
    alignas(16) float c[kCount], s[kCount];
    *reinterpret_cast<uint4*>(a) = *low;
    *reinterpret_cast<uint4*>(b) = *high;
#pragma unroll
    for (int i = 0; i < kCount; i += 4) {
      *reinterpret_cast<float4*>(c + i) = *reinterpret_cast<const float4*>(cos + i);
      *reinterpret_cast<float4*>(s + i) = *reinterpret_cast<const float4*>(sin + i);
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) turn(a[i], b[i], c[i], s[i]);
    *low = *reinterpret_cast<const uint4*>(a);
    *high = *reinterpret_cast<const uint4*>(b);
  } else {
    T* a = from + (p.interleaved ? 2 * pair : pair);
    turn(a[0], a[p.interleaved ? 1 : p.pairs], cos[0], sin[0]);
  }
}

// Whether every row begins on a boundary of 16 bytes.
bool aligned(const View& view) {
  const int64_t stride = view.shape[0] > 1 ? view.row_stride : 0;
  return (reinterpret_cast<uintptr_t>(view.data) | static_cast<uintptr_t>(stride) * size_of(view.dtype)) %
             16 ==
         0;
}

struct Angles {
  const int32_t* positions;
  const float *frequencies, *long_frequencies;  // the second may be null
  const int32_t* query_offsets;
  const int32_t* prompt_lengths;
  float *cos, *sin;
  int64_t cos_stride, sin_stride;
  int tokens, pairs, sequences;
  float scale;
  RotaryGrowth growth;
};

// The pair's frequency in a text of so many tokens, as the CPU computes it: rounded to fp32 where that
// rounds.
__device__ float grown_frequency(const Angles& p, int pair, int length) {
  const RotaryGrowth& g = p.growth;
  const double dims = 2.0 * p.pairs;
  const double longer = g.factor * length / static_cast<double>(g.trained) - (g.factor - 1);
  const auto theta = static_cast<float>(g.theta * pow(longer, dims / (dims - 2)));
  const float exponent = __fdiv_rn(static_cast<float>(2 * pair), static_cast<float>(2 * p.pairs));
  return __fdiv_rn(1.0f, static_cast<float>(pow(static_cast<double>(theta), static_cast<double>(exponent))));
}

// One pair of one token a thread. Sines and cosines of large angles: the library's own, not the fast ones.
__global__ void __launch_bounds__(kThreads) rotary_angles_kernel(const __grid_constant__ Angles p) {
  wait_for_previous();
  let_next_start();
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int token = static_cast<int>(item / p.pairs), pair = static_cast<int>(item % p.pairs);
  if (token >= p.tokens) return;
  const int position = p.positions[token];
  float frequency = p.frequencies[pair];
  if (p.growth.trained > 0) {
    int sequence = 0;  // the last that begins at the token or before it
    for (int end = p.sequences; end - sequence > 1;) {
      const int middle = (sequence + end) / 2;
      (p.query_offsets[middle] <= token ? sequence : end) = middle;
    }
    const int length = max(p.prompt_lengths[sequence], position + 1);
    if (length > p.growth.trained)
      frequency = p.long_frequencies ? p.long_frequencies[pair] : grown_frequency(p, pair, length);
  }
  float sin, cos;
  sincosf(__fmul_rn(static_cast<float>(position), frequency), &sin, &cos);
  p.cos[token * p.cos_stride + pair] = __fmul_rn(cos, p.scale);
  p.sin[token * p.sin_stride + pair] = __fmul_rn(sin, p.scale);
}

}  // namespace

void rotary(const Context& context, const RotaryArgs& args) {
  const int64_t pairs = args.cos.shape[1], heads = args.x.shape[1] / args.head_size;
  const Turned p = {.x = args.x.data,
                    .cos = args.cos.as<float>(),
                    .sin = args.sin.as<float>(),
                    .x_stride = args.x.row_stride,
                    .cos_stride = args.cos.row_stride,
                    .sin_stride = args.sin.row_stride,
                    .heads = static_cast<int>(heads),
                    .head_size = static_cast<int>(args.head_size),
                    .pairs = static_cast<int>(pairs),
                    .interleaved = args.interleaved};
  dispatch_float(args.x.dtype, [&]<class Stored>() {
    using T = device_t<Stored>;
    const bool vectors = !args.interleaved && pairs % kVector<T> == 0 && args.head_size % kVector<T> == 0 &&
                         aligned(args.x) && aligned(args.cos) && aligned(args.sin);
    const int64_t items = heads * pairs / (vectors ? kVector<T> : 1);
    const LaunchShape shape = {.grid = dim3(static_cast<unsigned>(args.x.shape[0]),
                                            static_cast<unsigned>((items + kThreads - 1) / kThreads)),
                               .block = dim3(kThreads),
                               .division = division_for(args.x.shape[0])};
    launch(context, "rotary", vectors ? rotary_kernel<T, kVector<T>> : rotary_kernel<T, 1>, shape, p);
  });
}

void rotary_angles(const Context& context, const RotaryAnglesArgs& args) {
  const int64_t tokens = args.cos.shape[0], pairs = args.cos.shape[1];
  const Angles p = {.positions = args.positions.data(),
                    .frequencies = args.frequencies.as<float>(),
                    .long_frequencies = static_cast<const float*>(args.long_frequencies.data),
                    .query_offsets = args.query_offsets.data(),
                    .prompt_lengths = args.prompt_lengths.data(),
                    .cos = args.cos.as<float>(),
                    .sin = args.sin.as<float>(),
                    .cos_stride = args.cos.row_stride,
                    .sin_stride = args.sin.row_stride,
                    .tokens = static_cast<int>(tokens),
                    .pairs = static_cast<int>(pairs),
                    .sequences = static_cast<int>(args.prompt_lengths.size()),
                    .scale = args.scale,
                    .growth = args.growth};
  launch(context, "rotary_angles", rotary_angles_kernel,
         {.grid = dim3(static_cast<unsigned>((tokens * pairs + kThreads - 1) / kThreads)),
          .block = dim3(kThreads),
          .division = division_for(tokens)},
         p);
}

}  // namespace bolide::cuda
