// Our own all-reduce and all-gather. Ranks are threads, each with a GPU, or sharing one: the kernels then
// meet in the memory of one GPU, which tests all but the way between two.
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>

#include "comm/cuda/one_shot.h"
#include "comm/gpu_pattern.h"
#include "comm/gpu_test.h"
#include "ops/add.h"
#include "support/expect_error.h"

namespace bolide::test {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

constexpr size_t kMiB = size_t{1} << 20;
// How long a rank waits for another, which is how long a fault takes.
constexpr auto kLimit = 10s;
// By one hop, by two, and by either as the size wants it.
constexpr OneShotLimits kKinds[] = {{4 * kMiB, 0}, {0, 4 * kMiB}, {32 << 10, 4 * kMiB}};
std::string name_of_kind(const OneShotLimits& limits) {
  return fmt::format("one shot to {}, two to {} bytes", limits.one_shot_bytes, limits.two_shot_bytes);
}

std::unique_ptr<Communicator> make(const GpuRank& rank, const OneShotLimits& limits) {
  load_pattern_kernels();
  auto comm = make_one_shot_communicator(rank.context, rank.world, rank.group, Channel::kTensor,
                                         std::make_unique<NoLibrary>(rank.size, rank.rank), limits);
  EXPECT_EQ(comm->name(), "one_shot") << "see the log for why";
  rank.meet();
  return comm;
}

// Host values of a type, and back.
std::vector<std::byte> bytes_of(const std::vector<float>& values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * size_of(dtype));
  convert_elements(values.data(), DType::kF32, bytes.data(), dtype, values.size());
  return bytes;
}
std::vector<float> floats_of(const std::vector<std::byte>& bytes, DType dtype) {
  std::vector<float> values(bytes.size() / size_of(dtype));
  convert_elements(bytes.data(), dtype, values.data(), DType::kF32, values.size());
  return values;
}
std::vector<float> rounded(const std::vector<float>& values, DType dtype) {
  return floats_of(bytes_of(values, dtype), dtype);
}

// Of mixed signs and sizes, so that the order of a sum shows.
std::vector<float> values_of(int rank, size_t count, DType dtype) {
  std::mt19937 random(static_cast<unsigned>(rank * 7919) + static_cast<unsigned>(count));
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random) * static_cast<float>(1 << (random() % 8));
  if (count > 5) values[5] = -0.0f;
  return rounded(values, dtype);
}
// In fp32, in rank order, rounded once.
std::vector<float> sum_of(int ranks, size_t count, DType dtype) {
  std::vector<float> sum = values_of(0, count, dtype);
  for (int rank = 1; rank < ranks; ++rank) {
    const std::vector<float> more = values_of(rank, count, dtype);
    for (size_t i = 0; i < count; ++i) sum[i] += more[i];
  }
  return rounded(sum, dtype);
}

// Device memory for tests that put what they like into it; `offset` elements of each use are left out.
class Buffer {
 public:
  explicit Buffer(size_t bytes)
      : memory_(Tensor::allocate({static_cast<int64_t>(bytes)}, DType::kU8, Device::kCuda)) {}
  View view(Shape shape, DType dtype, size_t offset = 0) const {
    BOLIDE_CHECK((static_cast<size_t>(shape.count()) + offset) * size_of(dtype) <= memory_.bytes());
    return {static_cast<std::byte*>(memory_.view().data) + offset * size_of(dtype), dtype, shape,
            Device::kCuda};
  }
  static void put(const Context& context, const View& x, const std::vector<float>& values) {
    const std::vector<std::byte> bytes = bytes_of(values, x.dtype);
    copy_to_device(context, x.data, bytes.data(), bytes.size());
    synchronize(context);
  }
  static std::vector<float> get(const Context& context, const View& x) {
    std::vector<std::byte> bytes(static_cast<size_t>(x.shape.count()) * size_of(x.dtype));
    copy_to_host(context, bytes.data(), x.data, bytes.size());
    synchronize(context);
    return floats_of(bytes, x.dtype);
  }

 private:
  Tensor memory_;
};

