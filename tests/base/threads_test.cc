#include "base/threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>

#include "support/expect_error.h"
#include "support/limited_child.h"

namespace bolide {
namespace {

TEST(Threads, AsManyAsAreWantedCanBeStarted) {
  EXPECT_EQ(startable_threads(0), 0);
  EXPECT_EQ(startable_threads(1), 1);
  EXPECT_EQ(startable_threads(20), 20);
  std::atomic<int> ran{0};
  start_thread([&] { ++ran; }).join();
  EXPECT_EQ(ran, 1);
}

// In a process of a user that has no other, who may have four.
void with_a_limit(const std::function<bool()>& holds) {
  if (::geteuid() == 0 && ::setuid(64321) != 0) std::_Exit(2);
  const rlimit four = {4, 4};
  if (::setrlimit(RLIMIT_NPROC, &four) != 0) std::_Exit(3);
  std::_Exit(holds() ? 0 : 1);
}

TEST(ThreadsDeathTest, ALimitIsFoundAndAThreadBeyondItIsAnError) {
  // Its leak check starts a thread of its own at exit, and waits for it.
  if (!kCanLimitMemory) GTEST_SKIP() << "no limit on threads under the address sanitizer";
  if (::geteuid() != 0) GTEST_SKIP() << "NOT RUN: only root can become a user without other processes";
  testing::FLAGS_gtest_death_test_style = "fast";
  EXPECT_EXIT(with_a_limit([] { return startable_threads(10) == 3 && startable_threads(2) == 2; }),
              testing::ExitedWithCode(0), testing::HasSubstr(""));
  EXPECT_EXIT(with_a_limit([] {
                std::atomic<bool> end{false};
                std::vector<std::thread> threads;
                const auto wait = [&] {
                  while (!end) std::this_thread::yield();
                };
                for (int i = 0; i < 3; ++i) threads.push_back(start_thread(wait));
                const std::string mismatch = error_mismatch([&] { start_thread(wait); }, ErrorCode::kResource,
                                                            "cannot start a thread");
                end = true;
                for (std::thread& thread : threads) thread.join();
                return mismatch.empty();
              }),
              testing::ExitedWithCode(0), testing::HasSubstr(""));
}

}  // namespace
}  // namespace bolide
