#include "comm/process_group.h"

#include <gtest/gtest.h>

#include <array>

#include "support/expect_error.h"

namespace bolide {
namespace {

TEST(ProcessGroup, WithAGpuEachTheyTalkAsAskedFor) {
  const std::array<std::string, 3> gpus = {"the first", "the second", "the first of another machine"};
  for (const AllReduce wanted : {AllReduce::kOneShot, AllReduce::kNccl, AllReduce::kHost}) {
    std::string why;
    EXPECT_EQ(possible_all_reduce(wanted, gpus, why), wanted);
    EXPECT_EQ(why, "");
  }
}

TEST(ProcessGroup, OnOneGpuTheyTalkByWayOfHostMemory) {
  const std::array<std::string, 4> gpus = {"a", "b", "c", "b"};
  std::string why;
  EXPECT_EQ(possible_all_reduce(AllReduce::kHost, gpus, why), AllReduce::kHost);
  EXPECT_EQ(why, "");
  EXPECT_EQ(possible_all_reduce(AllReduce::kOneShot, gpus, why), AllReduce::kHost);
  EXPECT_NE(why.find("ranks 1 and 3 share b: "), std::string::npos) << why;
}

TEST(ProcessGroup, NcclByNameRefusesOneGpuForTwo) {
  const std::array<std::string, 2> gpus = {"the GPU at 0000:19:00", "the GPU at 0000:19:00"};
  std::string why;
  EXPECT_ERROR(possible_all_reduce(AllReduce::kNccl, gpus, why), ErrorCode::kUsage,
               "ranks 0 and 1 share the GPU at 0000:19:00, and NCCL needs");
}

}  // namespace
}  // namespace bolide
