#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace bolide {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#else
inline constexpr bool kAddressSanitizer = false;
#endif

// Bytes of this process.
struct ProcessMemory {
  int64_t address_space = 0, resident = 0;
};
inline ProcessMemory process_memory() {
  ProcessMemory pages;
  std::ifstream("/proc/self/statm") >> pages.address_space >> pages.resident;
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  return {pages.address_space * page, pages.resident * page};
}

}  // namespace bolide
