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

// Cores that are there, whoever may use them. At least 1.
int machine_cores();

// What names the machine, whatever its containers call themselves, and the cores that this process is bound
// to: ranks with the same words share them.
struct Place {
  std::string machine, cores;
};
Place this_place(const std::filesystem::path& root = "/");

// The size of the cache in tokens when the user gives none: 2048 tokens for each of max_batch_size sequences,
// but at most half of the available memory, and at least one page. Untouched pages cost nothing.
int64_t default_kv_tokens(int64_t max_batch_size, int64_t page_size, int64_t bytes_per_token,
                          int64_t available_bytes);

}  // namespace bolide
