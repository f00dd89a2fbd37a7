#include "ops/shapes.h"

#include <algorithm>
#include <numeric>

namespace bolide::test {
namespace {

constexpr DType kDtypes[] = {DType::kF32, DType::kF16, DType::kBF16};

// With dense weights, and with int8 ones that x meets as it meets those. (A CPU meets fp16 as fp32.)
void add(Device device, Cases& cases, const MatmulShape& shape) {
  cases.push_back([shape] { return matmul_case(shape); });
  if (device == Device::kCpu && shape.dtype == DType::kF16) return;
  MatmulShape int8 = shape;
  int8.int8_x = shape.dtype;
  int8.dtype = DType::kI8;
  cases.push_back([int8] { return matmul_case(int8); });
}

}  // namespace

// Odd sizes around every limit: panels of 16 and pairs of them, k of 32 and blocks of 512, row tiles of 4, 6,
// 12, 16 and 32; tiles of 64 and 128 on a GPU, and where it changes its kernel.
Cases matmul_shapes(Device device) {
  const int64_t shapes[][3] = {{1, 1, 1},    {1, 16, 32},  {1, 33, 65},    {1, 70, 1100},  {2, 17, 31},
                               {3, 48, 64},  {4, 40, 100}, {5, 31, 33},    {6, 64, 513},   {7, 50, 40},
                               {8, 96, 256}, {11, 33, 77}, {12, 40, 64},   {13, 100, 515}, {16, 35, 130},
                               {17, 20, 33}, {31, 16, 96}, {33, 70, 1030}, {50, 130, 64},  {200, 37, 70}};
  const int64_t aligned[][3] = {{1, 1024, 1024}, {1, 96, 4096},   {1, 4096, 144},   {2, 1040, 1040},
                                {5, 4096, 1024}, {8, 3072, 512},  {16, 1024, 1024}, {33, 1024, 256},
                                {64, 256, 1024}, {65, 256, 1024}, {130, 512, 256},  {300, 272, 144}};
  Cases cases;
  for (DType dtype : kDtypes) {
    const DType a = activation_dtype(device, dtype);
    for (const auto& s : shapes)
      add(device, cases, {.tokens = s[0], .out = s[1], .in = s[2], .dtype = dtype, .x = a, .y = a});
    if (device == Device::kCpu) continue;
    for (const auto& s : aligned)
      add(device, cases, {.tokens = s[0], .out = s[1], .in = s[2], .dtype = dtype, .x = a, .y = a});
    // A gap that keeps rows aligned.
    add(device, cases, {.tokens = 7, .out = 256, .in = 1024, .dtype = dtype, .x = a, .y = a, .gap = 64});
    add(device, cases, {.tokens = 130, .out = 256, .in = 1024, .dtype = dtype, .x = a, .y = a, .gap = 64});
  }
  if (device == Device::kCpu) return cases;
  // Of int8 weights more than are widened at a time, and a last share that is smaller.
  for (DType dtype : {DType::kF16, DType::kF32})
    cases.push_back([=] {
      return matmul_case({.tokens = 70,
                          .out = 40011,
                          .in = 1040,
                          .dtype = DType::kI8,
                          .x = activation_dtype(Device::kCuda, dtype),
                          .y = DType::kF32,
                          .int8_x = dtype,
                          .bias = true,
                          .activation = Activation::kSilu});
    });
  return cases;
}

// Every height of the CPU's register tiles; on a GPU around the heights of its kernels and their halves.
Cases matmul_row_counts(Device device) {
  std::vector<int64_t> counts = {1,  2,  3,  4,  5,  6,  7,  8,  9,  11, 12, 13, 15, 16, 17,  23,
                                 24, 25, 31, 32, 33, 40, 47, 48, 49, 57, 63, 64, 65, 70, 130, 300};
  if (device == Device::kCpu) {
    counts.resize(34);
    std::iota(counts.begin(), counts.end(), 1);
  }
  Cases cases;
  for (DType dtype : kDtypes) {
    for (int64_t tokens : counts) {
      add(device, cases, {.tokens = tokens, .out = 40, .in = 70, .dtype = dtype, .gap = 5});
      if (device == Device::kCpu) continue;
      add(device, cases, {.tokens = tokens, .out = 48, .in = 320, .dtype = dtype, .x = dtype, .y = dtype});
      add(device, cases,
          {.tokens = tokens, .out = 40, .in = 70, .dtype = dtype, .x = dtype, .y = dtype, .gap = 5});
    }
  }
  return cases;
}

Cases matmul_epilogues(Device device) {
  Cases cases;
  for (DType dtype : kDtypes) {
    std::vector<DType> types = {DType::kF32};
    if (activation_dtype(device, dtype) != DType::kF32) types.push_back(dtype);
    for (Activation activation : {Activation::kNone, Activation::kGeluTanh, Activation::kGeluErf,
                                  Activation::kRelu, Activation::kSilu}) {
      for (int64_t tokens : {1, 5, 40, 70}) {
        for (DType x : types) {
          for (DType y : types) {
            MatmulShape shape = {.tokens = tokens,
                                 .out = 43,
                                 .in = 24,
                                 .dtype = dtype,
                                 .x = x,
                                 .y = y,
                                 .bias = true,
                                 .activation = activation,
                                 .gap = 1};
            add(device, cases, shape);
            if (device == Device::kCpu) continue;
            shape.out = 64;
            shape.in = 128;
            shape.gap = 0;
            add(device, cases, shape);
          }
        }
      }
    }
  }
  return cases;
}

// As a layer calls it: the norm on the way in, the residual stream on the way out.
Cases matmul_norms(Device device) {
  const int64_t shapes[][3] = {{1, 48, 64},  {1, 33, 65},   {3, 40, 100},  {8, 64, 1024},
                               {9, 43, 130}, {17, 96, 256}, {40, 64, 200}, {66, 48, 96}};
  const int64_t aligned[][3] = {{1, 3072, 1024}, {1, 64, 2048},   {3, 48, 200},    {4, 256, 4096},
                                {5, 96, 1544},   {7, 80, 2056},   {8, 1024, 1024}, {9, 112, 1000},
                                {16, 128, 2048}, {64, 128, 1024}, {130, 256, 512}};
  Cases cases;
  const auto both = [&](DType dtype, const int64_t(&s)[3], int64_t gap) {
    const DType a = activation_dtype(device, dtype);
    const MatmulShape plain = {.tokens = s[0], .out = s[1], .in = s[2], .dtype = dtype, .gap = gap};
    MatmulShape shape = plain;
    shape.y = a;
    shape.bias = shape.norm = true;
    add(device, cases, shape);
    shape.rms = true;
    add(device, cases, shape);
    shape.rms = false;
    shape.activation = Activation::kGeluTanh;
    add(device, cases, shape);
    shape = plain;
    shape.x = a;
    shape.bias = shape.accumulate = true;
    add(device, cases, shape);
    shape = plain;
    shape.norm = shape.accumulate = true;
    add(device, cases, shape);
  };
  for (DType dtype : kDtypes) {
    for (const auto& s : shapes) both(dtype, s, 3);
    if (device == Device::kCpu) continue;
    for (const auto& s : aligned) both(dtype, s, 0);
  }
  return cases;
}

// Gate and up: what matmul_norms() has of a layer's way in, with half as many outputs; around tiles of 8 and
// of 64, clusters that share columns, and more rows than kernels that gate take.
Cases matmul_gated(Device device) {
  const int64_t shapes[][3] = {{1, 24, 64},  {1, 33, 65},   {3, 40, 100}, {5, 8, 1100}, {8, 64, 1024},
                               {9, 43, 130}, {17, 48, 256}, {66, 48, 96}, {200, 20, 70}};
  const int64_t aligned[][3] = {{1, 1536, 1024}, {1, 3, 4096},   {2, 40, 4096},  {1, 1000, 2048},
                                {4, 64, 9000},   {8, 512, 1024}, {12, 64, 1024}, {16, 128, 2048},
                                {33, 96, 328},   {64, 2048, 64}, {100, 72, 512}, {130, 128, 512},
                                {192, 40, 1024}, {300, 64, 128}};
  Cases cases;
  const auto each = [&](DType dtype, const int64_t(&s)[3], int64_t gap) {
    const DType a = activation_dtype(device, dtype);
    MatmulShape shape = {.tokens = s[0],
                         .out = s[1],
                         .in = s[2],
                         .dtype = dtype,
                         .x = a,
                         .y = a,
                         .activation = Activation::kSilu,
                         .gap = gap,
                         .gated = true};
    add(device, cases, shape);
    shape.bias = true;
    shape.activation = Activation::kGeluTanh;
    add(device, cases, shape);
    shape.x = DType::kF32;
    shape.norm = true;
    for (const bool rms : {false, true}) {
      shape.rms = rms;
      add(device, cases, shape);
    }
    shape.y = DType::kF32;
    shape.activation = Activation::kGeluErf;
    add(device, cases, shape);
  };
  for (DType dtype : kDtypes) {
    for (const auto& s : shapes) each(dtype, s, 3);
    if (device == Device::kCpu) continue;
    for (const auto& s : aligned) each(dtype, s, 0);
    for (int64_t tokens : {1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65}) each(dtype, {tokens, 40, 320}, 8);
  }
  return cases;
}

// What a GPU's kernel for 9 to 192 rows does in ways of its own: every height of its tiles, rings of one
// chunk up to several times round, clusters of 1 to 8 blocks, and tails of each.
Cases matmul_some_rows(Device device) {
  const int64_t sizes[][2] = {{64, 64}, {192, 192}, {80, 328}, {64, 1024}, {48, 4096}};
  // Clusters of 4 and 2, and a head: W so large that a tile has 128 outputs.
  const int64_t wide[][2] = {{1536, 512}, {3072, 1024}}, head[2] = {67584, 128};
  Cases cases;
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    const DType a = activation_dtype(device, dtype);
    const auto each = [&](int64_t tokens, const int64_t(&s)[2]) {
      const MatmulShape shape = {
          .tokens = tokens, .out = s[0], .in = s[1], .dtype = dtype, .x = a, .bias = true};
      MatmulShape narrow = shape, to_stream = shape, strided = shape, normed = shape;
      narrow.y = a;
      cases.push_back([narrow] { return matmul_case(narrow); });
      to_stream.accumulate = true;
      add(device, cases, to_stream);
      strided.activation = Activation::kSilu;
      strided.gap = 8;
      cases.push_back([strided] { return matmul_case(strided); });
      normed.x = DType::kF32;
      normed.y = a;
      normed.norm = true;
      normed.activation = Activation::kGeluTanh;
      normed.rms = tokens % 2 == 0;
      add(device, cases, normed);
    };
    for (int64_t tokens : {9, 16, 17, 32, 33, 64, 65, 100, 128, 129, 192})
      for (const auto& s : sizes) each(tokens, s);
    for (int64_t tokens : {12, 24, 50, 150})
      for (const auto& s : wide) each(tokens, s);
    for (int64_t tokens : {24, 50}) each(tokens, head);
  }
  return cases;
}

