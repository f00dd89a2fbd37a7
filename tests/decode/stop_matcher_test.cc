#include "decode/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace bolide {
namespace {

struct Outcome {
  std::string text;
  bool stopped = false;
  bool operator==(const Outcome&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Outcome& o) {
  return out << '"' << o.text << '"' << (o.stopped ? " stopped" : "");
}

// Feeds `text` cut after the given byte counts.
Outcome feed(const std::vector<std::string>& stops, const std::string& text,
             const std::vector<size_t>& cuts) {
  StopMatcher matcher(stops);
  Outcome outcome;
  size_t begin = 0;
  for (size_t cut : cuts) {
    outcome.text += matcher.push(text.substr(begin, cut - begin));
    begin = cut;
  }
  outcome.text += matcher.push(text.substr(begin));
  outcome.stopped = matcher.stopped();
  if (!outcome.stopped) outcome.text += matcher.finish();
  return outcome;
}

// The definition, byte by byte: the first end of any stop string, the longest of those that end there.
Outcome expected(const std::vector<std::string>& stops, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (end >= stop.size() && text.compare(end - stop.size(), stop.size(), stop) == 0)
        longest = std::max(longest, stop.size());
    }
    if (longest) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

TEST(StopMatcher, WithoutStopsTextPassesAtOnce) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.push("abc"), "abc");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopMatcher, StringThatStraddlesPieces) {
  StopMatcher matcher({"\n\nEND"});
  EXPECT_EQ(matcher.push("one\n"), "one");
  EXPECT_EQ(matcher.push("two\n"), "\ntwo");
  EXPECT_EQ(matcher.push("\nE"), "");
  EXPECT_EQ(matcher.push("N"), "");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.push("D and more"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.push("x"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, HeldTextComesOutWhenItWasNoStop) {
  StopMatcher matcher({"abab"});
  EXPECT_EQ(matcher.push("xaba"), "x");
  EXPECT_EQ(matcher.push("c"), "abac");
  EXPECT_EQ(matcher.push("aba"), "");
  EXPECT_EQ(matcher.finish(), "aba");
}

TEST(StopMatcher, OverlappingStart) { EXPECT_EQ(feed({"aab"}, "aaab!", {1, 2, 3, 4}), (Outcome{"a", true})); }

TEST(StopMatcher, FirstToBeCompleteWins) {
  EXPECT_EQ(feed({"abcd", "bc"}, "xabcd", {}), (Outcome{"xa", true}));
  EXPECT_EQ(feed({"c", "abc"}, "xabcd", {}), (Outcome{"x", true}));
}

TEST(StopMatcher, OutcomeDoesNotDependOnThePieces) {
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return random() % n; };
  int stopped = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops(below(4));
    for (std::string& stop : stops) {
      for (size_t n = 1 + below(5); n > 0; --n) stop += static_cast<char>('a' + below(2));
    }
    std::string text;
    for (size_t n = below(12); n > 0; --n) text += static_cast<char>('a' + below(3));
    std::vector<size_t> cuts;
    for (size_t i = 0; i < text.size(); ++i) {
      if (below(2)) cuts.push_back(i);
    }
    const Outcome want = expected(stops, text);
    stopped += want.stopped;
    ASSERT_EQ(feed(stops, text, cuts), want) << text;
  }
  EXPECT_GT(stopped, 1000);
}

}  // namespace
}  // namespace bolide
