// Sequences that share pages, and copy them on write, through attention: what they see is what each would see
// with pages of its own. Built once for each device (TEST_DEVICE).
#include <gtest/gtest.h>

#include <random>

#include "cache/kv_cache.h"
#include "cache/sequence_pages.h"
#include "ops/guarded.h"
#include "tensor/arena.h"
#include "tensor/device.h"

namespace bolide::test {
namespace {

constexpr Device kDevice = std::string_view(TEST_DEVICE) == "cuda" ? Device::kCuda : Device::kCpu;
using Token = int32_t;

struct SharedShape {
  int64_t heads, kv_heads, head_size, page_size;
  DType dtype;
};

// Some sequences of one layer. A token is a number from which its query, key and value follow.
class Sequences {
 public:
  Sequences(const SharedShape& shape, const Context& context)
      : shape_(shape),
        context_(context),
        pool_(40),
        cache_({.layers = 1,
                .kv_heads = shape.kv_heads,
                .head_size = shape.head_size,
                .pages = 40,
                .page_size = shape.page_size,
                .dtype = shape.dtype,
                .device = kDevice}) {}

  void begin() { sequences_.emplace_back(pool_, shape_.page_size); }
  void fork(size_t of) { sequences_.push_back(sequences_[of].fork()); }
  void end(size_t which) { sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(which)); }
  int64_t pages_in_use() const { return pool_.pages() - pool_.free_pages(); }
  int64_t copied() const { return copied_; }

  // One step, in which each sequence brings these tokens. Gives what attention makes of their queries.
  std::vector<float> step(const std::vector<std::vector<Token>>& tokens) {
    Batch batch;
    batch.query_offsets = {0};
    std::vector<PageCopy> copies;
    std::vector<Token> all;
    for (size_t s = 0; s < sequences_.size(); ++s) {
      SequencePages& pages = sequences_[s];
      const int64_t before = pages.tokens();
      EXPECT_TRUE(pages.append(std::ssize(tokens[s]), copies));
      for (int64_t j = before; j < pages.tokens(); ++j) batch.slots.push_back(pages.slot(j));
      all.insert(all.end(), tokens[s].begin(), tokens[s].end());
      batch.query_offsets.push_back(static_cast<int32_t>(all.size()));
      batch.kv_lengths.push_back(static_cast<int32_t>(pages.tokens()));
      batch.max_pages = std::max(batch.max_pages, std::ssize(pages.pages()));
    }
    for (const SequencePages& pages : sequences_) {
      batch.page_table.insert(batch.page_table.end(), pages.pages().begin(), pages.pages().end());
      batch.page_table.resize(batch.page_table.size() + static_cast<size_t>(batch.max_pages) -
                              pages.pages().size());
    }
    copied_ += std::ssize(copies);
    for (const PageCopy& copy : copies) cache_.copy_page(context_, copy.from, copy.to);
    return attend(batch, all);
  }

 private:
  std::vector<float> attend(const Batch& batch, const std::vector<Token>& tokens) {
    const auto rows = [&](int64_t heads, uint32_t kind) {
      Guarded made(std::ssize(tokens), heads * shape_.head_size, 0, context_.activation);
      for (size_t t = 0; t < tokens.size(); ++t) {
        std::mt19937 random(static_cast<uint32_t>(tokens[t]) * 3 + kind);
        for (int64_t i = 0; i < heads * shape_.head_size; ++i)
          made.set(static_cast<int64_t>(t), i, static_cast<float>(random() % 2001) / 1000.0f - 1.0f);
      }
      return made;
    };
    const Guarded q = rows(shape_.heads, 0), k = rows(shape_.kv_heads, 1), v = rows(shape_.kv_heads, 2);
    Guarded y(std::ssize(tokens), shape_.heads * shape_.head_size, 0, context_.activation);
    y.bring(context_);
    const Mirrored table(batch.page_table), offsets(batch.query_offsets), lengths(batch.kv_lengths),
        slots(batch.slots);
    BatchView view = host_view(batch);
    view.page_table = table.span<const int32_t>(context_);
    attention(context_, {.q = q.view(context_),
                         .k = k.view(context_),
                         .v = v.view(context_),
                         .slots = slots.span<const int64_t>(context_),
                         .kv = cache_.view(view).layer(0),
                         .query_offsets = offsets.span<const int32_t>(context_),
                         .kv_lengths = lengths.span<const int32_t>(context_),
                         .max_query = view.max_query,
                         .max_kv_length = view.max_kv_length,
                         .heads = shape_.heads,
                         .scale = 0.5f,
                         .y = y.view(context_)});
    y.fetch(context_);
    std::vector<float> all;
    for (int64_t t = 0; t < std::ssize(tokens); ++t)
      for (int64_t i = 0; i < shape_.heads * shape_.head_size; ++i)
        all.push_back(static_cast<float>(y.get(t, i)));
    return all;
  }

