#pragma once

// fail() throws bolide::Error (a user's fault); BOLIDE_CHECK aborts (ours).

// Under nvcc, whose name fmt 9 takes for an old compiler without constexpr or 128-bit integers, its consteval
// format strings do not compile and its argument store is laid out unlike that of the library.
#pragma push_macro("__NVCC__")
#undef __NVCC__
#include <fmt/format.h>
#pragma pop_macro("__NVCC__")

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "bolide/error.h"

namespace bolide {

template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] inline void check_failed(const char* file, int line, const char* what,
                                      const std::string& detail) {
  std::fprintf(stderr, "bolide: internal fault at %s:%d: %s %s\n", file, line, what, detail.c_str());
  std::abort();
}

}  // namespace bolide

#define BOLIDE_CHECK(condition, ...)                                                         \
  do {                                                                                       \
    if (!(condition)) [[unlikely]]                                                           \
      ::bolide::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
