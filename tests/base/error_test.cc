#include "base/error.h"

#include <gtest/gtest.h>

namespace bolide {
namespace {

TEST(Error, MessageIsOneLineWhateverAFileNamed) {
  try {
    fail(ErrorCode::kCorrupt, "{}: bad", "evil\nname\x1b[2J");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "evil?name?[2J: bad");
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace bolide