namespace {

void add_argmax(Cases& cases, ArgmaxShape shape, int64_t distinct) {
  shape.distinct = std::max<int64_t>(std::min(distinct, shape.out), 1);
  cases.push_back([shape] { return argmax_case(shape); });
}
void add_argmax(Cases& cases, ArgmaxShape shape, ArgmaxShape::Special special) {
  shape.special = special;
  add_argmax(cases, shape, shape.out / 5);
}

}  // namespace

// The largest of each row. Ties: of neighbours, across tiles and blocks, and none.
Cases matmul_argmax(Device device) {
  Cases cases;
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8}) {
    const DType met = dtype == DType::kI8 ? DType::kF16 : dtype;
    ArgmaxShape shape = {.dtype = dtype, .x = activation_dtype(device, met)};
    const auto add_size = [&](int64_t tokens, int64_t out, int64_t in) {
      shape.tokens = tokens;
      shape.out = out;
      shape.in = in;
      ArgmaxShape normed = shape, strided = shape;
      normed.norm = true;
      add_argmax(cases, normed, out);
      normed.rms = true;
      add_argmax(cases, normed, tokens % 2 == 0 ? 3 : out / 3);
      strided.gap = tokens % 3 == 0 ? 8 : 0;
      add_argmax(cases, strided, out / 2 + 1);
      if (dtype == DType::kI8) return;  // there are no infinite weights
      add_argmax(cases, strided, ArgmaxShape::kSomeInfinite);
      add_argmax(cases, strided, ArgmaxShape::kAllInfinite);
    };
    for (int64_t tokens : {1, 3, 8, 9, 16, 33, 64, 65}) {
      for (const auto& [out, in] : {std::pair{1, 24}, {16, 64}, {1000, 128}}) add_size(tokens, out, in);
      if (device == Device::kCpu) continue;
      // Clusters of 8 and 2.
      for (const auto& [out, in] : {std::pair{48, 4096}, {1008, 9000}}) add_size(tokens, out, in);
    }
    for (int64_t tokens : {3, 65}) add_size(tokens, 4097, 130);
  }
  return cases;
}