// Ends the rank with the first difference: those behind it tell nothing more, and may wait for other ranks.
// `mine`: what the rank gave, which is what is left where nothing was summed.
void expect_same(const std::vector<float>& have, const std::vector<float>& want,
                 const std::vector<float>& mine, const std::string& where) {
  size_t different = 0, first = 0, left = 0;
  for (size_t i = want.size(); i-- > 0;) {
    if (have[i] == want[i]) continue;
    ++different;
    first = i;
    left += have[i] == mine[i];
  }
  if (different == 0) return;
  fail(ErrorCode::kInternal,
       "{}: {} of {} elements differ, {} of them as this rank gave them; [{}] is {}, not {}", where,
       different, want.size(), left, first, have[first], want[first]);
}

class GpuOneShot : public testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    devices_ = devices_of(GetParam());
    if (devices_.empty()) GTEST_SKIP() << too_few(GetParam());
  }
  std::vector<int> devices_;
};

TEST_P(GpuOneShot, SumsInRankOrderWhateverTheSize) {
  on_gpus(devices_, kLimit, [](const GpuRank& rank) {
    const Buffer buffer(5 * kMiB);
    for (const OneShotLimits& limits : kKinds) {
      const auto comm = make(rank, limits);
      for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
        for (size_t count : {1, 2, 7, 8, 9, 63, 1000, 1024, 4096, 8191, 32768, 262'144, 1'000'003}) {
          const std::vector<float> mine = values_of(rank.rank, count, dtype);
          const std::vector<float> sum = sum_of(rank.size, count, dtype);
          for (size_t offset : {0, 1}) {
            const View x = buffer.view({static_cast<int64_t>(count)}, dtype, offset);
            for (int run = 0; run < 2; ++run) {  // each of the two halves of the memory
              Buffer::put(rank.context, x, mine);
              together(rank, *comm, [&] { comm->all_reduce(rank.context, x); });
              expect_same(Buffer::get(rank.context, x), sum, mine,
                          fmt::format("{} {} at {}, run {}, {}", name_of(dtype), count, offset, run,
                                      name_of_kind(limits)));
            }
          }
        }
      }
      rank.meet();
    }
    rank.meet();
  });
}

TEST_P(GpuOneShot, ReduceAddHasBiasOnce) {
  on_gpus(devices_, kLimit, [](const GpuRank& rank) {
    const Buffer deltas(2 * kMiB), ys(4 * kMiB), biases(64 << 10);
    for (const OneShotLimits& limits : kKinds) {
      const auto comm = make(rank, limits);
      for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
        for (int64_t hidden : {1, 7, 12, 64, 1000, 4096}) {
          for (int64_t tokens : {1, 3, 33}) {
            for (bool with_bias : {false, true}) {
              const auto count = static_cast<size_t>(tokens * hidden);
              const View delta = deltas.view({tokens, hidden}, dtype),
                         y = ys.view({tokens, hidden}, DType::kF32),
                         bias = with_bias ? biases.view({hidden}, DType::kF32) : View();
              const std::vector<float> before = values_of(100, count, DType::kF32);
              const std::vector<float> added = values_of(101, static_cast<size_t>(hidden), DType::kF32);
              std::vector<float> want = sum_of(rank.size, count, dtype);
              for (size_t i = 0; i < count; ++i)
                want[i] = before[i] + (want[i] + (with_bias ? added[i % static_cast<size_t>(hidden)] : 0.0f));
              Buffer::put(rank.context, delta, values_of(rank.rank, count, dtype));
              Buffer::put(rank.context, y, before);
              if (with_bias) Buffer::put(rank.context, bias, added);
              together(rank, *comm, [&] { comm->reduce_add(rank.context, delta, bias, y); });
              expect_same(Buffer::get(rank.context, y), want, before,
                          fmt::format("{} {} x {}, {} bias, {}", name_of(dtype), tokens, hidden,
                                      with_bias ? "a" : "no", name_of_kind(limits)));
            }
          }
        }
      }
      rank.meet();
    }
    rank.meet();
  });
}

