#include "weights/loader.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "support/expect_error.h"

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
      convert_elements(&value, DType::kF32,
                       static_cast<std::byte*>(into) + static_cast<size_t>(i) * size_of(entry.dtype),
                       entry.dtype, 1);
    }
  }
  std::string fault_at;

 private:
  std::map<std::string, Entry> entries_;
};

Slot vector_slot(const std::string& name, int64_t size, Tensor* into) {
  return {.shape = {size}, .hf = {{"x." + name, name}}, .ft = {{"model." + name}}, .into = into};
}
Slot matrix_slot(const std::string& name, Shape shape, Weight* into) {
  return {.shape = shape, .hf = {{name}}, .ft = {{"model." + name}}, .into = into};
}

constexpr auto kHf = CheckpointFormat::kHuggingFace;

TEST(MatchesName, ComparesComponentsFromTheEnd) {
  EXPECT_TRUE(matches_name("attn.bias", "attn.bias"));
  EXPECT_TRUE(matches_name("attn.bias", "h.0.attn.bias"));
  EXPECT_FALSE(matches_name("attn.bias", "h.0.crossattn.bias"));
  EXPECT_FALSE(matches_name("attn.bias", "h.0.attn.bias.scale"));
  EXPECT_FALSE(matches_name("attn.bias", "bias"));
  EXPECT_FALSE(matches_name("attn.bias", "h.0.attn.c_attn.bias"));
  EXPECT_TRUE(matches_name("h.*.mask", "model.h.17.mask"));
  EXPECT_TRUE(matches_name("h.*.mask", "h.0.mask"));
  EXPECT_FALSE(matches_name("h.*.mask", "h.0.attn.mask"));
  EXPECT_FALSE(matches_name("h.*.mask", "0.mask"));
  EXPECT_TRUE(matches_name("position_ids", "position_ids"));
  EXPECT_FALSE(matches_name("position_ids", "position_ids2"));
  EXPECT_FALSE(matches_name("", "a"));
}

TEST(CheckComplete, FindsNamesByTheirAlternativesAndFormat) {
  Tensor norm;
  const std::vector<Slot> slots = {vector_slot("norm", 4, &norm)};
  check_complete(FakeSource({{"norm", {{4}}}}), kHf, slots, {});
  check_complete(FakeSource({{"x.norm", {{4}}}}), kHf, slots, {});
  check_complete(FakeSource({{"model.norm", {{4}}}}), CheckpointFormat::kFasterTransformer, slots, {});
  EXPECT_ERROR(check_complete(FakeSource({{"model.norm", {{4}}}}), kHf, slots, {}), ErrorCode::kCorrupt,
               "'x.norm' is missing; 'model.norm' in fake.file is not used by this model");
  EXPECT_EQ(find_name(FakeSource({{"norm", {{4}}}, {"x.norm", {{4}}}}), slots[0].hf), "x.norm");
  EXPECT_EQ(find_name(FakeSource({{"other", {{4}}}}), slots[0].hf), "");
}

TEST(CheckComplete, ListsEverythingAtOnce) {
  Tensor a, b, c;
  const std::vector<Slot> slots = {vector_slot("a", 4, &a), vector_slot("b", 4, &b), vector_slot("c", 4, &c)};
  // The missing one comes first: what follows it must still be looked at.
  EXPECT_ERROR(
      check_complete(FakeSource({{"b", {{5}}}, {"c", {{4}, DType::kI32}}, {"d", {{1}}}}), kHf, slots, {}),
      ErrorCode::kCorrupt,
      "the checkpoint does not match the model: 'x.a' is missing; 'b' in fake.file has shape [5], "
      "the config wants [4]; 'c' in fake.file has data type int32, not a float; 'd' in fake.file is "
      "not used by this model");
}