// A rank's part of BLOOM's vocabulary; what takes a head's kernels, one with a tail.
Cases matmul_argmax_of_heads() {
  Cases cases;
  for (DType dtype : {DType::kF16, DType::kBF16, DType::kI8}) {
    for (const auto& [out, in] :
         {std::pair{31360, 256}, {67584, 128}, {67664, 200}, {67584, 256}, {67601, 128}}) {
      for (int64_t tokens : {1, 8, 9, 32, 50, 64, 100}) {
        if (dtype != DType::kF16 && tokens % 8 != 0 && tokens != 50) continue;  // as that, a case a kernel
        ArgmaxShape shape = {.tokens = tokens,
                             .out = out,
                             .in = in,
                             .dtype = dtype,
                             .x = dtype == DType::kI8 ? DType::kF16 : activation_dtype(Device::kCuda, dtype)};
        if (dtype == DType::kI8)  // there are no infinite weights
          add_argmax(cases, shape, out / 4);
        else
          add_argmax(cases, shape, tokens % 2 == 0 ? ArgmaxShape::kSomeInfinite : ArgmaxShape::kAllInfinite);
        shape.norm = true;
        add_argmax(cases, shape, tokens == 8 || tokens == 50 ? out : out / 3);
      }
    }
  }
  return cases;
}

