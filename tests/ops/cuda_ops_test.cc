#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>

#include "ops/attention.h"
#include "ops/candidates.h"
#include "ops/cuda/matmul_kernels.h"
#include "ops/guarded.h"
#include "ops/pack_checks.h"
#include "ops/sample_checks.h"
#include "ops/shapes.h"

namespace bolide::test {
namespace {

// The CPU tests' cases, and more, on the GPU.
class CudaOps : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0)
      GTEST_SKIP() << "NOT TESTED: this machine has no GPU, or no driver for it, that CUDA can use";
    use_cuda_device(0);
    stream_ = std::make_unique<Stream>(Device::kCuda);
    arena_ = std::make_unique<Arena>(Device::kCuda);
  }
  Context context(DType activation = DType::kF32, bool deterministic = false) const {
    return {.device = Device::kCuda,
            .stream = stream_->get(),
            .activation = activation,
            .deterministic = deterministic,
            .arena = arena_.get()};
  }

  // For compute-sanitizer, under which all takes too long: of each list of cases only every so-manieth one,
  // and that once. 0 without it.
  static int64_t sampled() {
    const char* asked = std::getenv("BOLIDE_CASES_EVERY");
    return asked ? std::max(1, std::atoi(asked)) : 0;
  }

  // Of every list, BOLIDE_CASES_SHARD=I/N runs the cases I, I + N, ...: processes share them, since most of
  // their time is the oracles', on the CPU.
  static std::pair<int64_t, int64_t> case_shard() {
    int index = 0, count = 1;
    const char* asked = std::getenv("BOLIDE_CASES_SHARD");
    if (asked) {
      EXPECT_EQ(std::sscanf(asked, "%d/%d", &index, &count), 2) << asked;
    }
    return {index, std::max(count, 1)};
  }

  // Right, in either mode, and the same again, and from a graph.
  void expect_right(OpCase& op) const {
    for (bool deterministic : {false, true}) {
      SCOPED_TRACE(op.name() + (deterministic ? " deterministic" : ""));
      const Context on_gpu = context(op.activation(), deterministic);
      op.poison();
      op.run(on_gpu);
      EXPECT_EQ(op.check(), "");
      if (sampled() > 0) continue;
      const std::vector<std::byte> once = op.output();
      op.poison();
      op.run(on_gpu);  // also leaves the arena in one piece: nothing may be allocated during a capture
      EXPECT_TRUE(op.output() == once) << "differs the second time";
      op.poison();
      op.prepare(on_gpu);
      Graph graph;
      graph.capture(on_gpu, [&] { op.compute(on_gpu); });
      graph.launch(on_gpu);
      op.finish(on_gpu);
      EXPECT_TRUE(op.output() == once) << "differs when captured";
    }
  }
  void expect_right(const Cases& cases) const {
    ASSERT_FALSE(cases.empty());
    const testing::TestResult& result = *testing::UnitTest::GetInstance()->current_test_info()->result();
    const int64_t every = std::max<int64_t>(sampled(), 1);
    const auto [index, count] = case_shard();
    int failed = 0;
    int64_t turn = 0;
    for (const auto& make : cases) {
      const int64_t number = turn++;
      if (number % every != 0 || number % count != index) continue;
      const int before = result.total_part_count();
      const auto start = std::chrono::steady_clock::now();
      const Case op = make();
      if (sampled() > 0) {
        fmt::print("{}:", op->name());
        std::fflush(stdout);
      }
      expect_right(*op);
      if (sampled() > 0) {
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        fmt::print(" {:.1f} s\n", took.count());
        std::fflush(stdout);
      }
      if (result.total_part_count() > before && ++failed == 20) FAIL() << "and so on: the rest is left out";
    }
  }

  Drawer drawer() const {
    return [this](const Guarded& logits, const std::vector<SampleRow>& rows, std::vector<float>* log_probs) {
      const Context on_gpu = context();
      const Mirrored device_rows(rows);
      Mirrored ids{std::vector<int32_t>(rows.size(), -77)}, likely{std::vector<float>(rows.size())};
      sample(on_gpu, {.logits = logits.view(on_gpu),
                      .rows = device_rows.span<const SampleRow>(on_gpu),
                      .ids = ids.span<int32_t>(on_gpu),
                      .log_probs = log_probs ? likely.span<float>(on_gpu) : std::span<float>(),
                      .all_greedy = std::all_of(rows.begin(), rows.end(), is_greedy)});
      ids.fetch(on_gpu);
      if (log_probs) {
        likely.fetch(on_gpu);
        const std::span<float> values = likely.span<float>({});
        log_probs->assign(values.begin(), values.end());
      }
      const std::span<int32_t> values = ids.span<int32_t>({});
      return std::vector<int32_t>(values.begin(), values.end());
    };
  }

 private:
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Arena> arena_;
};

