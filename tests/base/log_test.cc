#include "base/log.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "support/expect_error.h"

namespace bolide {
namespace {

TEST(Log, TakesLevelsInEitherCase) {
  set_log_level("DEBUG");
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::debug);
  set_log_level("error");
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::err);
  set_log_level("off");
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::off);
}

TEST(Log, RefusesAnotherWord) { EXPECT_ERROR(set_log_level("loud"), ErrorCode::kUsage, "'loud'"); }

TEST(Log, EnvironmentCountsOnlyWithoutAFlag) {
  ::setenv("FT_LOG_LEVEL", "INFO", 1);
  set_log_level("");
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::info);
  ::setenv("BOLIDE_LOG_LEVEL", "trace", 1);
  set_log_level("");
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::trace);
  set_log_level("error");
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::err);
  ::setenv("BOLIDE_LOG_LEVEL", "loud", 1);
  EXPECT_ERROR(set_log_level(""), ErrorCode::kUsage, "'loud'");
  ::unsetenv("FT_LOG_LEVEL");
  ::unsetenv("BOLIDE_LOG_LEVEL");
  set_log_level("");
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::warn);
}

TEST(Log, MessagesAreOneLineWhateverAFileNamed) {
  set_log_level("info");
  testing::internal::CaptureStderr();
  log::info("tensor '{}'", "a\x1b[2J\nb\u202E");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "bolide: info: tensor 'a?[2J?b?'\n");
}

TEST(Log, LineIsClearedBeforeEachLogLine) {
  set_log_level("warning");
  int cleared = 0;
  set_before_log([&] {
    ++cleared;
    std::fputs("cleared ", stderr);
  });
  testing::internal::CaptureStderr();
  log::info("not shown");
  log::warn("shown");
  set_before_log(nullptr);
  log::warn("alone");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "cleared bolide: warning: shown\nbolide: warning: alone\n");
  EXPECT_EQ(cleared, 1);
}

TEST(Log, WarningsOfOneKindAreOneLine) {
  set_log_level("warning");
  testing::internal::CaptureStderr();
  Warnings none, one, many;
  one.add([] { return "only"; });
  int made = 0;
  for (int i = 0; i < 5000; ++i) many.add([&] { return fmt::format("line {}", ++made); });
  for (const Warnings* each : {&none, &one, &many}) each->log();
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "bolide: warning: only\nbolide: warning: line 1 (4999 more like it)\n");
  EXPECT_EQ(made, 1);
}

}  // namespace
}  // namespace bolide
