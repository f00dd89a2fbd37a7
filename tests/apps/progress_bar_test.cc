#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "apps/terminal.h"

namespace bolide::apps {
namespace {

TEST(ProgressBar, IsSilentInAPipe) {
  testing::internal::CaptureStderr();  // a file, so no terminal
  {
    ProgressBar bar("work", 10);
    for (int i = 0; i < 10; ++i) bar.advance();
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ProgressBar, SaysEveryTenthInAPipeWhenAsked) {
  testing::internal::CaptureStderr();
  {
    ProgressBar bar("work", 40, true);
    for (int i = 0; i < 40; ++i) bar.advance("note");
  }
  const std::string seen = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 10) << seen;
  EXPECT_EQ(seen.find('\r'), std::string::npos);
  EXPECT_NE(seen.find("work: 40/40  note\n"), std::string::npos) << seen;
}

constexpr std::string_view kCleared = "\r\033[K";

// Runs a bar with stderr on a pseudo-terminal and returns what the terminal received.
std::string on_terminal(int64_t total, int64_t steps) {
  const int controller = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (controller < 0 || ::grantpt(controller) != 0 || ::unlockpt(controller) != 0) return "no terminal";
  const int terminal = ::open(::ptsname(controller), O_RDWR | O_NOCTTY);
  if (terminal < 0) return "no terminal";
  const int saved = ::dup(STDERR_FILENO);
  ::dup2(terminal, STDERR_FILENO);
  {
    ProgressBar bar("work", total);
    for (int64_t done = 0; done < steps; ++done) bar.advance();
  }
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);
  // What was written may come in several reads, the last of it a little later.
  std::string seen;
  pollfd ready = {.fd = controller, .events = POLLIN, .revents = 0};
  while (!seen.ends_with(kCleared) && ::poll(&ready, 1, 10'000) == 1) {
    char part[4096];
    const ssize_t got = ::read(controller, part, sizeof part);
    if (got <= 0) break;
    seen.append(part, static_cast<size_t>(got));
  }
  ::close(terminal);
  ::close(controller);
  return seen;
}

TEST(ProgressBar, DrawsOnATerminalAndClearsItsLine) {
  const std::string seen = on_terminal(10, 10);
  if (seen == "no terminal") GTEST_SKIP() << "no pseudo-terminal on this machine";
  EXPECT_NE(seen.find("work"), std::string::npos) << seen;
  EXPECT_NE(seen.find("100 %  10/10"), std::string::npos) << seen;
  EXPECT_TRUE(seen.ends_with(kCleared)) << seen;
}

TEST(ProgressBar, TakesAnOverrunAndAnEmptyTotal) {
  const std::string seen = on_terminal(3, 7);
  if (seen == "no terminal") GTEST_SKIP() << "no pseudo-terminal on this machine";
  EXPECT_NE(seen.find("100 %"), std::string::npos) << seen;
  ProgressBar nothing("none", 0);
  nothing.advance();
}

}  // namespace
}  // namespace bolide::apps