// Those that are lists of cases.
using CudaOpCases = CudaOps;

TEST_F(CudaOpCases, MatmulShapes) { expect_right(matmul_shapes(Device::kCuda)); }
TEST_F(CudaOpCases, MatmulRowCounts) { expect_right(matmul_row_counts(Device::kCuda)); }
TEST_F(CudaOpCases, MatmulBiasAndActivation) { expect_right(matmul_epilogues(Device::kCuda)); }
TEST_F(CudaOpCases, MatmulNormAndAccumulate) { expect_right(matmul_norms(Device::kCuda)); }
TEST_F(CudaOpCases, MatmulGated) { expect_right(matmul_gated(Device::kCuda)); }
TEST_F(CudaOpCases, MatmulSomeRows) { expect_right(matmul_some_rows(Device::kCuda)); }
TEST_F(CudaOpCases, MatmulArgmax) { expect_right(matmul_argmax(Device::kCuda)); }
TEST_F(CudaOpCases, MatmulArgmaxOfHeads) { expect_right(matmul_argmax_of_heads()); }
TEST_F(CudaOpCases, Rows) { expect_right(row_ops(Device::kCuda)); }
TEST_F(CudaOpCases, HeadNorms) { expect_right(head_norms(Device::kCuda)); }
TEST_F(CudaOpCases, SampleParts) { expect_right(sample_parts()); }
TEST_F(CudaOpCases, SampleLargeParts) { expect_right(sample_large_parts()); }
TEST_F(CudaOpCases, AttentionGroups) { expect_right(attention_groups(Device::kCuda)); }
TEST_F(CudaOpCases, AttentionPoisoned) { expect_right(attention_poisoned(Device::kCuda)); }
TEST_F(CudaOpCases, AttentionDecode) { expect_right(attention_decode(Device::kCuda)); }
TEST_F(CudaOpCases, AttentionPrefill) { expect_right(attention_prefill(Device::kCuda)); }
TEST_F(CudaOpCases, AttentionMasks) { expect_right(attention_masks(Device::kCuda)); }
TEST_F(CudaOpCases, AttentionRotary) { expect_right(attention_rotary(Device::kCuda)); }

TEST_F(CudaOps, PackBlockAnyPlaceAnyType) { expect_blocks_go_anywhere(context()); }
TEST_F(CudaOps, PackBlockBlocksMeet) { expect_blocks_meet(context()); }
TEST_F(CudaOps, Int8RowsAreQuantizedToTheNearest) { expect_rows_quantized(context()); }

TEST_F(CudaOps, SampleAgreesWithTheOracle) { expect_oracles_draws(drawer(), {1, 7, 33, 1000, 20011}); }
// BLOOM's vocabulary, and one that does not fit into the shared memory of a cluster.
TEST_F(CudaOps, SampleOfManyLogits) {
  for (int64_t vocab : {250880, 500003})
    for (int32_t top_k : {0, 50, 200000})
      for (float top_p : {0.0f, 0.9f, 1.0f})
        expect_right(*sample_case(2, vocab, {.top_k = top_k, .top_p = top_p, .seed = 3}, true));
}
// Whatever the parts, the very ids of the whole row.
TEST_F(CudaOps, SamplePartsDrawAsTheWhole) {
  for (int64_t vocab : {50, 20011, 250880})
    for (int32_t top_k : {0, 5, 40})
      for (float top_p : {0.0f, 0.5f, 0.9f}) {
        if (top_k == 0 && top_p > 0) continue;
        std::vector<std::byte> whole;
        for (int64_t parts : {1, 2, 3, 8}) {
          const Case made =
              sample_case(100, vocab, {.top_k = top_k, .top_p = top_p, .seed = 6}, false, parts);
          made->run(context());
          if (parts == 1) whole = made->output();
          EXPECT_TRUE(made->output() == whole) << made->name();
        }
      }
}
TEST_F(CudaOps, SampleTiesByRisingId) { expect_ties_by_rising_id(drawer()); }
TEST_F(CudaOps, SampleGreedyTakesTheLowestOfEquals) { expect_lowest_of_equals(drawer()); }
TEST_F(CudaOps, SampleNanMarksTheRow) { expect_nan_marks_the_row(drawer()); }
TEST_F(CudaOps, SampleDrawsFromFiniteRowsOnly) { expect_only_finite_rows_draw(drawer()); }
TEST_F(CudaOps, SampleReproducibleAndFair) { expect_reproducible_and_fair(drawer()); }

