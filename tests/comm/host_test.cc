// Collectives of CPU ranks, on threads.
#include <gmock/gmock.h>

#include <random>
#include <thread>

#include "comm/communicator.h"
#include "support/expect_error.h"
#include "support/on_ranks.h"
#include "tensor/tensor.h"

namespace bolide {
namespace {

using std::chrono_literals::operator""s;
using test::on_ranks;

std::vector<float> values_of(int rank, int64_t count) {
  std::mt19937 random(static_cast<unsigned>(rank * 1000 + count));
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = uniform(random);
  return values;
}

// float32 sums in rank order: what every rank must have, bit for bit.
std::vector<float> sum_of(std::span<const int> ranks, int64_t count) {
  std::vector<float> sum;
  for (int rank : ranks) {
    const std::vector<float> values = values_of(rank, count);
    if (sum.empty()) {
      sum = values;
    } else {
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
    }
  }
  return sum;
}

View view_of(std::vector<float>& values) {
  return View(values.data(), DType::kF32, {static_cast<int64_t>(values.size())});
}

TEST(HostCommunicator, SumsInRankOrderWhateverTheSize) {
  for (int size : {2, 3, 4}) {
    std::vector<int> group;
    for (int rank = 0; rank < size; ++rank) group.push_back(rank);
    // Both sides of the change from one exchange to two, and sizes that no rank count divides.
    for (int64_t count : {int64_t{1}, int64_t{7}, int64_t{8192}, int64_t{8193}, int64_t{100'003}}) {
      on_ranks(size, [&](Communicator& comm, Transport&) {
        std::vector<float> x = values_of(comm.rank(), count);
        comm.all_reduce({}, view_of(x));
        EXPECT_EQ(x, sum_of(group, count)) << "rank " << comm.rank() << " of " << size << ", " << count;
      });
    }
  }
}

TEST(HostCommunicator, AGroupIsAPartOfTheWorld) {
  const std::vector<int> group = {3, 1};
  on_ranks(
      4,
      [&](Communicator& comm, Transport& world) {
        EXPECT_EQ(comm.size(), 2);
        EXPECT_EQ(group[static_cast<size_t>(comm.rank())], world.rank());
        std::vector<float> x = values_of(world.rank(), 5);
        comm.all_reduce({}, view_of(x));
        EXPECT_EQ(x, sum_of(group, 5));
      },
      group);
}

TEST(HostCommunicator, GathersScattersAndBroadcasts) {
  const std::vector<int> group = {0, 1, 2};
  on_ranks(3, [&](Communicator& comm, Transport&) {
    std::vector<float> mine = values_of(comm.rank(), 4), all(12), part(4);
    comm.all_gather({}, view_of(mine), view_of(all));
    for (int rank = 0; rank < 3; ++rank) {
      const std::vector<float> expected = values_of(rank, 4);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), all.begin() + 4 * rank));
    }
    std::vector<float> x = values_of(comm.rank(), 12);
    comm.reduce_scatter({}, view_of(x), view_of(part));
    const std::vector<float> sum = sum_of(group, 12);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), sum.begin() + 4 * comm.rank()));
    comm.broadcast({}, view_of(mine), 2);
    EXPECT_EQ(mine, values_of(2, 4));
    comm.barrier({});
  });
}

