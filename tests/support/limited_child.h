#pragma once

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "support/process_memory.h"

namespace bolide {

// A sanitizer's shadow memory leaves nothing to limit.
inline constexpr bool kCanLimitMemory = !kAddressSanitizer;

// Runs `body`, which gives "" or what went wrong, in a child process that may take `bytes` of address space
// more than this process has. Gives what the child gave, or how it ended.
template <class Body>
std::string in_limited_child(size_t bytes, const Body& body) {
  int pipe_ends[2];
  if (::pipe(pipe_ends) != 0) return "no pipe";
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return "no child";
  if (child == 0) {
    ::malloc_trim(0);  // what tests before have freed would count as room
    const rlim_t limit = static_cast<size_t>(process_memory().address_space) + bytes;
    const rlimit as{limit, limit};
    std::string result = ::setrlimit(RLIMIT_AS, &as) == 0 ? "" : "no limit";
    try {
      if (result.empty()) result = body();
    } catch (const std::exception& error) {
      result = error.what();
    }
    const ssize_t put = ::write(pipe_ends[1], result.data(), result.size());
    ::_exit(put == static_cast<ssize_t>(result.size()) ? 0 : 1);
  }
  ::close(pipe_ends[1]);
  std::string result;
  char buffer[512];
  for (ssize_t got; (got = ::read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    result.append(buffer, static_cast<size_t>(got));
  ::close(pipe_ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return "ended by signal " + std::to_string(WTERMSIG(status));
  return status == 0 ? result : "ended with " + std::to_string(WEXITSTATUS(status));
}

}  // namespace bolide
