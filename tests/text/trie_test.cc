#include "text/trie.h"

#include <gmock/gmock.h>

#include <map>
#include <random>

namespace bolide::text {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using Found = std::vector<std::pair<size_t, int32_t>>;

Found matches(const Trie& trie, std::string_view text, size_t begin) {
  Found out;
  trie.match(text, begin, [&](size_t end, int32_t value) { out.emplace_back(end, value); });
  return out;
}

TEST(Trie, FindsAllStringsThatATextBeginsWith) {
  const Trie trie({{"a", 0}, {"abc", 1}, {"abd", 2}, {"b", 3}, {"abcdef", 4}, {"abc", 9}, {"", 5}});
  EXPECT_THAT(matches(trie, "xabcde", 1), ElementsAre(Pair(2u, 0), Pair(4u, 1)));
  EXPECT_THAT(matches(trie, "abcdef", 0), ElementsAre(Pair(1u, 0), Pair(3u, 1), Pair(6u, 4)));
  EXPECT_THAT(matches(trie, "abd", 0), ElementsAre(Pair(1u, 0), Pair(3u, 2)));
  EXPECT_THAT(matches(trie, "x", 0), ElementsAre());
  EXPECT_TRUE(trie.may_begin('b'));
  EXPECT_FALSE(trie.may_begin('c'));
  EXPECT_TRUE(Trie().empty());
  EXPECT_FALSE(trie.empty());
  EXPECT_THAT(matches(Trie(), "x", 0), ElementsAre());
}

TEST(Trie, GoesOnFromAPlaceInside) {
  const Trie trie({{"##ab", 0}, {"##abcd", 1}, {"##", 2}, {"#x", 3}});
  EXPECT_EQ(trie.value(trie.find({}, "##")), 2);
  EXPECT_EQ(trie.value(trie.find({}, "##a")), -1);
  EXPECT_EQ(trie.value(trie.find(trie.find({}, "##a"), "b")), 0);
  EXPECT_EQ(trie.value(trie.find({}, "##y")), -1);
  EXPECT_EQ(trie.value(trie.find(trie.find({}, "##y"), "")), -1);
  EXPECT_EQ(trie.value(trie.find({}, "")), -1);
  Found out;
  const auto take = [&](size_t end, int32_t value) { out.emplace_back(end, value); };
  trie.match(trie.find({}, "##a"), "_bcd", 1, take);
  EXPECT_THAT(out, ElementsAre(Pair(2u, 0), Pair(4u, 1)));
  out.clear();
  trie.match(trie.find({}, "##z"), "ab", 0, take);
  EXPECT_THAT(out, ElementsAre());
}

TEST(Trie, AgreesWithComparingEachString) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::map<std::string, int32_t> strings;
    const auto draw = [&](size_t most) {
      std::string text;
      for (size_t i = random() % most + 1; i > 0; --i)
        text.push_back(static_cast<char>('a' + random() % 3 * 80));
      return text;
    };
    for (int32_t i = 0; i < 30; ++i) strings[draw(8)] = i;
    std::vector<std::pair<std::string_view, int32_t>> list(strings.begin(), strings.end());
    std::shuffle(list.begin(), list.end(), random);
    const Trie trie(list);
    for (int i = 0; i < 20; ++i) {
      const std::string text = draw(12);
      const size_t begin = random() % text.size();
      Found expected;
      for (size_t end = begin + 1; end <= text.size(); ++end) {
        const auto found = strings.find(text.substr(begin, end - begin));
        if (found != strings.end()) expected.emplace_back(end, found->second);
      }
      ASSERT_EQ(matches(trie, text, begin), expected);
      const auto whole = strings.find(text);
      ASSERT_EQ(trie.value(trie.find(trie.find({}, text.substr(0, begin)), text.substr(begin))),
                whole == strings.end() ? -1 : whole->second);
    }
  }
}

}  // namespace
}  // namespace bolide::text
