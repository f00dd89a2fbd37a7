#include "base/utf8.h"

#include <gtest/gtest.h>

namespace bolide {
namespace {

TEST(Utf8, EveryCodePointThereAndBack) {
  for (char32_t c = 0; c < 0x110400; ++c) {
    std::string text;
    append_char(text, c);
    const bool wanted = (c < 0xD800 || c > 0xDFFF) && c <= 0x10FFFF;
    const Utf8Step step = utf8_step(text, 0);
    ASSERT_EQ(step.valid, wanted) << std::hex << static_cast<uint32_t>(c);
    ASSERT_EQ(is_utf8(text), wanted) << std::hex << static_cast<uint32_t>(c);
    ASSERT_FALSE(step.truncated);
    if (!wanted) continue;
    ASSERT_EQ(step.size, text.size());
    ASSERT_EQ(char_size(text[0]), text.size());
    size_t at = 0;
    ASSERT_EQ(next_char(text, at), c);
    ASSERT_EQ(at, text.size());
    ASSERT_EQ(char_at(text, 0), c);
    ASSERT_EQ(previous_char("x" + text, 1 + text.size()), 1u);
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const Utf8Step part = utf8_step(text.substr(0, cut), 0);
      ASSERT_TRUE(!part.valid && part.truncated && part.size == cut) << std::hex << static_cast<uint32_t>(c);
    }
  }
}

// Over-long forms, halves of pairs, and the parts of a sequence that one U+FFFD stands for.
TEST(Utf8, IllFormedBytes) {
  for (const auto& [bytes, size] : {std::pair<std::string, int>{"\x80", 1},
                                    {"\xBF", 1},
                                    {"\xC0\x80", 1},
                                    {"\xC1\xBF", 1},
                                    {"\xC2x", 1},
                                    {"\xC2\xC0", 1},
                                    {"\xE0\x9F\x80", 1},
                                    {"\xE0\xA0x", 2},
                                    {"\xED\xA0\x80", 1},
                                    {"\xEF\xBFz", 2},
                                    {"\xF0\x8F\x80\x80", 1},
                                    {"\xF0\x90\x80z", 3},
                                    {"\xF4\x90\x80\x80", 1},
                                    {"\xF4\x8F\xBF\x7F", 3},
                                    {"\xF5\x80\x80\x80", 1},
                                    {"\xFF", 1},
                                    {"\xF1\x80\xC0\x80", 2}}) {
    const Utf8Step step = utf8_step(bytes, 0);
    EXPECT_FALSE(step.valid || step.truncated) << testing::PrintToString(bytes);
    EXPECT_EQ(step.size, size) << testing::PrintToString(bytes);
    EXPECT_FALSE(is_utf8("abcdefgh" + bytes));
    EXPECT_FALSE(is_utf8("é" + bytes + "é"));
  }
}

TEST(Utf8, RunsOfAsciiEndAtTheFirstOtherByte) {
  for (size_t before = 0; before < 20; ++before) {
    for (size_t after = 0; after < 20; ++after) {
      const std::string text = std::string(before, '\x7F') + "\x80" + std::string(after, 'a');
      EXPECT_EQ(skip_ascii(text, 0), before);
      EXPECT_EQ(skip_ascii(text, before), before);
      EXPECT_EQ(skip_ascii(text, before + 1), text.size());
    }
  }
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("plain, é and 😀 and more of the plain"));
}

}  // namespace
}  // namespace bolide
