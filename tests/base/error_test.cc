#include "base/error.h"

#include <gtest/gtest.h>

namespace bolide {
namespace {

TEST(Error, MessageIsOneLineWhateverAFileNamed) {
  try {
    fail(ErrorCode::kCorrupt, "{}: bad", "evil\nname\x1b[2J\u202E");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "evil?name?[2J?: bad");
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  }
}

TEST(Printable, KeepsWhatIsShown) {
  for (const char* text : {"", "model.safetensors", "~ !", "h\u00E9llo \u4F60\u597D \U0001F600",
                           "\u00A0\u061B\u061D\u200D\u2010\u2027\u202F\u2065\u2070\uFEFE\uFF00"})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, ReplacesWhatATerminalActsOn) {
  for (const char* bad :
       {"\x01", "\n", "\x1B", "\x1F", "\x7F", "\u0080", "\u009B", "\u009F", "\u061C", "\u200E", "\u200F",
        "\u2028", "\u2029", "\u202A", "\u202E", "\u2066", "\u2069", "\u206F", "\uFEFF"})
    EXPECT_EQ(printable(std::string("a") + bad + "b"), "a?b") << std::hex << (bad[0] & 0xFF);
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
}

TEST(Printable, ReplacesWhatIsNoUtf8) {
  EXPECT_EQ(printable("a\xFFz"), "a?z");
  EXPECT_EQ(printable("a\xE2\x82"), "a?");      // ends in the middle
  EXPECT_EQ(printable("\xED\xA0\x80"), "???");  // half a surrogate pair
  EXPECT_EQ(printable("\xC0\x8A"), "??");       // a line break, over-long
  EXPECT_EQ(printable("\xC2\x9B"
                      "2J"),
            "?2J");  // C1's CSI
}

TEST(Printable, CutsAtACharacterAndSaysTheLength) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "\u00E9";
  EXPECT_EQ(printable(text), text);
  EXPECT_EQ(printable(text + "x"), text + "... (401 bytes)");
  EXPECT_EQ(printable("abcd", 4), "abcd");
  EXPECT_EQ(printable("abcde", 4), "abcd... (5 bytes)");
}

TEST(OneLine, IsBounded) {
  const std::string fits(2000, 'm');
  EXPECT_EQ(one_line(fits), fits);
  std::string text = "begin ";
  for (int i = 0; i < 40'000; ++i) text += "\u00E9";
  for (const std::string end : {" end", " end.", " end.."}) {  // the cuts meet both halves of a character
    const std::string line = one_line(text + end);
    EXPECT_LE(line.size(), 2000u);
    EXPECT_GE(line.size(), 1990u);
    EXPECT_TRUE(line.starts_with("begin ") && line.ends_with(end));
    EXPECT_NE(line.find("\u00E9 [...] \u00E9"), std::string::npos);
    EXPECT_EQ(line.find('?'), std::string::npos);
    EXPECT_EQ(one_line(line), line);
  }
  EXPECT_LE(one_line(std::string(10'000, '\x80')).size(), 2000u);  // no character begins anywhere
}

}  // namespace
}  // namespace bolide
