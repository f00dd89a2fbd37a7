#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace bolide {

// What this process may use of the machine. `root` replaces "/" in tests.

// Bytes of memory that can still be had: the kernel's estimate, or what is left of the control group's limit
// (version 2, or 1), whichever is less. 0 when neither can be read.
int64_t available_memory(const std::filesystem::path& root = "/");

// Cores: the affinity mask, cut to the control group's CPU quota (rounded down: a thread more than the quota
// gets all threads throttled). At least 1.
int usable_cores(const std::filesystem::path& root = "/");

// Threads when the user gives no number: the usable cores, divided by the ranks that share them. At least 1.
int default_threads(int sharing = 1);

// Cores that are there, whoever may use them. At least 1.
int machine_cores();

// What names the machine, whatever its containers call themselves, and the cores that this process is bound
// to: ranks with the same words share them.
struct Place {
  std::string machine, cores;
};
Place this_place(const std::filesystem::path& root = "/");

}  // namespace bolide
