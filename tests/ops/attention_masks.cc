#include <algorithm>
#include <random>

#include "ops/shapes.h"

namespace bolide::test {
namespace {

// Draws the sizes of a case whose kinds are given.
class Shapes {
 public:
  explicit Shapes(Device device) : gpu_(device == Device::kCuda) {}

  enum Mode : int { kDecode, kFewRows, kPrompts, kLongPrompts, kCrowd };

  void draw(Mode mode, AttentionShape& shape) {
    // Of a GPU's decode kernels only these two; and both kinds of tiles have paddings of their own.
    const bool fast = gpu_ && (mode == kDecode || mode == kCrowd) && pick({0, 1, 1}) == 1;
    shape.head_size = fast ? pick({64, 128}) : pick({8, 20, 31, 40, 64, 80, 96, 128, 256});
    shape.kv_heads = pick({1, 1, 1, 2, 3});
    shape.heads = shape.kv_heads * pick({1, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 20});
    shape.page_size = fast ? pick({16, 32}) : pick({1, 3, 8, 16, 16, 16, 64});
    shape.gap = gpu_ && pick({0, 1, 1}) == 1 ? 64 : 3;
    const int64_t longest = gpu_ ? pick({80, 300, 700}) : pick({20, 60, 150});
    const int64_t sequences = mode == kCrowd ? 140 : pick({1, 2, 3});
    if (mode == kLongPrompts) shape.heads = shape.kv_heads * pick({1, 2, 4});  // or the oracle takes minutes
    if (mode == kCrowd) shape.kv_heads = 24, shape.heads = 24 * pick({1, 1, 2, 3});
    for (int64_t s = 0; s < sequences; ++s) {
      const int64_t most = mode == kDecode || mode == kCrowd ? 1
                           : mode == kFewRows                ? 7
                           : mode == kPrompts                ? 64
                                                             : 300;
      const int64_t length = 1 + below(mode == kCrowd ? 120 : longest);
      shape.lengths.push_back(length);
      const int64_t least = std::min(mode == kLongPrompts ? length : 1, most);
      shape.queries.push_back(std::min(length, least + below(most - least + 1)));
      if (shape.mask == MaskKind::kPrefix)
        shape.prefixes.push_back(static_cast<int32_t>(below(length + length / 4 + 1)));
    }
  }
  // From one key to more than there are.
  int64_t window(const AttentionShape& shape) {
    const int64_t longest = *std::max_element(shape.lengths.begin(), shape.lengths.end());
    const int64_t windows[] = {1, 2, 16, 17, 1 + below(longest), 1 + below(longest), longest, longest + 5};
    return windows[below(8)];
  }
  int64_t pick(std::initializer_list<int64_t> of) {
    return of.begin()[below(static_cast<int64_t>(of.size()))];
  }
  int64_t below(int64_t limit) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(limit)); }

 private:
  bool gpu_;
  std::mt19937 random_{71};
};

}  // namespace

// Every kind of mask with every kind of position, with windows and soft caps and without, for each kind of
// step; sizes at random.
Cases attention_masks(Device device) {
  Shapes shapes(device);
  Cases cases;
  std::vector<Shapes::Mode> modes = {Shapes::kDecode, Shapes::kFewRows, Shapes::kPrompts};
  if (device == Device::kCuda) modes.insert(modes.end(), {Shapes::kLongPrompts, Shapes::kCrowd});
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (MaskKind mask : {MaskKind::kCausal, MaskKind::kFull, MaskKind::kPrefix}) {
      // No positions, ALiBi, a table by distance; each also capped, and without and with a window.
      for (int kind = 0; kind < 12; ++kind) {
        for (Shapes::Mode mode : modes) {
          if (mode == Shapes::kCrowd && mask != MaskKind::kCausal) continue;  // of decoding texts
          AttentionShape shape;
          shape.dtype = dtype;
          shape.activation = activation_dtype(device, dtype);
          shape.mask = mask;
          shape.alibi = kind % 3 == 1;
          shape.far = kind % 3 == 2 ? shapes.pick({0, 1, 7, 128}) : -1;
          shape.soft_cap = kind / 3 % 2 == 1 ? 0.5f : 0;
          shapes.draw(mode, shape);
          if (kind >= 6) shape.window = shapes.window(shape);
          // A row a sequence, with its key and value, is what decode kernels are made for.
          shape.fused = mode == Shapes::kDecode || mode == Shapes::kCrowd || shapes.pick({0, 1}) == 1;
          cases.push_back([shape] { return attention_case(shape); });
        }
      }
    }
  }
  return cases;
}

// Queries and new keys that turn first: whole heads and parts of them, decoding and prompts, groups of heads,
// so many sequences that each has a warp.
Cases attention_rotary(Device device) {
  Cases cases;
  std::vector<int64_t> crowd(140);
  for (size_t i = 0; i < crowd.size(); ++i) crowd[i] = 1 + static_cast<int64_t>(i) * 7 % 150;
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    AttentionShape shape = {.queries = {},
                            .lengths = {},
                            .dtype = dtype,
                            .activation = activation_dtype(device, dtype),
                            .alibi = false,
                            .fused = true,
                            .gap = 64};
    const auto each = [&](const std::vector<int64_t>& queries, const std::vector<int64_t>& lengths) {
      shape.queries = queries;
      shape.lengths = lengths;
      for (int64_t head_size : {8, 64, 80, 128}) {
        if (device == Device::kCpu && head_size % 16 == 0 && head_size != 80) continue;  // as any other
        for (int64_t kv_heads : {2, 8}) {
          shape.heads = 8;
          shape.kv_heads = kv_heads;
          shape.head_size = head_size;
          for (int64_t pairs : {head_size / 2, head_size / 4}) {
            shape.rotary = pairs;
            for (const bool interleaved : {false, true}) {
              shape.interleaved = interleaved;
              cases.push_back([shape] { return attention_case(shape); });
            }
          }
        }
      }
    };
    each({1, 1, 1}, {1, 33, 100});
    each({17, 1, 9}, {17, 40, 33});
    shape.fused = false;
    each({1, 1}, {20, 30});
    if (device == Device::kCpu) continue;
    shape.fused = true;
    each({1, 1, 1}, {500, 130, 900});
    each(std::vector<int64_t>(crowd.size(), 1), crowd);
    each({100}, {300});
    shape.window = 40;
    each({1, 1, 1}, {500, 30, 900});
  }
  return cases;
}

}  // namespace bolide::test
