#include "weights/loader.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "support/expect_error.h"
#include "weights/staging.h"

namespace bolide {
namespace {

// Tensors in memory. Each is fp32 unless `types` says otherwise, and counts up from its start value.
class FakeSource final : public TensorSource {
 public:
  struct Entry {
    Shape shape;
    DType dtype = DType::kF32;
    std::vector<float> values = {};  // empty: 0, 1, 2, ...
  };
  explicit FakeSource(std::map<std::string, Entry> entries) : entries_(std::move(entries)) {}
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }
  bool contains(const std::string& name) const override { return entries_.contains(name); }
  TensorInfo info(const std::string& name) const override {
    return {entries_.at(name).dtype, entries_.at(name).shape};
  }
  std::string where(const std::string&) const override { return "fake.file"; }
  void read(const std::string& name, const Slice& slice, void* into) const override {
    if (fault_at == name) fail(ErrorCode::kResource, "cannot read {}", name);
    const Entry& entry = entries_.at(name);
    const Shape box = slice.shape(entry.shape.rank());
    for (int64_t i = 0; i < box.count(); ++i) {
      int64_t rest = i, at = 0, stride = 1;
      for (int axis = box.rank() - 1; axis >= 0; --axis) {
        at += (slice.begin[axis] + rest % box[axis]) * stride;
        rest /= box[axis];
        stride *= entry.shape[axis];
      }
      const float value =
          entry.values.empty() ? static_cast<float>(at) : entry.values[static_cast<size_t>(at)];
      auto* to = static_cast<std::byte*>(into) + static_cast<size_t>(i) * size_of(entry.dtype);
      const double wide = value;
      if (entry.dtype == DType::kF64) {
        std::memcpy(to, &wide, sizeof wide);
      } else {
        convert_elements(&value, DType::kF32, to, entry.dtype, 1);
      }
    }
  }
  std::string fault_at;

