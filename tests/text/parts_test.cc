#include <gmock/gmock.h>

#include <random>

#include "support/expect_error.h"
#include "text/gpt2_split.h"
#include "text/normal_form.h"
#include "text/normalizer.h"
#include "text/split.h"
#include "text/utf8.h"
#include "text/vocabulary.h"
#include "text/word_cache.h"

namespace bolide::text {
namespace {

using ::testing::ElementsAre;

constexpr std::string_view kBad = "\xEF\xBF\xBD";

TEST(Utf8, ReplacesEachMaximalIllFormedSequenceOnce) {
  const std::string bad(kBad), a("a");
  EXPECT_EQ(to_utf8("abc é 你 🙂"), "abc é 你 🙂");
  EXPECT_EQ(to_utf8("a\xFF\xFE"
                    "b"),
            a + bad + bad + "b");
  EXPECT_EQ(to_utf8("\xE4\xBD"), bad);                            // cut short: one for both bytes
  EXPECT_EQ(to_utf8("\xF0\x9F\x98x"), bad + "x");                 // cut short by another character
  EXPECT_EQ(to_utf8("\xED\xA0\x80"), bad + bad + bad);            // a surrogate
  EXPECT_EQ(to_utf8("\xC0\xAF"), bad + bad);                      // over-long
  EXPECT_EQ(to_utf8("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // above U+10FFFF
}

TEST(Utf8, FindsTheWayBackToTheBytesGiven) {
  const CleanText clean(
      "a\xE4\xBD"
      "b\xFF"
      "c");
  ASSERT_EQ(clean.text(), std::string("a\xEF\xBF\xBD"
                                      "b\xEF\xBF\xBD"
                                      "c"));
  std::vector<size_t> source;
  for (const size_t at : {0, 1, 4, 5, 8, 9}) source.push_back(clean.source(at));
  EXPECT_THAT(source, ElementsAre(0u, 1u, 3u, 4u, 5u, 6u));
}

std::vector<std::string> words(std::string_view text, void (*split)(std::string_view, std::vector<Match>&)) {
  std::vector<Match> matches;
  split(text, matches);
  std::vector<std::string> out;
  for (const Match& match : matches) out.emplace_back(text.substr(match.begin, match.end - match.begin));
  return out;
}

TEST(Gpt2Split, IsThePatternItSaysItIs) {
  EXPECT_THAT(words("I'll  go,\tit's 42!\n ", gpt2_split),
              ElementsAre("I", "'ll", " ", " go", ",", "\t", "it", "'s", " 42", "!", "\n "));
  std::mt19937 random(5);
  const std::vector<std::string> parts = {
      "a",  "B",      "é",      "你",     "1",    "٣",      "½", "'",  "'s",    "'ll",    "'r",
      "'",  " ",      "  ",     "\t",     "\n",   "\u00a0", ".", "!?", "🙂",  "\u3000", "re",
      "ve", "\u0301", "\u200b", "\u2028", "\x01", "_",      "𝟘", "Ⅷ",  "\u0085"};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t i = random() % 12; i > 0; --i) text += parts[random() % parts.size()];
    ASSERT_EQ(words(text, gpt2_split), words(text, gpt2_split_by_regex)) << "'" << text << "'";
  }
}

TEST(Gpt2Split, AgreesWithTheEngineOnEveryCharacter) {
  for (char32_t c = 1; c < 0x110000; c += c < 0x30000 ? 1 : 257) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string text = std::string("a").append(to_string(c)).append("1 ").append(to_string(c));
    ASSERT_EQ(words(text, gpt2_split), words(text, gpt2_split_by_regex)) << "U+" << std::hex << uint32_t{c};
  }
}

std::vector<std::string> split_at_dashes(SplitBehavior behavior) {
  constexpr std::string_view kText = "the-final--countdown";
  std::vector<Match> matches;
  find_chars(kText, matches, [](char32_t c) { return c == '-'; });
  apply_behavior(behavior, matches);
  std::vector<std::string> out;
  for (const Match& match : matches) {
    if (!match.matched) out.emplace_back(kText.substr(match.begin, match.end - match.begin));
  }
  return out;
}

TEST(Split, DoesWithDelimitersWhatTheBehaviorSays) {
  EXPECT_THAT(split_at_dashes(SplitBehavior::kRemoved), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(split_at_dashes(SplitBehavior::kIsolated),
              ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(split_at_dashes(SplitBehavior::kMergedWithPrevious),
              ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(split_at_dashes(SplitBehavior::kMergedWithNext),
              ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(split_at_dashes(SplitBehavior::kContiguous),
              ElementsAre("the", "-", "final", "--", "countdown"));
}

TEST(Regex, RefusesWhatDoesNotCompileAndWhatNeverEnds) {
  EXPECT_ERROR(Regex("(", "tokenizer.json"), ErrorCode::kUnsupported, "tokenizer.json: the pattern '('");
  const Regex hostile("(x+x+)+y", "tokenizer.json");
  std::vector<Match> matches;
  Work work(200);
  EXPECT_ERROR(
      hostile.split(std::string(200, 'x'), matches, work), ErrorCode::kUnsupported,
      "tokenizer.json: the pattern '(x+x+)+y' gave up on a text of 200 bytes: it backtracks without end");
  const Regex deep("(?:(?:(?:(?:(?:x|a)|b)|c)|d)|e)*",
                   "tokenizer.json");  // more entries for a character than a real pattern has
  Work much(1'000'000);
  EXPECT_ERROR(deep.split(std::string(1'000'000, 'x'), matches, much), ErrorCode::kUnsupported,
               "gave up on a text of 1000000 bytes: one match of it goes on for too long");
}

TEST(Regex, TakesPatternsOfUpTo10000Bytes) {
  EXPECT_NO_THROW(Regex(std::string(10'000, 'a'), "tokenizer.json"));
  EXPECT_ERROR(Regex(std::string(10'001, 'a'), "tokenizer.json"), ErrorCode::kUnsupported,
               "a pattern of 10001 bytes is longer than the 10000");
}

std::string in_form(NormalForm form, const std::string& text) {
  Work work(text.size());
  const NormalizedString aligned(text, work);
  std::vector<AlignedChar> chars;
  for (const Piece& piece : aligned.pieces) aligned.explode(piece, chars);
  to_normal_form(form, chars, work);
  std::string out;
  for (const AlignedChar& each : chars) append_char(out, each.c);
  return out;
}

TEST(NormalForm, ComposesAndDecomposes) {
  EXPECT_EQ(in_form(NormalForm::kNfc, "e\u0301"), "é");
  EXPECT_EQ(in_form(NormalForm::kNfd, "é"), "e\u0301");
  EXPECT_EQ(in_form(NormalForm::kNfd, "a\u0301\u0323"), "a\u0323\u0301");  // marks in canonical order
  EXPECT_EQ(in_form(NormalForm::kNfc, "a\u0301\u0323"), "ạ\u0301");
  EXPECT_EQ(in_form(NormalForm::kNfkc, "ﬁ①½"), "fi11\u20442");
  EXPECT_EQ(in_form(NormalForm::kNfd, "각"), "\u1100\u1161\u11a8");
  EXPECT_EQ(in_form(NormalForm::kNfc, "\u1100\u1161\u11a8"), "각");
}

TEST(NormalForm, KnowsTheOriginalOfEachCharacter) {
  Work work(8);
  const NormalizedString aligned("xe\u0301ﬁ", work);  // bytes: x 0, e 1, mark 2 to 4, ligature 4 to 7
  std::vector<AlignedChar> chars;
  aligned.explode(aligned.pieces[0], chars);
  to_normal_form(NormalForm::kNfkc, chars, work);
  ASSERT_EQ(chars.size(), 4u);
  EXPECT_EQ(chars[1].from.begin, 1u);
  EXPECT_EQ(chars[2].from.begin, 4u);
  EXPECT_EQ(chars[3].from.begin, 4u);
  EXPECT_EQ(chars[3].from.end, 7u);
}

TEST(Vocabulary, TakesAnyIdAndRefusesASecondOne) {
  Vocabulary vocabulary;
  EXPECT_EQ(vocabulary.add("a", 0), Vocabulary::Added::kYes);
  EXPECT_EQ(vocabulary.add("b", INT32_MAX), Vocabulary::Added::kYes);  // memory follows entries, not ids
  EXPECT_EQ(vocabulary.add("a", 7), Vocabulary::Added::kTokenKnown);
  EXPECT_EQ(vocabulary.add("c", INT32_MAX), Vocabulary::Added::kIdKnown);
  for (int i = 1; i < 5000; ++i)
    ASSERT_EQ(vocabulary.add(fmt::format("t{}", i), 3 * i), Vocabulary::Added::kYes);
  EXPECT_EQ(vocabulary.find("b"), INT32_MAX);
  EXPECT_EQ(vocabulary.find("t4321"), 3 * 4321);
  EXPECT_EQ(vocabulary.token(3 * 4321), "t4321");
  EXPECT_EQ(vocabulary.token(1), std::nullopt);
  EXPECT_EQ(vocabulary.find(""), std::nullopt);
  EXPECT_EQ(vocabulary.size(), 5001u);
}

// A word's tokens are its bytes.
class Spelling : public Model {
 public:
  Spelling() : Model({}) {}
  void tokenize(std::string_view word, std::vector<Token>& out, Work&) const override {
    for (const char byte : word) out.push_back({byte, 1});
    ++calls;
  }
  mutable int calls = 0;
};

TEST(WordCache, GivesTheModelsTokensBeforeAndAfterItIsFull) {
  const Spelling model;
  WordCache cache;
  Work work(1'000'000);
  for (int round = 0; round < 100'000; ++round) {
    const std::string word = std::to_string(round % 50000);  // more words than it holds
    const auto tokens = cache.tokens(model, word, work);
    ASSERT_EQ(tokens.size(), word.size());
    for (size_t i = 0; i < word.size(); ++i) ASSERT_EQ(tokens[i].id, word[i]);
  }
  const int calls = model.calls;
  EXPECT_EQ(cache.tokens(model, std::to_string(49'999), work).size(), 5u);
  EXPECT_EQ(model.calls, calls);
  EXPECT_EQ(cache.tokens(model, std::string(1000, 'x'), work).size(), 1000u);
}

}  // namespace
}  // namespace bolide::text