TEST(CheckComplete, ListsTenAndCountsTheRest) {
  std::vector<Tensor> fields(12);
  std::vector<Slot> slots;
  for (size_t i = 0; i < 10; ++i) slots.push_back(vector_slot(fmt::format("n{}", i), 1, &fields[i]));
  try {
    check_complete(FakeSource({}), kHf, slots, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("more"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("'x.n9' is missing"), std::string::npos) << error.what();
  }
  for (size_t i = 10; i < 12; ++i) slots.push_back(vector_slot(fmt::format("n{}", i), 1, &fields[i]));
  EXPECT_ERROR(check_complete(FakeSource({}), kHf, slots, {}), ErrorCode::kCorrupt,
               "'x.n9' is missing; and 2 more");
}

TEST(CheckComplete, IgnoresBuffersByPattern) {
  Tensor a;
  const std::vector<Slot> slots = {vector_slot("a", 4, &a)};
  const FakeSource source({{"a", {{4}}}, {"h.3.attn.bias", {{2, 2}, DType::kBool}}});
  const std::string_view ignored[] = {"lm_head.weight", "attn.bias"};
  check_complete(source, kHf, slots, ignored);
  EXPECT_ERROR(check_complete(source, kHf, slots, std::span(ignored, 1)), ErrorCode::kCorrupt,
               "'h.3.attn.bias' in fake.file is not used");
  // An ignored name that the model needs is still needed.
  const std::string_view all[] = {"*"};
  EXPECT_ERROR(check_complete(FakeSource({{"b", {{4}}}}), kHf, slots, all), ErrorCode::kCorrupt,
               "'x.a' is missing");
}

// ---- loading
std::vector<float> values_of(const Tensor& tensor) {
  const auto* data = static_cast<const float*>(tensor.view().data);
  return {data, data + tensor.view().shape.count()};
}

TEST(LoadWeights, TellsHowFarItIs) {
  for (int threads : {1, 3}) {
    Tensor a;
    Weight w;
    const std::vector<Slot> slots = {vector_slot("a", 4, &a), matrix_slot("w", {1000, 5000}, &w)};
    const FakeSource source({{"a", {{4}, DType::kF16}}, {"w", {{1000, 5000}}}});
    std::vector<std::pair<int64_t, int64_t>> told;
    const Context context{.device = Device::kCpu, .threads = threads};
    load_weights(context, source, kHf, slots, {}, DType::kF32,
                 [&](int64_t done, int64_t total) { told.emplace_back(done, total); });
    EXPECT_EQ(values_of(a), (std::vector<float>{0, 1, 2, 3}));
    const int64_t bytes = 4 * 2 + 1000 * 5000 * 4;
    ASSERT_GE(told.size(), 4u);  // of 20 MB in blocks of 8
    EXPECT_EQ(told.front(), std::pair(int64_t{0}, bytes));
    EXPECT_EQ(told.back(), std::pair(bytes, bytes));
    EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
    // Two ranks have half of it each.
    Weight half;
    Slot split = matrix_slot("w", {1000, 5000}, &half);
    split.shard = Shard::kOut;
    told.clear();
    load_weights(context, FakeSource({{"w", {{1000, 5000}}}}), kHf, std::span(&split, 1),
                 {.tensor_size = 2, .tensor_rank = 1}, DType::kF32,
                 [&](int64_t done, int64_t total) { told.emplace_back(done, total); });
    EXPECT_EQ(told.back(), std::pair(int64_t{10'000'000}, int64_t{10'000'000}));
    told.clear();
    load_dummy_weights(context, slots, {}, DType::kF32, 1,
                       [&](int64_t done, int64_t total) { told.emplace_back(done, total); });
    EXPECT_EQ(told.back(), std::pair(int64_t{20'000'016}, int64_t{20'000'016}));
  }
}

TEST(LoadWeights, AFaultOfOneThreadEndsAll) {
  for (int threads : {1, 3}) {
    std::vector<Tensor> fields(40);
    std::vector<Slot> slots;
    std::map<std::string, FakeSource::Entry> entries;
    for (size_t i = 0; i < fields.size(); ++i) {
      slots.push_back(vector_slot(fmt::format("n{:02}", i), 2, &fields[i]));
      entries.emplace(fmt::format("n{:02}", i), FakeSource::Entry{{2}});
    }
    FakeSource source(entries);
    source.fault_at = "n03";
    int64_t blocks = 0;
    const Context context{.device = Device::kCpu, .threads = threads};
    EXPECT_ERROR(
        load_weights(context, source, kHf, slots, {}, DType::kF32, [&](int64_t, int64_t) { ++blocks; }),
        ErrorCode::kResource, "cannot read n03");
    if (threads == 1) {
      EXPECT_EQ(blocks, 1 + 3);
    }
    EXPECT_ERROR(load_weights(context, FakeSource(entries), kHf, slots, {}, DType::kF32,
                              [](int64_t done, int64_t) {
                                if (done > 0) fail(ErrorCode::kResource, "interrupted");
                              }),
                 ErrorCode::kResource, "interrupted");
  }
}

}  // namespace
}  // namespace bolide