 private:
  std::map<std::string, Entry> entries_;
};

WeightSpec vector_spec(const std::string& name, int64_t size, Tensor* into) {
  return {.name = "v." + name, .shape = {size}, .into = into};
}
WeightSpec matrix_spec(const std::string& name, Shape shape, Weight* into) {
  return {.name = "m." + name, .shape = shape, .into = into};
}

// Vectors have a prefix or none; matrices lie as their names say.
constexpr NameRow kRows[] = {{"v.*", "x.*"},
                             {"m.w", "w"},
                             {"m.qkv", "qkv", Layout::kHeadInterleaved},
                             {"m.down", "down", Layout::kTransposed},
                             {"m.apart/q", "apart.q"},
                             {"m.apart/k", "apart.k"},
                             {"m.apart/v", "apart.v"}};
constexpr NameTable kNames = {.rows = kRows, .optional_prefix = "x."};

TEST(CheckComplete, FindsNamesByTheirAlternativesAndTable) {
  Tensor norm;
  const std::vector<WeightSpec> specs = {vector_spec("norm", 4, &norm)};
  constexpr NameRow other[] = {{"v.*", "model.*"}};
  check_complete(FakeSource({{"norm", {{4}}}}), kNames, specs);
  check_complete(FakeSource({{"x.norm", {{4}}}}), kNames, specs);
  check_complete(FakeSource({{"model.norm", {{4}}}}), {.rows = other}, specs);
  EXPECT_ERROR(check_complete(FakeSource({{"model.norm", {{4}}}}), kNames, specs), ErrorCode::kCorrupt,
               "'x.norm' is missing; 'model.norm' in fake.file is not used by this model");
  const WeightSource source = sources_of(specs[0], kNames).front();
  EXPECT_EQ(find_name(FakeSource({{"norm", {{4}}}, {"x.norm", {{4}}}}), source), "x.norm");
  EXPECT_EQ(find_name(FakeSource({{"other", {{4}}}}), source), "");
}

TEST(CheckComplete, WantsEachPartInItsShape) {
  Weight qkv;
  WeightSpec apart = matrix_spec("apart", {8, 3}, &qkv);
  apart.parts = {{"q", 4, 2}, {"k", 2, 1}, {"v", 2, 1}};
  const auto check = [&](std::map<std::string, FakeSource::Entry> entries) {
    check_complete(FakeSource(std::move(entries)), kNames, std::span(&apart, 1));
  };
  check({{"apart.q", {{4, 3}}}, {"apart.k", {{2, 3}}}, {"apart.v", {{2, 3}}}});
  EXPECT_ERROR(check({{"apart.q", {{4, 3}}}, {"apart.k", {{4, 3}}}}), ErrorCode::kCorrupt,
               "'apart.k' in fake.file has shape [4, 3], the config wants [2, 3]; 'apart.v' is missing");
}

TEST(CheckComplete, ListsEverythingAtOnce) {
  Tensor a, b, c;
  const std::vector<WeightSpec> specs = {vector_spec("a", 4, &a), vector_spec("b", 4, &b),
                                         vector_spec("c", 4, &c)};
  // The missing one comes first: what follows it must still be looked at.
  EXPECT_ERROR(
      check_complete(FakeSource({{"b", {{5}}}, {"c", {{4}, DType::kI32}}, {"d", {{1}}}}), kNames, specs),
      ErrorCode::kCorrupt,
      "the checkpoint does not match the model: 'x.a' is missing; 'b' in fake.file has shape [5], "
      "the config wants [4]; 'c' in fake.file has data type int32, not a float; 'd' in fake.file is "
      "not used by this model");
}

TEST(CheckComplete, ListsTenAndCountsTheRest) {
  std::vector<Tensor> fields(12);
  std::vector<WeightSpec> specs;
  for (size_t i = 0; i < 10; ++i) specs.push_back(vector_spec(fmt::format("n{}", i), 1, &fields[i]));
  try {
    check_complete(FakeSource({}), kNames, specs);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("more"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("'x.n9' is missing"), std::string::npos) << error.what();
  }
  for (size_t i = 10; i < 12; ++i) specs.push_back(vector_spec(fmt::format("n{}", i), 1, &fields[i]));
  EXPECT_ERROR(check_complete(FakeSource({}), kNames, specs), ErrorCode::kCorrupt,
               "'x.n9' is missing; and 2 more");
}

TEST(CheckComplete, IgnoresBuffersByPattern) {
  Tensor a;
  const std::vector<WeightSpec> specs = {vector_spec("a", 4, &a)};
  const FakeSource source({{"a", {{4}}}, {"h.3.attn.bias", {{2, 2}, DType::kBool}}});
  const std::string ignored[] = {"lm_head.weight", "attn.bias"};
  check_complete(source, kNames, specs, ignored);
  EXPECT_ERROR(check_complete(source, kNames, specs, std::span(ignored, 1)), ErrorCode::kCorrupt,
               "'h.3.attn.bias' in fake.file is not used");
  constexpr std::string_view buffers[] = {"attn.bias"};
  check_complete(source, {.rows = kRows, .optional_prefix = "x.", .ignored = buffers}, specs);
  // An ignored name that the model needs is still needed.
  const std::string all[] = {"*"};
  EXPECT_ERROR(check_complete(FakeSource({{"b", {{4}}}}), kNames, specs, all), ErrorCode::kCorrupt,
               "'x.a' is missing");
}

// ---- loading
std::vector<float> values_of(const Tensor& tensor) {
  const auto* data = static_cast<const float*>(tensor.view().data);
  return {data, data + tensor.view().shape.count()};
}

Tensor numbers(const Weight& weight) {
  Tensor all = Tensor::allocate({weight.rows(), weight.cols()}, DType::kF32);
  weight->dequantize({.threads = 1}, all);
  return all;
}
float element(const Weight& weight, int64_t row, int64_t col) {
  return numbers(weight).as<float>()[row * weight.cols() + col];
}

TEST(LoadWeights, PutsEachRanksPartInItsPlace) {
  constexpr int64_t kHeads = 2, kHeadSize = 2, kSegments = 3, kCols = 10;
  for (const DType stored : {DType::kF32, DType::kF16}) {
    for (const DType wanted : {DType::kF32, DType::kBF16}) {
      for (int rank = 0; rank < 2; ++rank) {
        Weight qkv, down, grouped;
        Tensor bias, norm;
        WeightSpec interleaved = matrix_spec("qkv", {kHeads * kHeadSize * kSegments, kCols}, &qkv);
        interleaved.shard = Shard::kOut;
        for (const char* name : {"q", "k", "v"})
          interleaved.parts.push_back({name, kHeads * kHeadSize, kHeads});
        WeightSpec transposed = matrix_spec("down", {6, 8}, &down);
        transposed.shard = Shard::kIn;
        // Two heads of q and one of k and v, which both ranks have, each in a tensor of its own.
        WeightSpec apart = matrix_spec("apart", {8, 3}, &grouped);
        apart.shard = Shard::kOut;
        apart.parts = {{"q", 4, 2}, {"k", 2, 1}, {"v", 2, 1}};
        WeightSpec added = vector_spec("bias", 6, &bias);
        added.as_activation = true;
        added.shard = Shard::kOut;
        const std::vector<WeightSpec> specs = {interleaved, transposed, apart, added,
                                               vector_spec("norm", 3, &norm)};
        const FakeSource source({{"qkv", {interleaved.shape, stored}},
                                 {"down", {{8, 6}, stored}},
                                 {"apart.q", {{4, 3}, stored}},
                                 {"apart.k", {{2, 3}, stored}},
                                 {"apart.v", {{2, 3}, stored}},
                                 {"bias", {{6}, stored}},
                                 {"norm", {{3}, stored}}});
        const Context context{.device = Device::kCpu, .threads = 2, .activation = DType::kBF16};
        load_weights(context, source, kNames, specs, {.tensor_size = 2, .tensor_rank = rank}, wanted);
        ASSERT_EQ(qkv.rows(), 6);
        for (int64_t row = 0; row < 6; ++row) {  // segment by segment, this rank's head in each
          const int64_t from = (rank * kSegments + row / kHeadSize) * kHeadSize + row % kHeadSize;
          for (int64_t col = 0; col < kCols; ++col)
            EXPECT_EQ(element(qkv, row, col), static_cast<float>(from * kCols + col));
        }
        ASSERT_EQ(down.cols(), 4);
        for (int64_t row = 0; row < 6; ++row)
          for (int64_t col = 0; col < 4; ++col)
            EXPECT_EQ(element(down, row, col), static_cast<float>((rank * 4 + col) * 6 + row));
        ASSERT_EQ(grouped.rows(), 6);
        for (int64_t row = 0; row < 6; ++row)
          EXPECT_EQ(element(grouped, row, 1),
                    static_cast<float>((row < 2 ? rank * 2 + row : row % 2) * 3 + 1));
        EXPECT_EQ(bias.dtype(), DType::kBF16);
        EXPECT_EQ(bias.view().shape.str(), "[3]");
        EXPECT_EQ(to_float(static_cast<const bf16*>(bias.view().data)[2]), static_cast<float>(rank * 3 + 2));
        EXPECT_EQ(norm.dtype(), DType::kF32);
        EXPECT_EQ(values_of(norm), (std::vector<float>{0, 1, 2}));
      }
    }
  }
}

TEST(LoadDummyWeights, AreSmallAndTheSameForAnyRanks) {
  Tensor norm, bias;
  Weight whole, half;
  std::vector<WeightSpec> specs = {vector_spec("norm", 5000, &norm), vector_spec("bias", 5000, &bias),
                                   matrix_spec("w", {3000, 1001}, &whole)};  // more than one block
  specs[0].dummy_mean = 1;
  const Context context{.device = Device::kCpu, .threads = 2};
  load_dummy_weights(context, specs, {}, DType::kF32, 3);
  double sum = 0, squares = 0;
  for (const float value : values_of(norm)) {
    EXPECT_LE(std::abs(value - 1), 0.035f);
    sum += value - 1;
    squares += (value - 1) * (value - 1);
  }
  EXPECT_NEAR(sum / 5000, 0, 0.001);
  EXPECT_NEAR(std::sqrt(squares / 5000), 0.0202, 0.0005);
  const std::vector<float> before = values_of(norm), other = values_of(bias);
  int equal = 0;
  for (size_t i = 0; i < before.size(); ++i) equal += before[i] - 1 == other[i];
  EXPECT_LT(equal, 10);  // another name, other values
  for (const Shard shard : {Shard::kOut, Shard::kIn}) {
    for (int rank = 0; rank < 2; ++rank) {
      WeightSpec split = matrix_spec("w", {3000, 1001}, &half);
      split.shape = shard == Shard::kIn ? Shape{3000, 1000} : split.shape;
      split.shard = shard;
      load_dummy_weights(context, std::span(&split, 1), {.tensor_size = 2, .tensor_rank = rank}, DType::kF32,
                         3);
      for (const int64_t row : {int64_t{0}, int64_t{7}, half.rows() - 1})
        for (const int64_t col : {int64_t{0}, int64_t{1}, int64_t{6}, half.cols() - 1})
          EXPECT_EQ(element(half, row, col), element(whole, row + (shard == Shard::kOut ? rank * 1500 : 0),
                                                     col + (shard == Shard::kIn ? rank * 500 : 0)));
    }
  }
  load_dummy_weights(context, specs, {}, DType::kF32, 3);
  EXPECT_EQ(values_of(norm), before);
  load_dummy_weights(context, specs, {}, DType::kF32, 4);
  EXPECT_NE(values_of(norm), before);
}

TEST(Staging, GrowsAndGivesBackWhatWasPutIn) {
  Staging staging({.device = Device::kCpu, .threads = 5});
  EXPECT_EQ(staging.context().threads, 1);
  for (const size_t bytes : {10, 100'000, 10, 100'000, 3'000'000}) {
    std::byte* data = staging.next(bytes);
    std::fill(data, data + bytes, std::byte{7});
    EXPECT_EQ(staging.upload(bytes), data);
  }
}

TEST(LoadWeights, TellsHowFarItIs) {
  for (int threads : {1, 3}) {
    Tensor a;
    Weight w;
    const std::vector<WeightSpec> specs = {vector_spec("a", 4, &a), matrix_spec("w", {1000, 5000}, &w)};
    const FakeSource source({{"a", {{4}, DType::kF16}}, {"w", {{1000, 5000}}}});
    std::vector<std::pair<int64_t, int64_t>> told;
    const Context context{.device = Device::kCpu, .threads = threads};
    load_weights(context, source, kNames, specs, {}, DType::kF32,
                 [&](int64_t done, int64_t total) { told.emplace_back(done, total); });
    EXPECT_EQ(values_of(a), (std::vector<float>{0, 1, 2, 3}));
    const int64_t bytes = 4 * 2 + 1000 * 5000 * 4;
    ASSERT_GE(told.size(), 4u);  // of 20 MB in blocks of 8
    EXPECT_EQ(told.front(), std::pair(int64_t{0}, bytes));
    EXPECT_EQ(told.back(), std::pair(bytes, bytes));
    EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
    // Two ranks have half of it each.
    Weight half;
    WeightSpec split = matrix_spec("w", {1000, 5000}, &half);
    split.shard = Shard::kOut;
    told.clear();
    load_weights(context, FakeSource({{"w", {{1000, 5000}}}}), kNames, std::span(&split, 1),
                 {.tensor_size = 2, .tensor_rank = 1}, DType::kF32,
                 [&](int64_t done, int64_t total) { told.emplace_back(done, total); });
    EXPECT_EQ(told.back(), std::pair(int64_t{10'000'000}, int64_t{10'000'000}));
    told.clear();
    load_dummy_weights(context, specs, {}, DType::kF32, 1,
                       [&](int64_t done, int64_t total) { told.emplace_back(done, total); });
    EXPECT_EQ(told.back(), std::pair(int64_t{20'000'016}, int64_t{20'000'016}));
  }
}

TEST(LoadWeights, RefusesWhatNoWeightMayBe) {
  const Context context{.device = Device::kCpu, .threads = 2};
  const auto load = [&](float value, DType stored, DType wanted, bool matrix, int rank) {
    Tensor vector;
    Weight weight;
    WeightSpec spec = matrix ? matrix_spec("w", {4, 6}, &weight) : vector_spec("w", 24, &vector);
    spec.shard = Shard::kOut;
    std::vector<float> values(24, 0.5f);
    values[15] = value;
    load_weights(context, FakeSource({{"w", {spec.shape, stored, values}}}), kNames, std::span(&spec, 1),
                 {.tensor_size = 2, .tensor_rank = rank}, wanted);
  };
  constexpr auto kDamaged = ErrorCode::kCorrupt;
  for (const DType stored : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64}) {
    load(0.25f, stored, DType::kF32, true, 1);
    EXPECT_ERROR(
        load(NAN, stored, DType::kF32, true, 1), kDamaged,
        "tensor 'w' in fake.file holds NaN at element [2, 3]: the file is damaged, or training diverged");
    EXPECT_ERROR(load(-INFINITY, stored, DType::kBF16, true, 1), kDamaged,
                 "holds infinity at element [2, 3]");
    EXPECT_ERROR(load(NAN, stored, DType::kF32, false, 1), kDamaged, "holds NaN at element [15]");
    load(NAN, stored, DType::kF32, true, 0);  // another rank's part
  }
  EXPECT_ERROR(
      load(1e38f, DType::kF32, DType::kF16, true, 1), ErrorCode::kUsage,
      "tensor 'w' in fake.file holds 1e+38 at element [2, 3], more than fp16 can hold: use bf16 or fp32");
  EXPECT_ERROR(load(-70000, DType::kBF16, DType::kF16, true, 1), ErrorCode::kUsage,
               "more than fp16 can hold");
  EXPECT_ERROR(load(3.4e38f, DType::kF32, DType::kBF16, true, 1), ErrorCode::kUsage,
               "holds 3.4e+38 at element [2, 3], more than bf16 can hold: use fp32");
  load(1e38f, DType::kF32, DType::kBF16, true, 1);
  load(65504, DType::kF32, DType::kF16, true, 1);
  load(1e38f, DType::kF32, DType::kF16, false, 1);  // on the CPU a vector stays fp32
}

