#include <algorithm>

#include "ops/shapes.h"

namespace bolide::test {
namespace {

constexpr DType kDtypes[] = {DType::kF32, DType::kF16, DType::kBF16};

void add(Cases& cases, const AttentionShape& shape) {
  cases.push_back([shape] { return attention_case(shape); });
}

}  // namespace

// Fewer key heads than heads: one for all of them, and some.
Cases attention_groups(Device device) {
  Cases cases;
  for (DType dtype : kDtypes)
    for (int64_t kv_heads : {1, 2, 4})
      for (int64_t head_size : {5, 16, 64, 128})
        for (bool prompts : {false, true})
          add(cases,
              {.queries = prompts ? std::vector<int64_t>{70, 1, 9} : std::vector<int64_t>{1, 1, 1},
               .lengths = prompts ? std::vector<int64_t>{200, 33, 9} : std::vector<int64_t>{200, 33, 1},
               .heads = 8,
               .kv_heads = kv_heads,
               .head_size = head_size,
               .page_size = head_size == 5 ? 3 : 16,
               .dtype = dtype,
               .activation = activation_dtype(device, dtype),
               .alibi = head_size != 16,
               .fused = head_size != 64 || !prompts,
               .gap = head_size == 128 ? 64 : 3});
  return cases;
}

// What each of the kernels makes of numbers that are none.
Cases attention_poisoned(Device device) {
  struct Kind {
    std::vector<int64_t> queries, lengths;
    int64_t heads, kv_heads, head_size;
  };
  const std::vector<int64_t> ones(4, 1), uneven = {40, 300, 1, 17}, longer = {9, 140, 70, 300};
  std::vector<Kind> kinds = {{ones, uneven, 2, 2, 64},
                             {ones, uneven, 2, 2, 31},
                             {{9, 12, 8, 20}, longer, 4, 2, 64},
                             {{9, 12, 8, 20}, longer, 2, 2, 20}};
  if (device == Device::kCuda) {
    std::vector<int64_t> crowd(140, 1), lengths(140);
    for (size_t i = 0; i < lengths.size(); ++i) lengths[i] = 1 + static_cast<int64_t>(i) * 7 % 150;
    kinds.insert(kinds.end(), {{ones, uneven, 8, 2, 64},
                               {ones, uneven, 4, 4, 128},
                               {ones, {900, 2000, 3000, 40}, 4, 4, 128},
                               {crowd, lengths, 24, 24, 64},
                               {crowd, lengths, 24, 4, 128},
                               {{9, 130, 70, 200}, {9, 140, 70, 300}, 4, 2, 64},
                               {{9, 130, 70, 200}, {9, 140, 70, 300}, 2, 2, 128},
                               {{9, 130, 70, 200}, {9, 140, 70, 300}, 2, 1, 256}});
  }
  Cases cases;
  for (const Kind& kind : kinds)
    for (DType dtype : kDtypes)
      add(cases, {.queries = kind.queries,
                  .lengths = kind.lengths,
                  .heads = kind.heads,
                  .kv_heads = kind.kv_heads,
                  .head_size = kind.head_size,
                  .dtype = dtype,
                  .activation = activation_dtype(device, dtype),
                  .alibi = kind.head_size != 128,
                  .fused = true,
                  .gap = 64,
                  .poisoned = true});
  return cases;
}

Cases attention_decode(Device device) {
  Cases cases;
  for (DType dtype : kDtypes) {
    const DType a = activation_dtype(device, dtype);
    for (int64_t head_size : {8, 20, 31, 64, 80, 128, 256})
      for (bool fused : {false, true})
        add(cases, {.queries = {1, 1, 1, 2},
                    .lengths = {1, 17, 300, 40},
                    .heads = 6,
                    .kv_heads = 3,
                    .head_size = head_size,
                    .dtype = dtype,
                    .activation = a,
                    .fused = fused});
    if (device == Device::kCpu) continue;
    for (int64_t head_size : {1, 40, 64, 128}) {
      for (bool fused : {false, true}) {
        add(cases, {.queries = {1},
                    .lengths = {3000},
                    .heads = 4,
                    .kv_heads = 4,
                    .head_size = head_size,
                    .dtype = dtype,
                    .activation = a,
                    .fused = fused,
                    .gap = 0});
        add(cases, {.queries = std::vector<int64_t>(20, 1),
                    .lengths = {1,  2,   15,  16,  17,  31,  32,  33,  63,  64,
                                65, 127, 128, 129, 255, 256, 257, 511, 512, 900},
                    .heads = 16,
                    .kv_heads = 2,
                    .head_size = head_size,
                    .dtype = dtype,
                    .activation = a,
                    .fused = fused,
                    .gap = 64});
      }
    }
    // Steps of nothing but decoding: around the units and tiles of their kernel; groups of more than 8 heads;
    // more sequences than fit on the GPU at once.
    std::vector<int64_t> many(40);
    for (size_t i = 0; i < many.size(); ++i) many[i] = 1 + static_cast<int64_t>(i) * 19;
    std::vector<int64_t> many_short(40);  // one tile a warp is enough for all
    for (size_t i = 0; i < many_short.size(); ++i) many_short[i] = 1 + static_cast<int64_t>(i) * 6;
    const std::vector<std::vector<int64_t>> lengths = {
        {1},
        {1000},
        {144, 1, 100, 17, 1},
        {1, 2, 15, 16, 17, 127, 128, 129, 143, 144, 145, 255, 256, 257},
        {400, 385, 600},
        many,
        many_short};
    for (const std::vector<int64_t>& each : lengths) {
      for (int64_t head_size : {64, 128}) {
        for (int64_t kv_heads : {2, 24}) {
          add(cases, {.queries = std::vector<int64_t>(each.size(), 1),
                      .lengths = each,
                      .heads = 24,
                      .kv_heads = kv_heads,
                      .head_size = head_size,
                      .page_size = each.size() == 3 ? 64 : 16,
                      .dtype = dtype,
                      .activation = a,
                      .alibi = each.size() != 3,
                      .fused = true,
                      .gap = 64});
        }
      }
    }
    // So many that each has a warp: around that one's tiles, groups of one head, of some and of more than 8.
    std::vector<int64_t> crowd(140);
    for (size_t i = 0; i < crowd.size(); ++i) crowd[i] = 1 + static_cast<int64_t>(i) * 7 % 150;
    crowd[3] = 601;
    for (int64_t head_size : {64, 128}) {
      for (int64_t kv_heads : {2, 4, 24}) {
        add(cases, {.queries = std::vector<int64_t>(crowd.size(), 1),
                    .lengths = crowd,
                    .heads = 24,
                    .kv_heads = kv_heads,
                    .head_size = head_size,
                    .page_size = kv_heads == 4 ? 32 : 16,
                    .dtype = dtype,
                    .activation = a,
                    .alibi = kv_heads != 4,
                    .fused = true,
                    .gap = 64});
      }
    }
    // A cache of another type than the activations, one key a page, no ALiBi.
    for (DType other : kDtypes)
      if (other != dtype)
        add(cases, {.queries = {1, 1},
                    .lengths = {40, 333},
                    .heads = 3,
                    .kv_heads = 3,
                    .page_size = 1,
                    .dtype = other,
                    .activation = a,
                    .alibi = false,
                    .fused = true});
  }
  return cases;
}

Cases attention_prefill(Device device) {
  Cases cases;
  for (DType dtype : kDtypes) {
    const DType a = activation_dtype(device, dtype);
    for (int64_t head_size : {8, 31, 64, 96})
      for (bool alibi : {false, true})
        add(cases, {.queries = {70, 1, 33, 5, 16},
                    .lengths = {70, 40, 133, 5, 31},
                    .heads = 3,
                    .kv_heads = 3,
                    .head_size = head_size,
                    .page_size = head_size == 31 ? 8 : 16,
                    .dtype = dtype,
                    .activation = a,
                    .alibi = alibi,
                    .fused = alibi});
    add(cases, {.queries = {150},
                .lengths = {300},
                .heads = 4,
                .kv_heads = 2,
                .page_size = 3,
                .dtype = dtype,
                .activation = a});
    if (device == Device::kCpu) continue;
    for (int64_t head_size : {64, 80, 128, 256}) {
      for (bool fused : {false, true}) {
        add(cases, {.queries = {300, 1, 64, 65, 128, 17},
                    .lengths = {300, 70, 64, 200, 513, 17},
                    .heads = 4,
                    .kv_heads = 2,
                    .head_size = head_size,
                    .dtype = dtype,
                    .activation = a,
                    .fused = fused,
                    .gap = 64});
      }
      add(cases, {.queries = {257},
                  .lengths = {1025},
                  .heads = 2,
                  .kv_heads = 2,
                  .head_size = head_size,
                  .page_size = 64,
                  .dtype = dtype,
                  .activation = a,
                  .alibi = false,
                  .gap = 0});
    }
    for (DType other : kDtypes)
      if (other != dtype)
        add(cases, {.queries = {90, 3},
                    .lengths = {100, 33},
                    .heads = 2,
                    .kv_heads = 1,
                    .dtype = other,
                    .activation = a,
                    .fused = true,
                    .gap = 64});
  }
  return cases;
}

}  // namespace bolide::test