  SharedShape shape_;
  Context context_;
  PagePool pool_;
  KvCache cache_;
  std::vector<SequencePages> sequences_;
  int64_t copied_ = 0;
};

TEST(SharedPages, AttentionSeesWhatItWouldInPagesOfItsOwn) {
  if (kDevice == Device::kCuda) {
    if (cuda_device_count() == 0) GTEST_SKIP() << "NOT RUN: this machine has no GPU";
    use_cuda_device(0);
  }
  const Stream stream(kDevice);
  Arena arena(kDevice);
  for (const SharedShape& shape :
       {SharedShape{4, 4, 8, 4, DType::kF32}, SharedShape{6, 1, 5, 3, DType::kF32},
        SharedShape{4, 2, 64, 16, DType::kF16}, SharedShape{8, 2, 128, 16, DType::kBF16}}) {
    SCOPED_TRACE(
        fmt::format("{}x{}x{} pages of {}", shape.heads, shape.kv_heads, shape.head_size, shape.page_size));
    const Context context{.device = kDevice,
                          .threads = 2,
                          .stream = stream.get(),
                          .activation = activation_dtype(kDevice, shape.dtype),
                          .arena = &arena};
    // A prompt that ends within a page, of which two more go on, and later a fourth.
    std::vector<Token> prompt;
    for (Token t = 0; t < 2 * shape.page_size + 2; ++t) prompt.push_back(100 + t);
    Sequences shared(shape, context), apart(shape, context);
    shared.begin();
    shared.step({prompt});  // what it makes of the prompt is not compared: alone it may go another way
    shared.fork(0);
    shared.fork(1);
    for (int i = 0; i < 3; ++i) apart.begin();
    apart.step({prompt, prompt, prompt});
    EXPECT_EQ(shared.pages_in_use(), 3);
    EXPECT_EQ(apart.pages_in_use(), 9);
    const auto both = [&](const std::vector<std::vector<Token>>& tokens) {
      const std::vector<float> got = shared.step(tokens), want = apart.step(tokens);
      EXPECT_TRUE(got == want);
      EXPECT_FALSE(std::equal(got.begin(), got.begin() + shape.head_size, got.end() - shape.head_size));
    };
    both({{1}, {2}, {3}});
    EXPECT_EQ(shared.copied(), 2);
    EXPECT_EQ(shared.pages_in_use(), 5);
    std::vector<Token> many;  // into a page of its own
    for (Token t = 0; t < shape.page_size + 2; ++t) many.push_back(50 + t);
    both({{4}, many, {5, 6}});
    shared.fork(1);  // from within the third page
    shared.end(0);
    apart.end(0);
    apart.begin();
    std::vector<Token> again = prompt;
    again.push_back(2);
    again.insert(again.end(), many.begin(), many.end());
    apart.step({{}, {}, again});
    both({{7}, {8}, {9}});
    both({{10}, {11}, {12}});
    EXPECT_EQ(shared.copied(), 3);
    EXPECT_EQ(apart.copied(), 0);
  }
}

}  // namespace
}  // namespace bolide::test