Cases row_ops(Device device) {
  Cases cases;
  std::vector<DType> types = {DType::kF32};
  std::vector<int64_t> widths = {1, 7, 16, 33, 64, 100, 1024, 1030};
  std::vector<int64_t> gaps = {5};
  if (device == Device::kCuda) {
    types.assign(std::begin(kDtypes), std::end(kDtypes));
    widths.insert(widths.end(), {2048, 4096, 8192, 8200, 14336});
    gaps.push_back(8);
  }
  for (int64_t hidden : widths) {
    const int64_t least = std::max<int64_t>(hidden, 2);
    for (int64_t gap : gaps) {
      for (DType type : types) {
        if (hidden > 1) cases.push_back([=] { return layer_norm_case(3, hidden, false, type, gap); });
        for (bool bias : {false, true}) cases.push_back([=] { return add_case(5, least, type, gap, bias); });
      }
      cases.push_back([=] { return layer_norm_case(5, least, true, DType::kF32, gap); });
      for (const bool rms : {false, true})
        cases.push_back([=] { return layer_norm_case(5, least, false, DType::kF32, gap, rms, true); });
      cases.push_back([=] { return gather_rows_case(5, hidden, gap); });
      for (DType type : types) {
        cases.push_back([=] { return layer_norm_case(3, hidden, false, type, gap, true); });
        for (const Activation activation : {Activation::kSilu, Activation::kGeluErf})
          cases.push_back([=] { return gate_case(5, hidden, activation, type, gap); });
      }
    }
  }
  for (DType type : types) {
    for (const int64_t pairs : {1, 3, 8, 16, 20, 64})
      for (const bool interleaved : {false, true})
        for (const int64_t more : {0, 5, 8})
          for (int64_t gap : gaps)
            cases.push_back(
                [=] { return rotary_case(5, 3, 2 * pairs + more, pairs, interleaved, type, gap); });
    cases.push_back([=] { return rotary_case(300, 12, 64, 32, false, type); });  // on several threads
  }
  for (const int64_t trained : {0, 50, 100000}) {
    for (const int64_t pairs : {2, 5, 64}) {
      cases.push_back([=] { return rotary_angles_case({1}, pairs, 0, trained); });
      cases.push_back([=] { return rotary_angles_case({1, 1, 7, 2, 30, 1}, pairs, 20, trained); });
      cases.push_back([=] { return rotary_angles_case({300, 1, 90}, pairs, 99000, trained); });
      if (trained > 0)
        cases.push_back([=] { return rotary_angles_case({1, 1, 7, 60, 2, 1}, pairs, 20, trained, true); });
    }
  }
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8})
    for (int64_t hidden : {1, 8, 31, 64, 100, 1024})
      for (int64_t begin : {0, 30})
        for (int64_t gap : gaps)
          for (bool accumulate : {false, true})
            cases.push_back([=] {
              return embedding_case(9, 37, hidden, dtype, begin, gap, false, accumulate, false,
                                    accumulate ? 1.0f : 5.6f);
            });
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8})
    for (int64_t hidden : widths)
      if (hidden > 1)
        for (const bool rms : {false, true})
          cases.push_back(
              [=] { return embedding_case(9, 37, hidden, dtype, 30, gaps.back(), true, false, rms); });
  return cases;
}

