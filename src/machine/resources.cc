#include "machine/resources.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace bolide {
namespace {
namespace fs = std::filesystem;

// The number behind `key` in lines of "key value"; with an empty key the file's first number. Nothing when
// the file or the key is not there, or says "max".
std::optional<int64_t> read_number(const fs::path& file, const std::string& key = "") {
  std::ifstream stream(file);
  std::string word;
  if (!key.empty()) {
    while (stream >> word && word != key) {
    }
  }
  int64_t value = 0;
  if (stream >> value) return value;
  return std::nullopt;
}

// The process's control group and its parents, from the inside out: the tightest of their limits holds.
// `controller` is empty for version 2.
std::vector<fs::path> control_groups(const fs::path& root, const std::string& controller) {
  std::vector<fs::path> groups;
  const fs::path mount = root / "sys/fs/cgroup" / controller;
  std::ifstream stream(root / "proc/self/cgroup");
  for (std::string line; std::getline(stream, line);) {  // "0::/path" or "4:memory:/path"
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || line.substr(first + 1, second - first - 1) != controller) continue;
    for (fs::path path = fs::path(line.substr(second + 1)).relative_path(); !path.empty();
         path = path.parent_path())
      groups.push_back(mount / path);
  }
  groups.push_back(mount);
  return groups;
}

}  // namespace

int64_t available_memory(const fs::path& root) {
  int64_t available = std::numeric_limits<int64_t>::max();
  bool known = false;
  const auto lower = [&](int64_t bytes) {
    available = std::min(available, std::max<int64_t>(bytes, 0));
    known = true;
  };
  if (const auto kib = read_number(root / "proc/meminfo", "MemAvailable:")) lower(*kib * 1024);
  for (const fs::path& group : control_groups(root, "")) {
    const auto limit = read_number(group / "memory.max");
    const auto used = read_number(group / "memory.current");
    // File cache that the kernel can drop counts as used, but is there for the taking.
    const int64_t cache = read_number(group / "memory.stat", "inactive_file").value_or(0);
    if (limit && used) lower(*limit - *used + cache);
  }
  for (const fs::path& group : control_groups(root, "memory")) {
    const auto limit = read_number(group / "memory.limit_in_bytes");
    const auto used = read_number(group / "memory.usage_in_bytes");
    const int64_t cache = read_number(group / "memory.stat", "total_inactive_file").value_or(0);
    if (limit && used) lower(*limit - *used + cache);
  }
  return known ? available : 0;
}

int usable_cores(const fs::path& root) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  int64_t cores = ::sched_getaffinity(0, sizeof(mask), &mask) == 0 ? CPU_COUNT(&mask) : 1;
  for (const fs::path& group : control_groups(root, "")) {
    std::ifstream stream(group / "cpu.max");  // "max 100000" or "150000 100000"
    int64_t quota = 0, period = 0;
    if (stream >> quota >> period && quota > 0 && period > 0) cores = std::min(cores, quota / period);
  }
  return static_cast<int>(std::max<int64_t>(cores, 1));
}

int default_threads(int sharing) { return std::max(usable_cores() / sharing, 1); }

int machine_cores() {
  return static_cast<int>(
      std::clamp<int64_t>(::sysconf(_SC_NPROCESSORS_ONLN), 1, std::numeric_limits<int>::max()));
}

Place this_place(const fs::path& root) {
  Place place;
  std::ifstream boot(root / "proc/sys/kernel/random/boot_id");
  if (!std::getline(boot, place.machine)) {
    char name[256] = {};
    ::gethostname(name, sizeof(name) - 1);
    place.machine = name;
  }
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof(mask), &mask) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &mask)) place.cores += fmt::format("{},", core);
  }
  return place;
}

}  // namespace bolide
