// NCCL's communicator: ranks are threads, each with a GPU.
#include <cstdlib>

#include "comm/cuda/one_shot.h"
#include "comm/gpu_pattern.h"
#include "comm/gpu_test.h"
#include "support/expect_error.h"

namespace bolide::test {
namespace {

using std::chrono_literals::operator""s;

class GpuNccl : public testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    devices_ = devices_of(GetParam());
    if (devices_.empty()) GTEST_SKIP() << too_few(GetParam());
  }
  std::vector<int> devices_;
};

std::unique_ptr<Communicator> make(const GpuRank& rank) {
  load_pattern_kernels();
  auto comm = make_nccl_communicator(rank.context, rank.world, rank.group, Channel::kTensor);
  rank.meet();
  return comm;
}

struct Mismatches {
  Tensor count = Tensor::zeros({1}, DType::kI32, Device::kCuda);
  uint32_t* at() const { return reinterpret_cast<uint32_t*>(count.as<int32_t>()); }
  int32_t get(const Context& context) const {
    int32_t found = -1;
    copy_to_host(context, &found, at(), sizeof(found));
    synchronize(context);
    return found;
  }
};

TEST_P(GpuNccl, DoesAllThatACommunicatorDoes) {
  on_gpus(devices_, 60s, [](const GpuRank& rank) {
    constexpr int64_t kCount = 10'007;
    const Context& context = rank.context;
    const int size = rank.size, me = rank.rank;
    const auto comm = make(rank);
    EXPECT_EQ(comm->name(), "nccl");
    EXPECT_EQ(comm->size(), size);
    EXPECT_EQ(comm->rank(), me);
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      const Mismatches wrong;
      const Tensor x = Tensor::allocate({kCount}, dtype, Device::kCuda);
      const Tensor all = Tensor::allocate({size, kCount}, dtype, Device::kCuda);
      const auto part = [&](int r) { return all.view().slice_rows(r, r + 1); };
      rank.meet();
      fill_pattern(context, x, 1, me);
      comm->all_reduce(context, x);
      count_mismatches(context, x, 1, size, 1, wrong.at());
      // What one rank alone has is a sum over one rank: rank 0's.
      fill_pattern(context, x, static_cast<uint32_t>(10 + me), 0);
      comm->all_gather(context, x, all);
      for (int r = 0; r < size; ++r)
        count_mismatches(context, part(r), static_cast<uint32_t>(10 + r), 1, 1, wrong.at());
      for (int r = 0; r < size; ++r) fill_pattern(context, part(r), static_cast<uint32_t>(20 + r), me);
      comm->reduce_scatter(context, all, x);
      count_mismatches(context, x, static_cast<uint32_t>(20 + me), size, 1, wrong.at());
      fill_pattern(context, x, static_cast<uint32_t>(30 + me), 0);
      comm->broadcast(context, x, size - 1);
      count_mismatches(context, x, static_cast<uint32_t>(30 + size - 1), 1, 1, wrong.at());
      comm->barrier(context);
      // Along the ranks, as a pipeline does.
      if (me == 0) fill_pattern(context, x, 40, 0);
      if (me > 0) comm->receive(context, x, me - 1);
      if (me + 1 < size) comm->send(context, x, me + 1);
      count_mismatches(context, x, 40, 1, 1, wrong.at());
      EXPECT_EQ(wrong.get(context), 0) << name_of(dtype) << " rank " << me;
      comm->check();
      rank.meet();
    }
    rank.meet();
  });
}

TEST_P(GpuNccl, InAGraph) {
  on_gpus(devices_, 60s, [](const GpuRank& rank) {
    const Context& context = rank.context;
    const auto comm = make(rank);
    const Mismatches wrong;
    const Tensor x = Tensor::allocate({5000}, DType::kBF16, Device::kCuda);
    const auto call = [&] {
      fill_pattern(context, x, 1, rank.rank);
      comm->all_reduce(context, x);
      count_mismatches(context, x, 1, rank.size, 1, wrong.at());
    };
    call();
    synchronize(context);
    rank.meet();
    Graph graph;
    graph.capture(context, call);
    rank.meet();
    for (int i = 0; i < 100; ++i) graph.launch(context);
    EXPECT_EQ(wrong.get(context), 0);
    comm->check();
    rank.meet();
  });
}

// Our own kernels and NCCL's between each other on one stream.
TEST_P(GpuNccl, UnderOneShot) {
  on_gpus(devices_, 60s, [](const GpuRank& rank) {
    const Context& context = rank.context;
    auto library = make(rank);
    const auto comm =
        make_one_shot_communicator(context, rank.world, rank.group, Channel::kTensor, std::move(library));
    EXPECT_EQ(comm->name(), "one_shot") << "see the log for why";
    const Mismatches wrong;
    const Tensor x = Tensor::allocate({int64_t{10} << 20}, DType::kBF16, Device::kCuda);
    const Tensor all = Tensor::allocate({rank.size * (int64_t{20} << 20)}, DType::kU8, Device::kCuda);
    rank.meet();
    for (uint32_t call = 0; call < 300; ++call) {
      const int64_t most = x.shape()[0];  // 20 MB: NCCL's
      const View some = x.view().slice_rows(0, call % 3 == 0 ? most : 1 + most % (1009 * (call + 1)));
      fill_pattern(context, some, call, rank.rank);
      comm->all_reduce(context, some);
      count_mismatches(context, some, call, rank.size, 1, wrong.at());
      if (call % 7 == 0) comm->broadcast(context, some, 0);
      if (call % 11 == 0) comm->barrier(context);
      if (call % 5 != 0) continue;
      const int64_t bytes = call % 50 == 0 ? 2 * most : 1 + most % (1013 * (call + 1));  // 20 MB: NCCL's
      const View part(x.view().data, DType::kU8, {bytes}, Device::kCuda);
      const View parts(all.view().data, DType::kU8, {rank.size, bytes}, Device::kCuda);
      fill_bytes(context, part, call, rank.rank);
      comm->all_gather(context, part, parts);
      count_wrong_bytes(context, parts, call, rank.size, wrong.at());
    }
    EXPECT_EQ(wrong.get(context), 0);
    comm->check();
    rank.meet();
  });
}

TEST_P(GpuNccl, ARankThatNeverStartsIsNamed) {
  on_gpus(devices_, 2s, [](const GpuRank& rank) {
    if (rank.rank == 0) return;
    EXPECT_ERROR(make_nccl_communicator(rank.context, rank.world, rank.group, Channel::kTensor),
                 ErrorCode::kResource, "rank 0 did not answer");
  });
}

TEST_P(GpuNccl, AbortEndsTheWait) {
  on_gpus(devices_, 60s, [](const GpuRank& rank) {
    const auto comm = make(rank);
    const Tensor x = Tensor::zeros({5000}, DType::kBF16, Device::kCuda);
    rank.meet();
    if (rank.rank == 0) {
      const auto begin = std::chrono::steady_clock::now();
      comm->all_reduce(rank.context, x);
      std::thread other([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        comm->abort();
      });
      synchronize(rank.context);
      other.join();
      EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
      EXPECT_ERROR(comm->check(), ErrorCode::kResource, "it was ended");
    }
    rank.meet();
    comm->abort();  // without a word to rank 0, which is gone
  });
}

INSTANTIATE_TEST_SUITE_P(, GpuNccl, testing::Values(Place{"TwoGpus", 2, 2}, Place{"AllGpus", 0, 0}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace bolide::test