// Rows [begin, end) of y, as they are on the host.
std::vector<double> rows_of(const Guarded& y, int64_t begin, int64_t end) {
  std::vector<double> values;
  for (int64_t r = begin; r < end; ++r)
    for (int64_t c = 0; c < y.view().shape[1]; ++c) values.push_back(y.get(r, c));
  return values;
}

struct WeightTypes {
  DType stored, met;  // what x meets them as
};
constexpr WeightTypes kWeightTypes[] = {{DType::kF32, DType::kF32},   {DType::kF16, DType::kF16},
                                        {DType::kBF16, DType::kBF16}, {DType::kI8, DType::kF32},
                                        {DType::kI8, DType::kF16},    {DType::kI8, DType::kBF16}};

// Whatever the number of rows, and whichever of them a row is, it gets the same bits.
TEST_F(CudaOps, SkinnyMatmulRowsAreTheirOwn) {
  constexpr int64_t kRows = 130;
  const int64_t sizes[][2] = {{64, 256}, {43, 130}, {1040, 1024}};
  for (const auto& [stored, dtype] : kWeightTypes) {
    const Context on_gpu = context(dtype);
    for (const auto& size : sizes) {
      const PackedMatrix w = random_packed(on_gpu, size[0], size[1], stored, 3, dtype);
      for (bool norm : {false, true}) {
        SCOPED_TRACE(fmt::format("{} {} {}x{}{}", name_of(stored), name_of(dtype), size[0], size[1],
                                 norm ? " norm" : ""));
        Source source(53);
        const Guarded x = Guarded::random(kRows, size[1], 0, source, 1, norm ? DType::kF32 : dtype);
        const Guarded weight = Guarded::random(1, size[1], 0, source),
                      bias = Guarded::random(1, size[1], 0, source);
        const auto product = [&, dtype = dtype](int64_t begin, int64_t end) {
          Guarded y(kRows, size[0], 0, dtype);
          MatmulArgs args = {.x = x.view(on_gpu).slice_rows(begin, end),
                             .w = &w,
                             .y = y.view(on_gpu).slice_rows(begin, end)};
          if (norm) args.norm = {.weight = weight.vector(on_gpu), .bias = bias.vector(on_gpu)};
          cuda::skinny_matmul(on_gpu, args);
          y.fetch(on_gpu);
          return rows_of(y, begin, end);
        };
        const std::vector<double> whole = product(0, kRows);
        for (int64_t count : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 129}) {
          for (int64_t begin : {int64_t{0}, kRows - count}) {
            const std::vector<double> part = product(begin, begin + count);
            EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin * size[0]))
                << "rows " << begin << " to " << begin + count;
          }
        }
      }
    }
  }
}

// Within one height of the tiles, too, a row gets the same bits whatever is beside it.
TEST_F(CudaOps, SomeRowsMatmulRowsAreTheirOwn) {
  constexpr int64_t kRows = 64, kOut = 192, kIn = 1024;
  for (const auto& [stored, dtype] : kWeightTypes) {
    if (dtype == DType::kF32) continue;
    const Context on_gpu = context(dtype);
    const PackedMatrix w = random_packed(on_gpu, kOut, kIn, stored, 3, dtype);
    Source source(67);
    const Guarded x = Guarded::random(kRows, kIn, 0, source, 1, dtype);
    const auto product = [&, dtype = dtype](int64_t begin, int64_t end) {
      Guarded y(kRows, kOut, 0, dtype);
      const cuda::Done done = cuda::some_rows_matmul(
          on_gpu,
          {.x = x.view(on_gpu).slice_rows(begin, end), .w = &w, .y = y.view(on_gpu).slice_rows(begin, end)});
      y.fetch(on_gpu);
      return done == cuda::Done::kProduct ? rows_of(y, begin, end) : std::vector<double>();
    };
    const std::vector<double> whole = product(0, kRows);
    if (whole.empty()) GTEST_SKIP() << "NOT TESTED: this kernel is for Hopper GPUs";
    for (int64_t count : {33, 40, 57, 63}) {
      for (int64_t begin : {int64_t{0}, int64_t{1}, kRows - count}) {
        const std::vector<double> part = product(begin, begin + count);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin * kOut))
            << "rows " << begin << " to " << begin + count;
      }
    }
  }
}

