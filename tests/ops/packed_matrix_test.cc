#include <gtest/gtest.h>

#include "ops/pack_checks.h"

namespace bolide::test {
namespace {

TEST(PackBlock, AnyPlaceAnyType) { expect_blocks_go_anywhere({.threads = 3}); }
TEST(PackBlock, BlocksMeet) { expect_blocks_meet({.threads = 2}); }
TEST(Int8, RowsAreQuantizedToTheNearest) { expect_rows_quantized({.threads = 3}); }

}  // namespace
}  // namespace bolide::test
