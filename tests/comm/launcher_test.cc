#include "comm/launcher.h"

#include <gtest/gtest.h>

#include <map>

#include "support/expect_error.h"

namespace bolide {
namespace {

using By = Launch::By;
using Variables = std::map<std::string, std::string>;

Launch launch_of(const Variables& variables) {
  return read_launch([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

Variables operator+(Variables a, const Variables& b) {
  for (const auto& [name, value] : b) a[name] = value;
  return a;
}

const Variables kTorchrun = {
    {"RANK", "3"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "29500"}};
const Variables kMpirun = {{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "6"}};
const Variables kStep = {{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "7"}};
const Variables kMaster = {{"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "29500"}};

void expect_ranks(const Launch& launch, By by, int rank, int size) {
  EXPECT_EQ(launch.by, by);
  EXPECT_EQ(launch.rank, rank);
  EXPECT_EQ(launch.size, size);
}

TEST(Launcher, AloneWhereNothingSaysOtherwise) {
  expect_ranks(launch_of({}), By::kNothing, 0, 1);
  expect_ranks(launch_of({{"RANK", ""}, {"OMPI_COMM_WORLD_RANK", ""}}), By::kNothing, 0, 1);
  expect_ranks(launch_of({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}), By::kNothing, 0, 1);
}

TEST(Launcher, WorldOfOneIsAlone) {
  expect_ranks(launch_of({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}), By::kNothing, 0, 1);
  expect_ranks(launch_of({{"RANK", "0"}, {"WORLD_SIZE", "1"}}), By::kNothing, 0, 1);
}

TEST(Launcher, OpenMpi) { expect_ranks(launch_of(kMpirun), By::kMpi, 1, 6); }

TEST(Launcher, OtherMpi) { expect_ranks(launch_of({{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}}), By::kMpi, 2, 4); }

TEST(Launcher, Torchrun) {
  const auto launch = launch_of(kTorchrun);
  expect_ranks(launch, By::kVariables, 3, 4);
  EXPECT_EQ(launch.address, "node7:29500");
}

TEST(Launcher, PortBesideTorchrunsOwnStore) {
  EXPECT_EQ(launch_of(kTorchrun + Variables{{"TORCHELASTIC_USE_AGENT_STORE", "True"}}).address,
            "node7:29501");
  EXPECT_EQ(launch_of(kTorchrun + Variables{{"TORCHELASTIC_USE_AGENT_STORE", "False"}}).address,
            "node7:29500");
}

TEST(Launcher, MeetingGoesBeforeMaster) {
  EXPECT_EQ(launch_of(kTorchrun + Variables{{"BOLIDE_MEETING", "file:/shared/m"}}).address, "file:/shared/m");
  EXPECT_EQ(launch_of({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"BOLIDE_MEETING", "h:1"}}).address, "h:1");
}

TEST(Launcher, Ipv6AddressGetsBrackets) {
  EXPECT_EQ(launch_of(kTorchrun + Variables{{"MASTER_ADDR", "fd00::1"}}).address, "[fd00::1]:29500");
}

TEST(Launcher, MpiGoesBeforeVariables) {
  EXPECT_EQ(launch_of(kTorchrun + kMpirun).by, By::kMpi);
  // The launcher inside of the other one is the one that made this process.
  EXPECT_EQ(launch_of(kTorchrun + kMpirun + Variables{{"TORCHELASTIC_RUN_ID", "none"}}).by, By::kVariables);
}

TEST(Launcher, SlurmStep) {
  expect_ranks(launch_of(kStep + Variables{{"PMIX_RANK", "5"}}), By::kMpi, 5, 7);
  const auto launch = launch_of(kStep + kMaster);
  expect_ranks(launch, By::kVariables, 5, 7);
  EXPECT_EQ(launch.address, "10.0.0.1:29500");
  EXPECT_ERROR(launch_of(kStep), ErrorCode::kUsage, "srun --mpi=pmix");
}

TEST(Launcher, ContradictionsAreNamed) {
  EXPECT_ERROR(launch_of(kTorchrun + Variables{{"RANK", "two"}}), ErrorCode::kUsage, "RANK=two");
  EXPECT_ERROR(launch_of(kTorchrun + Variables{{"RANK", "-1"}}), ErrorCode::kUsage, "RANK=-1");
  EXPECT_ERROR(launch_of(kTorchrun + Variables{{"RANK", "4"}}), ErrorCode::kUsage, "RANK=4 and WORLD_SIZE=4");
  EXPECT_ERROR(launch_of({{"RANK", "0"}}), ErrorCode::kUsage, "WORLD_SIZE is not");
  EXPECT_ERROR(launch_of({{"WORLD_SIZE", "2"}}), ErrorCode::kUsage, "RANK is not");
  EXPECT_ERROR(launch_of({{"OMPI_COMM_WORLD_RANK", "0"}}), ErrorCode::kUsage, "OMPI_COMM_WORLD_SIZE is not");
  EXPECT_ERROR(launch_of({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), ErrorCode::kUsage, "where they meet");
  EXPECT_ERROR(launch_of(kTorchrun + Variables{{"MASTER_PORT", ""}}), ErrorCode::kUsage,
               "MASTER_PORT is not");
  EXPECT_ERROR(launch_of(kTorchrun + Variables{{"MASTER_PORT", "99999"}}), ErrorCode::kUsage, "99999");
  EXPECT_ERROR(launch_of(kTorchrun + Variables{{"BOLIDE_MEETING", "here"}}), ErrorCode::kUsage,
               "BOLIDE_MEETING");
}

}  // namespace
}  // namespace bolide