// Of a head's size the kernels find the largest themselves.
TEST_F(CudaOps, BestOfAHeadNeedsNoLogits) {
  if (cuda_properties().compute_capability != 90)
    GTEST_SKIP() << "NOT TESTED: this kernel is for Hopper GPUs";
  constexpr int64_t kRows = 64, kOut = 67584, kIn = 256;
  for (const auto& [stored, dtype] : kWeightTypes) {
    if (dtype == DType::kF32) continue;
    const PackedMatrix w = random_packed(context(dtype), kOut, kIn, stored, 3, dtype);
    Source source(73);
    const Guarded x = Guarded::random(kRows, kIn, 0, source, 1, dtype);
    for (int64_t rows : {5, 8, 9, 33, 64}) {
      const Context on_gpu = context(dtype);
      const Guarded values(rows, 1, 0), ids(rows, 1, 0, DType::kI32), y(rows, kOut, 0);
      EXPECT_TRUE(cuda::matmul(on_gpu, {.x = x.view(on_gpu).slice_rows(0, rows),
                                        .w = &w,
                                        .y = y.view(on_gpu),
                                        .argmax = {.values = values.view(on_gpu), .ids = ids.view(on_gpu)}}))
          << rows << " rows";
      synchronize(on_gpu);
    }
  }
}

// Ranks of one process launch the same kernels at the same time, for parts of the vocabulary that differ.
TEST_F(CudaOps, ThreadsLaunchWithDifferentSharedMemory) {
  const auto draw = [](int64_t columns) {
    use_cuda_device(0);
    const Stream stream(Device::kCuda);
    Arena arena(Device::kCuda);
    const Context on_gpu = {.device = Device::kCuda, .stream = stream.get(), .arena = &arena};
    Source source(79);
    const Guarded logits = Guarded::random(2, columns, 0, source);
    const Mirrored rows(std::vector<SampleRow>(2, SampleRow{.top_k = 3}));
    const Guarded values(2, 3, 0), ids(2, 3, 0, DType::kI32);
    for (int i = 0; i < 3000; ++i) {
      candidates(on_gpu, {.logits = logits.view(on_gpu),
                          .rows = rows.span<const SampleRow>(on_gpu),
                          .values = values.view(on_gpu),
                          .ids = ids.view(on_gpu)});
    }
    synchronize(on_gpu);
  };
  // Up to 4096 logits are held in 16 KiB, and up to 8192 in 32.
  std::vector<std::future<void>> threads;
  for (const int64_t columns : {4096, 4097, 4095, 8192})
    threads.push_back(std::async(std::launch::async, draw, columns));
  for (std::future<void>& thread : threads) EXPECT_NO_THROW(thread.get());
}