// On the CPU the way to the host and back is a copy, and the rest is what GPU ranks do.
TEST(ThroughHost, DoesWhatHostRanksDoInTheTypesOfAGpu) {
  const std::vector<int> group = {0, 1, 2};
  on_ranks(3, [&](Communicator& comm, Transport& world) {
    const auto staged = make_through_host_communicator(world, group, Channel::kPipeline);
    EXPECT_FALSE(staged->capturable());
    std::vector<float> x = values_of(comm.rank(), 12), all(36), part(4);
    staged->all_gather({}, view_of(x), view_of(all));
    EXPECT_TRUE(std::equal(x.begin(), x.end(), all.begin() + 12 * comm.rank()));
    staged->reduce_scatter({}, view_of(x), view_of(part));
    const std::vector<float> sum = sum_of(group, 12);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), sum.begin() + 4 * comm.rank()));
    std::vector<bf16> halves;
    std::vector<float> exact(12);
    for (float value : x) halves.push_back(to_bf16(value));
    for (int rank : group) {
      const std::vector<float> other = values_of(rank, 12);
      for (size_t i = 0; i < 12; ++i) exact[i] += to_float(to_bf16(other[i]));
    }
    staged->all_reduce({}, View(halves.data(), DType::kBF16, {12}));
    for (size_t i = 0; i < 12; ++i) EXPECT_EQ(halves[i].bits, to_bf16(exact[i]).bits) << i;
    staged->broadcast({}, view_of(x), 1);
    EXPECT_EQ(x, values_of(1, 12));
    staged->barrier({});
    if (comm.rank() == 0) staged->send({}, view_of(x), 2);
    if (comm.rank() == 2) {
      x.assign(12, 0);
      staged->receive({}, view_of(x), 0);
      EXPECT_EQ(x, values_of(1, 12));
    }
  });
}

TEST(HostCommunicator, SendsDoNotWait) {
  on_ranks(2, [&](Communicator& comm, Transport&) {
    std::vector<float> mine = values_of(comm.rank(), 1 << 20), theirs(1 << 20);
    comm.send({}, view_of(mine), 1 - comm.rank());
    comm.receive({}, view_of(theirs), 1 - comm.rank());
    EXPECT_EQ(theirs, values_of(1 - comm.rank(), 1 << 20));
  });
}

TEST(HostCommunicator, ReduceAddAddsTheBiasOnce) {
  on_ranks(3, [&](Communicator& comm, Transport&) {
    Arena arena;
    const Context context{.arena = &arena, .tensor_comm = &comm};
    std::vector<float> delta = values_of(comm.rank(), 6), bias = values_of(7, 3), y = values_of(8, 6);
    const std::vector<float> before = y;
    const std::vector<int> group = {0, 1, 2};
    const std::vector<float> sum = sum_of(group, 6);
    comm.reduce_add(context, view_of(delta).reshape({2, 3}), view_of(bias), view_of(y).reshape({2, 3}));
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(y[i], before[i] + (sum[i] + bias[i % 3])) << i;
  });
}

TEST(ThreadTransport, SaysWhoIsSilentAndAtWhat) {
  auto transports = make_thread_transports(2, std::chrono::duration<double>(0.05));
  transports[0]->at("step 17");
  std::byte byte{};
  EXPECT_ERROR(transports[0]->receive(1, Channel::kPlan, std::span(&byte, 1)), ErrorCode::kResource,
               "rank 1 did not answer rank 0 within 0.05 s at step 17");
}

TEST(ThreadTransport, AnEndWakesWhoeverWaits) {
  auto transports = make_thread_transports(3, 60s);
  std::thread waiter([&] {
    transports[0]->at("step 3");
    std::byte byte{};
    EXPECT_ERROR(transports[0]->receive(1, Channel::kPlan, std::span(&byte, 1)), ErrorCode::kResource,
                 "rank 2 is gone, as rank 0 found at step 3: out of coffee");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  transports[2]->abort("out of coffee");
  waiter.join();
  EXPECT_ERROR(transports[1]->send(0, Channel::kPlan, {}), ErrorCode::kResource, "out of coffee");
}

TEST(ThreadTransport, WhatWasSentBeforeAnEndStillArrives) {
  auto transports = make_thread_transports(2, 60s);
  const std::byte sent{42};
  std::byte got{};
  transports[1]->send(0, Channel::kPlan, std::span(&sent, 1));
  transports[1]->abort("done");
  transports[0]->receive(1, Channel::kPlan, std::span(&got, 1));
  EXPECT_EQ(got, sent);
}

}  // namespace
}  // namespace bolide