TEST(CheckComplete, KnowsATensorByItsAlias) {
  class Aliased final : public TensorSource {
   public:
    std::vector<std::string> names() const override { return {"head"}; }
    bool contains(const std::string& name) const override { return name == "head" || name == "x.a"; }
    std::string stored_name(const std::string&) const override { return "head"; }
    TensorInfo info(const std::string&) const override { return {DType::kF32, {4}}; }
    std::string where(const std::string&) const override { return "fake.file"; }
    void read(const std::string&, const Slice&, void*) const override {}
  };
  Tensor a;
  const std::vector<WeightSpec> specs = {vector_spec("a", 4, &a)};
  check_complete(Aliased(), kNames, specs);
}

TEST(LoadWeights, AFaultOfOneThreadEndsAll) {
  for (int threads : {1, 3}) {
    std::vector<Tensor> fields(40);
    std::vector<WeightSpec> specs;
    std::map<std::string, FakeSource::Entry> entries;
    for (size_t i = 0; i < fields.size(); ++i) {
      specs.push_back(vector_spec(fmt::format("n{:02}", i), 2, &fields[i]));
      entries.emplace(fmt::format("n{:02}", i), FakeSource::Entry{{2}});
    }
    FakeSource source(entries);
    source.fault_at = "n03";
    int64_t blocks = 0;
    const Context context{.device = Device::kCpu, .threads = threads};
    EXPECT_ERROR(
        load_weights(context, source, kNames, specs, {}, DType::kF32, [&](int64_t, int64_t) { ++blocks; }),
        ErrorCode::kResource, "cannot read n03");
    if (threads == 1) {
      EXPECT_EQ(blocks, 1 + 3);
    }
    EXPECT_ERROR(load_weights(context, FakeSource(entries), kNames, specs, {}, DType::kF32,
                              [](int64_t done, int64_t) {
                                if (done > 0) fail(ErrorCode::kResource, "interrupted");
                              }),
                 ErrorCode::kResource, "interrupted");
  }
}

