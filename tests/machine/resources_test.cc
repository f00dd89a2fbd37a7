#include "machine/resources.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace bolide {
namespace {
namespace fs = std::filesystem;

// A made-up "/" with the few files that are read.
class FakeRoot {
 public:
  FakeRoot() : path_(fs::temp_directory_path() / ("bolide_machine_test_" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~FakeRoot() { fs::remove_all(path_); }
  void write(const std::string& file, const std::string& text) {
    fs::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

constexpr int64_t kGb = 1000000000;

TEST(Machine, AvailableMemoryIsTheKernelsEstimate) {
  FakeRoot root;
  EXPECT_EQ(available_memory(root.path()), 0);
  root.write("proc/meminfo", "MemTotal:  8000 kB\nMemFree: 5 kB\nMemAvailable:    3000 kB\n");
  EXPECT_EQ(available_memory(root.path()), 3000 * 1024);
}

TEST(Machine, ControlGroupVersion2CutsIt) {
  FakeRoot root;
  root.write("proc/meminfo", "MemAvailable: 64000000 kB\n");
  root.write("proc/self/cgroup", "0::/pod/job\n");
  root.write("sys/fs/cgroup/pod/job/memory.max", "max\n");
  root.write("sys/fs/cgroup/pod/job/memory.current", "5\n");
  EXPECT_EQ(available_memory(root.path()), int64_t{64000000} * 1024);
  // A parent's limit holds, and file cache inside it can be dropped.
  root.write("sys/fs/cgroup/pod/memory.max", std::to_string(10 * kGb));
  root.write("sys/fs/cgroup/pod/memory.current", std::to_string(7 * kGb));
  root.write("sys/fs/cgroup/pod/memory.stat", "anon 1\ninactive_file " + std::to_string(2 * kGb) + "\n");
  EXPECT_EQ(available_memory(root.path()), 5 * kGb);
  root.write("sys/fs/cgroup/pod/memory.max", std::to_string(1 * kGb));
  EXPECT_EQ(available_memory(root.path()), 0);
}

TEST(Machine, ControlGroupVersion1CutsIt) {
  FakeRoot root;
  root.write("proc/meminfo", "MemAvailable: 64000000 kB\n");
  root.write("proc/self/cgroup", "5:memory:/\n");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(4 * kGb));
  root.write("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(1 * kGb));
  EXPECT_EQ(available_memory(root.path()), 3 * kGb);
}

TEST(Machine, CoresAreCutToTheQuota) {
  FakeRoot root;
  const int all = usable_cores(root.path());
  EXPECT_GE(all, 1);
  root.write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(usable_cores(root.path()), all);
  root.write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(usable_cores(root.path()), 1);
  root.write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(usable_cores(root.path()), 1);
}

TEST(Machine, ThisMachineHasMemory) { EXPECT_GT(available_memory(), 1 << 20); }

TEST(Machine, APlaceIsTheSameForAllOfAMachineAndTellsCoresApart) {
  const Place place = this_place();
  EXPECT_FALSE(place.machine.empty());
  EXPECT_EQ(place.machine, this_place().machine);
  cpu_set_t before, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(this_place().cores, std::to_string(first) + ",");
  ASSERT_EQ(::sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(this_place().cores, place.cores);
  // Where the kernel does not say, the host's name does.
  EXPECT_FALSE(this_place("/nowhere").machine.empty());
}

}  // namespace
}  // namespace bolide