// Bytes behind and before what a gather may write.
class Guards {
 public:
  Guards(const Context& context, const View& y) : y_(y) {
    for (std::byte* at : places()) copy_to_device(context, at, kValues, sizeof(kValues));
    synchronize(context);
  }
  bool whole(const Context& context) const {
    bool whole = true;
    for (std::byte* at : places()) {
      char have[sizeof(kValues)];
      copy_to_host(context, have, at, sizeof(have));
      synchronize(context);
      whole = whole && std::memcmp(have, kValues, sizeof(have)) == 0;
    }
    return whole;
  }
  static constexpr size_t kBytes = 8;

 private:
  static constexpr char kValues[kBytes] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::array<std::byte*, 2> places() const {
    auto* const y = static_cast<std::byte*>(y_.data);
    return {y - kBytes, y + y_.shape.count()};
  }
  View y_;
};

// Data with any words in it, also those that mean to a sum that nothing has come.
TEST_P(GpuOneShot, GathersEveryBitWhateverTheSize) {
  on_gpus(devices_, kLimit, [](const GpuRank& rank) {
    constexpr size_t kMax = 600'003;
    const Buffer xs(2 * kMiB), ys(kMax * static_cast<size_t>(rank.size) + 64);
    const Tensor mismatches = Tensor::zeros({1}, DType::kI32, Device::kCuda);
    auto* wrong = reinterpret_cast<uint32_t*>(mismatches.as<int32_t>());
    for (const OneShotLimits& limits : kKinds) {
      const auto comm = make(rank, limits);
      uint32_t seed = 0;
      for (size_t bytes : {1, 2, 3, 4, 5, 11, 12, 13, 16, 24, 512, 1000, 4096, 65'537, 393'216, 600'003}) {
        for (size_t offset : {0, 1, 4}) {
          const auto count = static_cast<int64_t>(bytes);
          const View x = xs.view({count}, DType::kU8, offset);
          const View y = ys.view({rank.size, count}, DType::kU8, Guards::kBytes + offset);
          const Guards guards(rank.context, y);
          together(rank, *comm, [&] {
            for (int run = 0; run < 3; ++run) {  // the two halves of the memory, and again the first
              fill_bytes(rank.context, x, ++seed, rank.rank);
              comm->all_gather(rank.context, x, y);
              count_wrong_bytes(rank.context, y, seed, rank.size, wrong);
            }
            // From its place in y.
            const View mine = y.slice_rows(rank.rank, rank.rank + 1);
            fill_bytes(rank.context, mine, ++seed, rank.rank);
            comm->all_gather(rank.context, mine.reshape({count}), y);
            count_wrong_bytes(rank.context, y, seed, rank.size, wrong);
          });
          int32_t found = -1;
          copy_to_host(rank.context, &found, wrong, sizeof(found));
          synchronize(rank.context);
          if (found != 0 || !guards.whole(rank.context))
            fail(ErrorCode::kInternal, "{} bytes at {}: {} differ up to here, {}, {}", bytes, offset, found,
                 guards.whole(rank.context) ? "none outside" : "and some outside", name_of_kind(limits));
        }
      }
      rank.meet();
    }
    rank.meet();
  });
}

// A launch into a full queue waits, and may do so with a lock that other ranks on that GPU need: one that is
// far ahead would keep the one it waits for from launching. Calls, of four launches at most, between two
// looks.
constexpr int kMaxQueued = 100;

// The counter of calls lives on the GPU, so that one graph is right each time, and calls outside between.
TEST_P(GpuOneShot, InAGraph) {
  on_gpus(devices_, kLimit, [](const GpuRank& rank) {
    constexpr int64_t kTokens = 3, kHidden = 1024;
    constexpr int kLaunches = 300;
    const Buffer memory(4 * kMiB), deltas(kMiB), ys(kMiB), parts(kMiB), alls(kMiB);
    // As tensor ranks exchange the largest logits of three rows.
    const View part = parts.view({3 * 2 * 8 * 4}, DType::kU8),
               all = alls.view({rank.size, part.shape[0]}, DType::kU8);
    for (DType dtype : {DType::kBF16, DType::kF32}) {
      const auto comm = make(rank, kKinds[2]);
      const View large = memory.view({100'000}, dtype), delta = deltas.view({kTokens, kHidden}, dtype),
                 y = ys.view({kTokens, kHidden}, DType::kF32);
      const Tensor mismatches = Tensor::zeros({1}, DType::kI32, Device::kCuda);
      auto* wrong = reinterpret_cast<uint32_t*>(mismatches.as<int32_t>());
      const auto call = [&] {
        fill_pattern(rank.context, large, 1, rank.rank);
        comm->all_reduce(rank.context, large);
        count_mismatches(rank.context, large, 1, rank.size, 1, wrong);
        fill_pattern(rank.context, delta, 2, rank.rank);
        comm->reduce_add(rank.context, delta, {}, y);  // y counts the launches
        fill_bytes(rank.context, part, 4, rank.rank);
        comm->all_gather(rank.context, part, all);
        count_wrong_bytes(rank.context, all, 4, rank.size, wrong);
        fill_pattern(rank.context, delta, 3, rank.rank);
        comm->all_reduce(rank.context, delta);
        count_mismatches(rank.context, delta, 3, rank.size, 1, wrong);
      };
      fill_zero(rank.context, y.data, kTokens * kHidden * sizeof(float));
      Graph graph;
      graph.capture(rank.context, call);
      synchronize(rank.context);
      int done = 0;
      const auto launch = [&] {
        for (int i = 0; i < kLaunches; ++i, ++done) {
          graph.launch(rank.context);
          if (i % (kMaxQueued / 3) == 0) synchronize(rank.context);  // eleven kernels each
        }
      };
      together(rank, *comm, [&] {
        launch();
        call();
        ++done;
        launch();
        count_mismatches(rank.context, y, 2, rank.size, done, wrong);
      });
      int32_t found = -1;
      copy_to_host(rank.context, &found, wrong, sizeof(found));
      synchronize(rank.context);
      EXPECT_EQ(found, 0) << name_of(dtype) << " rank " << rank.rank;
      rank.meet();
    }
    rank.meet();
  });
}

// Calls of any size, type and kind behind each other, ranks out of step, and nobody waits on the host for
// each. BOLIDE_STRESS: how many.
TEST_P(GpuOneShot, AnyOrderOfCalls) {
  const char* stress = std::getenv("BOLIDE_STRESS");
  const int calls = stress ? std::atoi(stress) : 3000;
  on_gpus(devices_, kLimit, [&](const GpuRank& rank) {
    const Buffer memory(16 * kMiB), parts(2 * kMiB), alls(9 * kMiB);
    const Tensor mismatches = Tensor::zeros({1}, DType::kI32, Device::kCuda);
    auto* wrong = reinterpret_cast<uint32_t*>(mismatches.as<int32_t>());
    const auto comm = make(rank, {256 << 10, 8 * kMiB});
    std::mt19937 random(17), own(static_cast<unsigned>(rank.rank));  // the ranks draw the same calls
    const auto gather = [&](uint32_t call) {
      const auto bytes = static_cast<int64_t>(1 + random() % (static_cast<uint32_t>(kMiB) >> random() % 20));
      const View x = parts.view({bytes}, DType::kU8, random() % 2 ? random() % 16 : 0),
                 y = alls.view({rank.size, bytes}, DType::kU8, random() % 2 ? random() % 16 : 0);
      fill_bytes(rank.context, x, call, rank.rank);
      comm->all_gather(rank.context, x, y);
      count_wrong_bytes(rank.context, y, call, rank.size, wrong);
    };
    const auto one = [&](int call) {
      if (own() % 16 == 0) busy(rank.context, static_cast<int>(own() % 100));
      if (random() % 4 == 0) return gather(static_cast<uint32_t>(call));
      const DType dtype = std::array{DType::kF32, DType::kF16, DType::kBF16}[random() % 3];
      const int64_t most = static_cast<int64_t>(8 * kMiB / size_of(dtype)) >> random() % 20;
      const auto count =
          static_cast<int64_t>(1 + random() % static_cast<uint32_t>(std::max<int64_t>(most, 1)));
      const View x = memory.view({count}, dtype, random() % 2 ? random() % 16 : 0);
      fill_pattern(rank.context, x, static_cast<uint32_t>(call), rank.rank);
      comm->all_reduce(rank.context, x);
      count_mismatches(rank.context, x, static_cast<uint32_t>(call), rank.size, 1, wrong);
    };
    together(rank, *comm, [&] {
      for (int call = 0; call < calls; ++call) {
        one(call);
        if (call % kMaxQueued != kMaxQueued - 1) continue;
        synchronize(rank.context);
        comm->check();
        rank.now("calling");
      }
    });
    int32_t found = -1;
    copy_to_host(rank.context, &found, wrong, sizeof(found));
    synchronize(rank.context);
    EXPECT_EQ(found, 0) << "elements in " << calls << " calls, rank " << rank.rank;
    rank.meet();
  });
}

// A sum that fits into no call goes in pieces where it must be reproducible, and to the library elsewhere, as
// what is gathered does.
TEST_P(GpuOneShot, PiecesOfWhatIsTooLarge) {
  on_gpus(devices_, kLimit, [](const GpuRank& rank) {
    constexpr int64_t kCount = 33'333, kBytes = 4001;
    const Buffer buffer(kMiB), gathered(kMiB);
    const View parts = buffer.view({kBytes}, DType::kU8),
               all = gathered.view({rank.size, kBytes}, DType::kU8);
    for (const OneShotLimits& limits : {OneShotLimits{4000, 0}, OneShotLimits{0, 4000}}) {
      const auto comm = make(rank, limits);
      const View x = buffer.view({kCount}, DType::kBF16);
      const std::vector<float> mine = values_of(rank.rank, kCount, x.dtype);
      Buffer::put(rank.context, x, mine);
      Context context = rank.context;
      context.deterministic = true;
      together(rank, *comm, [&] { comm->all_reduce(context, x); });
      expect_same(Buffer::get(context, x), sum_of(rank.size, kCount, x.dtype), mine, name_of_kind(limits));
      EXPECT_ERROR(comm->all_reduce(rank.context, x), ErrorCode::kUnsupported, "no library");
      EXPECT_ERROR(comm->all_gather(rank.context, parts, all), ErrorCode::kUnsupported, "no library");
      rank.meet();
    }
    rank.meet();
  });
}

TEST_P(GpuOneShot, ARankThatDoesNotComeIsNamed) {
  on_gpus(devices_, 2s, [](const GpuRank& rank) {
    const Buffer buffer(kMiB), gathered(kMiB);
    const View x = buffer.view({5000}, DType::kF16), all = gathered.view({rank.size, 5000}, DType::kF16);
    const int silent = rank.size - 1;
    rank.world.at("step 17");
    for (int kind = 0; kind < 3; ++kind) {  // by one hop, by two, and a gather
      const auto comm = make(rank, kKinds[kind % 2]);
      const auto call = [&] {
        if (kind == 2) return comm->all_gather(rank.context, x, all);
        comm->all_reduce(rank.context, x);
      };
      if (rank.rank != silent) {
        const auto begin = std::chrono::steady_clock::now();
        for (int i = 0; i < 40; ++i) call();  // they do not add up
        synchronize(rank.context);
        EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s);
        EXPECT_ERROR(comm->check(), ErrorCode::kResource, fmt::format("rank {} did not answer", silent));
        EXPECT_ERROR(call(), ErrorCode::kResource, "step 17");
      }
      rank.meet();
    }
  });
}

TEST_P(GpuOneShot, AbortEndsTheWait) {
  on_gpus(devices_, kLimit, [](const GpuRank& rank) {
    const Buffer buffer(kMiB);
    const View x = buffer.view({5000}, DType::kF16);
    const auto comm = make(rank, kKinds[1]);
    if (rank.rank == 0) {
      const auto begin = std::chrono::steady_clock::now();
      comm->all_reduce(rank.context, x);
      std::thread other([&] {
        std::this_thread::sleep_for(300ms);
        comm->abort();
      });
      synchronize(rank.context);
      other.join();
      EXPECT_LT(std::chrono::steady_clock::now() - begin, kLimit / 2);
      EXPECT_ERROR(comm->check(), ErrorCode::kResource, "given up");
    }
    rank.meet();
  });
}

INSTANTIATE_TEST_SUITE_P(, GpuOneShot,
                         testing::Values(Place{"OneGpuAsTwoRanks", 1, 2}, Place{"OneGpuAsThreeRanks", 1, 3},
                                         Place{"TwoGpus", 2, 2}, Place{"AllGpus", 0, 0}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace bolide::test