// A rank's int8 rows have the scales of whole rows: its numbers are a part of those that one rank has.
TEST(LoadWeights, RanksQuantizeAlike) {
  for (const bool transposed : {false, true}) {
    Weight up, down, table;
    WeightSpec out_split = matrix_spec("up", {40, 34}, &up), in_split = matrix_spec("down", {6, 8}, &down);
    WeightSpec positions = matrix_spec("table", {5, 7}, &table);
    positions.dense = true;
    out_split.shard = Shard::kOut;
    in_split.shard = Shard::kIn;
    if (!transposed) in_split.name = "qkv";
    const std::vector<WeightSpec> specs = {out_split, in_split, positions};
    const Context context{.threads = 2};
    const WeightStorage storage(DType::kF32, find_weight_scheme("int8"));
    load_dummy_weights(context, specs, {}, storage, 5);
    const Tensor whole_up = numbers(up), whole_down = numbers(down), exact = numbers(table);
    for (int rank = 0; rank < 2; ++rank) {
      load_dummy_weights(context, specs, {.tensor_size = 2, .tensor_rank = rank}, storage, 5);
      const Tensor part_up = numbers(up), part_down = numbers(down);
      for (int64_t r = 0; r < 20; ++r)
        for (int64_t c = 0; c < 34; ++c)
          ASSERT_EQ(part_up.as<float>()[r * 34 + c], whole_up.as<float>()[(rank * 20 + r) * 34 + c]);
      for (int64_t r = 0; r < 6; ++r)
        for (int64_t c = 0; c < 4; ++c)
          ASSERT_EQ(part_down.as<float>()[r * 4 + c], whole_down.as<float>()[r * 8 + rank * 4 + c]);
    }
    load_dummy_weights(context, specs, {}, DType::kF32, 5);
    const Tensor dense_down = numbers(down), dense_table = numbers(table);
    int64_t off = 0;
    for (int64_t i = 0; i < 48; ++i) {
      const float error = std::abs(dense_down.as<float>()[i] - whole_down.as<float>()[i]);
      EXPECT_LE(error, 0.035f / 254 * 1.01f);
      off += error > 0;
    }
    EXPECT_GT(off, 24);  // it is quantized
    for (int64_t i = 0; i < 35; ++i) EXPECT_EQ(exact.as<float>()[i], dense_table.as<float>()[i]);
  }
}

}  // namespace
}  // namespace bolide