// In deterministic mode a prompt gives the same bits taken whole, cut into chunks, and beside others.
TEST_F(CudaOps, DeterministicAttentionForgetsHowAPromptWasCut) {
  constexpr int64_t kTokens = 300, kHeads = 4, kKvHeads = 2, kPage = 16, kPages = 40, kMaxPages = 19;
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int64_t head_size : {40, 64, 128}) {
      const int64_t window = head_size == 64 ? 100 : 0;
      SCOPED_TRACE(fmt::format("{} head size {} window {}", name_of(dtype), head_size, window));
      const Context on_gpu = context(dtype, true);
      Source source(59);
      const int64_t width = kHeads * head_size;
      const Guarded q = Guarded::random(kTokens, width, 0, source, 1, dtype);
      const Guarded keys = Guarded::random(kPages * kKvHeads * kPage, head_size, 0, source, 1, dtype);
      const Guarded values = Guarded::random(kPages * kKvHeads * kPage, head_size, 0, source, 1, dtype);
      const Guarded slopes = Guarded::random(1, kHeads, 0, source, 0.1f);
      // The prompt's pages first, then another sequence's.
      std::vector<int32_t> pages;
      for (int32_t i = 0; i < 2 * kMaxPages; ++i) pages.push_back(i * 7 % kPages);
      const Mirrored table(pages);
      const auto attend = [&](Guarded& y, int64_t begin, int64_t end, bool beside) {
        // Beside: a second sequence takes the last 21 query rows over again, over 77 tokens.
        const int64_t rows = end - begin;
        std::vector<int32_t> offsets = {0, static_cast<int32_t>(rows)}, lengths = {static_cast<int32_t>(end)};
        if (beside) {
          offsets = {0, static_cast<int32_t>(rows - 21), static_cast<int32_t>(rows)};
          lengths = {static_cast<int32_t>(end - 21), 77};
        }
        const Mirrored on_offsets(offsets), on_lengths(lengths);
        const Shape of_pages = {kPages, kKvHeads, kPage, head_size};
        attention(on_gpu, {.q = q.view(on_gpu).slice_rows(begin, end),
                           .k = {},
                           .v = {},
                           .slots = {},
                           .kv = {.k = View(keys.view(on_gpu).data, dtype, of_pages, Device::kCuda),
                                  .v = View(values.view(on_gpu).data, dtype, of_pages, Device::kCuda),
                                  .page_table = table.span<const int32_t>(on_gpu),
                                  .max_pages = kMaxPages},
                           .query_offsets = on_offsets.span<const int32_t>(on_gpu),
                           .kv_lengths = on_lengths.span<const int32_t>(on_gpu),
                           .max_query = rows,
                           .max_kv_length = end,
                           .heads = kHeads,
                           .mask = {.window = window},
                           .position = {.alibi_slopes = slopes.vector(on_gpu)},
                           .scale = 0.125f,
                           .y = y.view(on_gpu).slice_rows(begin, end)});
        synchronize(on_gpu);
      };
      Guarded whole(kTokens, width, 0, dtype);
      attend(whole, 0, kTokens, false);
      whole.fetch(on_gpu);
      for (int64_t chunk : {1, 37, 64, 200}) {
        Guarded cut(kTokens, width, 0, dtype);
        for (int64_t begin = 0; begin < kTokens; begin += chunk)
          attend(cut, begin, std::min(begin + chunk, kTokens), false);
        cut.fetch(on_gpu);
        EXPECT_TRUE(rows_of(cut, 0, kTokens) == rows_of(whole, 0, kTokens)) << "cut every " << chunk;
      }
      Guarded batch(kTokens, width, 0, dtype);
      attend(batch, 0, kTokens, true);
      batch.fetch(on_gpu);
      EXPECT_TRUE(rows_of(batch, 0, kTokens - 21) == rows_of(whole, 0, kTokens - 21)) << "in a batch";
    }
  }
}

// In deterministic mode matmul() keeps a row's bits beyond the rows that the skinny kernels are made for.
TEST_F(CudaOps, DeterministicMatmulRowsAreTheirOwn) {
  for (const auto& [stored, dtype] : kWeightTypes) {
    const Context on_gpu = context(dtype, true);
    const PackedMatrix w = random_packed(on_gpu, 96, 512, stored, 3, dtype);
    Source source(61);
    const Guarded x = Guarded::random(300, 512, 0, source);
    Guarded all(300, 96, 0), some(300, 96, 0);
    matmul(on_gpu, {.x = x.view(on_gpu), .w = &w, .y = all.view(on_gpu)});
    all.fetch(on_gpu);
    for (int64_t begin = 0, count = 1; begin < 300; begin += count, count = std::min(2 * count, 300 - begin))
      matmul(on_gpu, {.x = x.view(on_gpu).slice_rows(begin, begin + count),
                      .w = &w,
                      .y = some.view(on_gpu).slice_rows(begin, begin + count)});
    some.fetch(on_gpu);
    EXPECT_TRUE(rows_of(some, 0, 300) == rows_of(all, 0, 300)) << name_of(dtype);
  }
}

}  // namespace
}  // namespace bolide::test
