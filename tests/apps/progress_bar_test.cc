#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/display_width.h"
#include "apps/terminal.h"
#include "bolide/log.h"

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

// Runs a bar with stderr on a pseudo-terminal of so many columns (0: it does not say) and returns what the
// terminal received.
std::string on_terminal(int64_t total, int64_t steps, unsigned short columns = 0, std::string_view note = {},
                        std::string_view label = "work", const std::function<void()>& in_between = nullptr) {
  const int controller = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (controller < 0 || ::grantpt(controller) != 0 || ::unlockpt(controller) != 0) return "no terminal";
  const int terminal = ::open(::ptsname(controller), O_RDWR | O_NOCTTY);
  if (terminal < 0) return "no terminal";
  const winsize size = {.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  ::ioctl(terminal, TIOCSWINSZ, &size);
  const int saved = ::dup(STDERR_FILENO);
  ::dup2(terminal, STDERR_FILENO);
  {
    ProgressBar bar(std::string(label), total);
    for (int64_t done = 0; done < steps; ++done) bar.advance(note);
    if (in_between) in_between();
    if (in_between) bar.advance(note);
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

TEST(ProgressBar, LogLinesHaveALineOfTheirOwn) {
  set_log_level("warning");
  const std::string seen = on_terminal(2, 1, 0, {}, "work", [] {
    Warnings warning;
    warning.add([] { return "look"; });
    warning.log();
    warning.log();
  });
  if (seen == "no terminal") GTEST_SKIP() << "no pseudo-terminal on this machine";
  const size_t first = seen.find("bolide: "), last = seen.rfind("bolide: ");
  ASSERT_NE(first, last) << seen;
  EXPECT_TRUE(std::string_view(seen).substr(0, first).ends_with(kCleared)) << seen;
  EXPECT_EQ(seen.substr(last).find("\r\n\rwork"), seen.substr(last).find('\r')) << seen;  // drawn again below
  EXPECT_EQ(seen.substr(first, last - first).find(kCleared), std::string::npos) << seen;
}

// The lines that a terminal showed one over the other, without colours.
std::vector<std::string> drawn(const std::string& seen) {
  std::vector<std::string> lines;
  std::string line;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i] == '\033') {
      while (i < seen.size() && !std::isalpha(static_cast<unsigned char>(seen[i]))) ++i;
    } else if (seen[i] == '\r') {
      lines.push_back(std::exchange(line, {}));
    } else {
      line += seen[i];
    }
  }
  lines.push_back(line);
  return lines;
}

TEST(ProgressBar, NeverWraps) {
  const std::string wide = "\xE6\xA8\xA1\xE5\x9E\x8B";  // two ideographs, four columns
  std::string long_note;
  for (int i = 0; i < 40; ++i) long_note += wide + "/e\xCC\x81 \xF0\x9F\x98\x80";
  for (const int columns : {1, 2, 7, 10, 15, 20, 40, 79, 80, 81, 132, 250}) {
    for (const std::string& label : {std::string("work"), wide + wide + wide + wide}) {
      const std::string seen =
          on_terminal(1000000, 1000000, static_cast<unsigned short>(columns), long_note, label);
      if (seen == "no terminal") GTEST_SKIP() << "no pseudo-terminal on this machine";
      for (const std::string& line : drawn(seen)) {
        EXPECT_LT(display_width(line), static_cast<size_t>(columns)) << line;
        EXPECT_EQ(line.find('\n'), std::string::npos);
      }
    }
  }
}

TEST(ProgressBar, EightyColumnsWhereTheTerminalDoesNotSay) {
  const std::string seen = on_terminal(10, 10, 0, std::string(300, 'n'));
  if (seen == "no terminal") GTEST_SKIP() << "no pseudo-terminal on this machine";
  size_t widest = 0;
  for (const std::string& line : drawn(seen)) widest = std::max(widest, display_width(line));
  EXPECT_EQ(widest, 79u);
}

std::string plain(const Progress& progress, std::string_view note, size_t columns) {
  return drawn(progress_line(progress, note, columns)).front();
}

TEST(ProgressLine, LeavesOutWhatHasNoRoom) {
  const Progress half = {.label = "load", .done = 5, .total = 10, .seconds = 3};
  EXPECT_EQ(plain(half, "a note", 80), "load ###############---------------  50 %  5/10  3 s left  a note");
  EXPECT_EQ(plain(half, "a longer note than fits", 64),
            "load ###############---------------  50 %  5/10  3 s left  a ...");
  EXPECT_EQ(plain(half, "a note", 50), "load ###############---------------  50 %  5/10");
  EXPECT_EQ(plain(half, "a note", 25), "load ####----  50 %  5/10");
  EXPECT_EQ(plain(half, "a note", 17), "load  50 %  5/10");
  EXPECT_EQ(plain(half, "a note", 10), "load  50 %");
  EXPECT_EQ(plain(half, "a note", 8), "lo  50 %");
  EXPECT_EQ(plain(half, "a note", 0), "");
}

TEST(ProgressLine, BytesAndAnUnknownTotal) {
  EXPECT_EQ(plain({.label = "load", .done = 1200000000, .total = 3000000000, .unit = Progress::Unit::kBytes},
                  "", 60),
            "load ############------------------  40 %  1.20 GB/3.00 GB");
  EXPECT_EQ(plain({.label = "generate", .done = 30, .seconds = 2}, "", 60), "generate  30  15.0/s");
}

TEST(DisplayWidth, CountsColumns) {
  EXPECT_EQ(display_width("plain"), 5u);
  EXPECT_EQ(display_width("\xC3\xA9t\xC3\xA9"), 3u);         // e acute, precomposed
  EXPECT_EQ(display_width("e\xCC\x81"), 1u);                 // and with a combining mark
  EXPECT_EQ(display_width("\xE4\xB8\xAD\xE6\x96\x87"), 4u);  // ideographs
  EXPECT_EQ(display_width("\xED\x95\x9C"), 2u);              // hangul
  EXPECT_EQ(display_width("\xEF\xBC\xA1"), 2u);              // full-width A
  EXPECT_EQ(display_width("\xF0\x9F\x98\x80"), 2u);          // emoji
  EXPECT_EQ(display_width("\xFF\xC3"), 2u);                  // not UTF-8
  EXPECT_EQ(fit("\xE4\xB8\xAD\xE6\x96\x87\xE4\xB8\xAD\xE6\x96\x87", 6), "\xE4\xB8\xAD...");
  EXPECT_EQ(fit("\xE4\xB8\xAD\xE6\x96\x87", 3), "\xE4\xB8\xAD");
  EXPECT_EQ(fit("fits", 4), "fits");
}

}  // namespace
}  // namespace bolide::apps