namespace {

// Sampling by ranks that hold so many columns each.
void add_parts(Cases& cases, std::initializer_list<int64_t> widths) {
  for (int64_t columns : widths)
    for (int64_t k : {1, 8, 64, 1024})
      for (int64_t gap : {3, 0})
        cases.push_back([=] {
          return candidates_case(columns > 100000 ? 8 : columns > 1000 ? 24 : 48, columns, k, gap);
        });
  for (int64_t vocab : widths) {
    for (int64_t parts : {2, 3, 8})
      for (int32_t top_k : {0, 5, 64, 700})
        for (float top_p : {0.0f, 0.8f})
          if (vocab > 0 && (top_k > 0 || top_p == 0)) {
            const SampleRow row = {.temperature = 1.3f, .top_k = top_k, .top_p = top_p, .seed = 8};
            cases.push_back([=] { return sample_case(6, vocab, row, true, parts); });
          }
  }
}

}  // namespace

// None, fewer columns than candidates, and many.
Cases sample_parts() {
  Cases cases;
  add_parts(cases, {0, 1, 7, 64, 300, 20011});
  for (int64_t columns : {1, 5, 64, 3001}) {
    cases.push_back([=] { return concat_columns_case(3, columns, 4, 4 * columns); });
    cases.push_back([=] { return concat_columns_case(1, columns, 1, columns); });
    cases.push_back([=] { return concat_columns_case(5, columns, 3, 2 * columns + (columns + 1) / 2, 0); });
  }
  return cases;
}

// On a GPU one block's most, what a cluster takes, and more than it can stage.
Cases sample_large_parts() {
  Cases cases;
  add_parts(cases, {8192, 125440, 500003});
  return cases;
}

}  // namespace bolide::test
