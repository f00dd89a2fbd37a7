#include "base/log.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace bolide
