// Tokenizers that ask for time or memory without end: each ends in seconds, with ids or with an error.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "support/expect_error.h"
#include "support/limited_child.h"
#include "text/regex.h"
#include "text/tokenizer_files.h"

namespace bolide::text {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
constexpr auto kUnsupported = ErrorCode::kUnsupported;

double seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

template <class Step>
void for_ever(Step step) {
  while (true) step();
}

TEST(Work, EndsWhenItsTimeIsUp) {
  Work work(1000, nullptr, 0.02);
  const double begin = seconds();
  EXPECT_ERROR(for_ever([&] { work.spend(1000); }), kUnsupported,
               "tokenising a text of 1000 bytes took more than 0.0 s: this tokenizer does not suit the text");
  EXPECT_LT(seconds() - begin, 1);
  Work timed(1000, nullptr, 0.02);
  EXPECT_ERROR(for_ever([&] { timed.spend_time(); }), kUnsupported, "took more than");
}

TEST(Work, EndsWhenItIsCancelled) {
  int asked = 0;
  const Work::Cancelled cancelled = [&] { return ++asked == 3; };
  Work work(7, &cancelled);
  EXPECT_ERROR(for_ever([&] { work.spend(100'000); }), ErrorCode::kResource,
               "interrupted while tokenising a text of 7 bytes");
  EXPECT_EQ(asked, 3);
}

TEST(Work, HasTimeForEachByte) {
  Work work(1'000'000, nullptr, 0.0);
  const double begin = seconds();
  while (seconds() - begin < 0.5) work.spend(10'000);  // of 2
}

// --- time --------------------------------------------------------------------------------------------------

Json plain_json(const Json& model) {
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model", model}};
}

std::string letters(size_t count) { return std::string(count, 'a'); }

TEST(Limits, WordPieceWithALongToken) {
  const std::string prefix = "##" + letters(5000);
  for (const std::string& front : {std::string("##"), prefix}) {
    const Json json =
        plain_json({{"type", "WordPiece"},
                    {"unk_token", "?"},
                    {"continuing_subword_prefix", front},
                    {"max_input_chars_per_word", 1'000'000},
                    {"vocab", {{"?", 0}, {"a", 1}, {front + "a", 2}, {front + letters(10'000) + "b", 3}}}});
    const auto ids = tokenizer_of(json)->encode(letters(20'000)).ids;
    ASSERT_EQ(ids.size(), 20'000u);
    EXPECT_EQ(ids[0], 1);
    EXPECT_THAT(std::vector<int32_t>(ids.begin() + 1, ids.end()), Each(2));
    EXPECT_THAT(tokenizer_of(json)->encode(letters(10'001) + "ba").ids, ElementsAre(1, 3, 2));
  }
}

TEST(Limits, UnigramWithALongToken) {
  Json json = plain_json({{"type", "Unigram"}, {"unk_id", 0}});
  json["model"]["vocab"] = Json::parse(R"([["?", 0.0], ["a", -1.0]])");
  json["model"]["vocab"].push_back({letters(30'000) + "b", -2.0});
  const auto tokenizer = tokenizer_of(json);
  EXPECT_THAT(tokenizer->encode(letters(100'000)).ids, ::testing::SizeIs(100'000));
  EXPECT_THAT(tokenizer->encode(letters(30'001) + "b").ids, ElementsAre(1, 2));
}

TEST(Limits, AddedTokensThatAreLongOrBlank) {
  Json json = byte_level_json();
  json["added_tokens"] = Json::array({added_token(259, letters(20'000) + "b")});
  const auto longest = tokenizer_of(json);
  EXPECT_EQ(longest->encode(letters(100'000)).ids.size(), 100'000u);
  EXPECT_THAT(longest->encode("a" + letters(20'000) + "bc").ids, ElementsAre('a', 259, 'c'));
  for (const char* flag : {"lstrip", "rstrip"}) {
    json["added_tokens"] = Json::array({added_token(259, " ", {{flag, true}})});
    EXPECT_EQ(tokenizer_of(json)->encode(std::string(100'000, ' ')).ids.size(), 100'000u) << flag;
  }
}

TEST(Limits, BpeWithALongPrefix) {
  const std::string prefix(4'000'000, '#');
  const Json model = {{"type", "BPE"},
                      {"unk_token", "?"},
                      {"continuing_subword_prefix", prefix},
                      {"end_of_word_suffix", "</w>"},
                      {"vocab", {{"?", 0}, {"a", 1}, {prefix + "a", 2}, {prefix + "a</w>", 3}, {"aa", 4}}},
                      {"merges", Json::array({Json::array({"a", prefix + "a"})})}};
  const auto tokenizer = tokenizer_of(plain_json(model));
  EXPECT_THAT(tokenizer->encode("aaba").ids, ElementsAre(4, 0, 3));
  EXPECT_EQ(tokenizer->encode(letters(20'000)).ids.size(), 19'999u);
  Json bytes = model;
  bytes["byte_fallback"] = true;
  EXPECT_ERROR(tokenizer_of(plain_json(bytes)), kUnsupported, "of more than 32 bytes");
}

// The limit is one of a text, not of a search: each of these searches is quick enough.
TEST(Limits, PatternsThatBacktrackAtEachCharacter) {
  for (const auto& [pattern, size] :
       {std::pair("(?:a|a){18}b|a", 3'000), std::pair("(?=(a+)(a+)\\1b)|a", 500)}) {
    const Regex regex(pattern, "tokenizer.json");
    const std::string text = letters(static_cast<size_t>(size));
    std::vector<Match> matches;
    Work work(text.size(), nullptr, 0.1);
    const double begin = seconds();
    EXPECT_ERROR(regex.split(text, matches, work), kUnsupported, "") << pattern;
    EXPECT_LT(seconds() - begin, 3) << pattern;
  }
}

TEST(Limits, APatternThatNeedsManyRetriesOnceIsNoFault) {
  // Each blank of a run is given back one by one before the next alternative is tried.
  const Regex regex("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+|\\S+", "tokenizer.json");
  const std::string text = "a" + std::string(1'000'000, ' ') + "b";
  std::vector<Match> matches;
  Work work(text.size());
  regex.split(text, matches, work);
  EXPECT_EQ(matches.size(), 4u);
}

TEST(Limits, LiteralsThatNearlyMatchEverywhere) {
  const Regex regex = Regex::literal(letters(200'000) + "b", "tokenizer.json");
  std::vector<Match> matches;
  Work work(1);
  const double begin = seconds();
  regex.split(letters(1'000'000), matches, work);
  EXPECT_EQ(matches.size(), 1u);
  EXPECT_LT(seconds() - begin, 1);
}

TEST(Limits, StepsWithoutEnd) {
  const auto refused = [](const char* part, const char* list, const Json& step, const char* message) {
    Json json = byte_level_json();
    const Json sequence = {{"type", "Sequence"}, {list, Json::array({step})}};
    json[part] = {{"type", "Sequence"}, {list, std::vector<Json>(49, sequence)}};
    EXPECT_NO_THROW(tokenizer_of(json)) << part;
    json[part] = {{"type", "Sequence"}, {list, std::vector<Json>(50, sequence)}};
    EXPECT_ERROR(tokenizer_of(json), kUnsupported, message);
  };
  refused("normalizer", "normalizers", {{"type", "NFC"}},
          "tokenizer.json: a normalizer of 101 steps: no more than 100 are supported");
  refused("pre_tokenizer", "pretokenizers", {{"type", "WhitespaceSplit"}}, "a pre-tokenizer of 101 steps");
  refused("decoder", "decoders", {{"type", "Fuse"}}, "a decoder of 101 steps");
  refused("post_processor", "processors",
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}},
          "a post-processor of 101 steps");
}

TEST(Limits, TablesAreSeeded) {
  const HashSeeds one, other;
  EXPECT_NE(one.first, other.first);
  EXPECT_NE(one.second, other.second);
  EXPECT_NE(hash_id(1), hash_id(2));
}

TEST(Limits, ACancelledTextEndsAtOnce) {
  std::atomic<bool> stop = false;
  Json json = byte_level_json();
  json["pre_tokenizer"] = {{"type", "Split"},
                           {"pattern", {{"Regex", "(?:a|a){20}b|a"}}},
                           {"behavior", "Isolated"},
                           {"invert", false}};
  const auto tokenizer = make_tokenizer(parse_tokenizer_json(json.dump(), "tokenizer.json"),
                                        {.cancelled = [&] { return stop.load(); }});
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop = true;
  });
  EXPECT_ERROR(tokenizer->encode(letters(5'000)), ErrorCode::kResource,
               "interrupted while tokenising a text of 5000");
  stopper.join();
  EXPECT_ERROR(tokenizer->decode(std::vector<int32_t>(100'000, 'a')), ErrorCode::kResource,
               "interrupted while decoding");
}

// --- memory ------------------------------------------------------------------------------------------------

// Runs `body`, which gives what went wrong, in a process that may take 256 MB more than it has.
template <class Body>
void with_little_memory(Body body) {
  if (!kCanLimitMemory) GTEST_SKIP() << "no limit on memory under a sanitizer";
  EXPECT_EQ(in_limited_child(size_t{256} << 20, body), "");
}

// As EXPECT_ERROR.
template <class Call>
void expect_error_with_little_memory(Call call, ErrorCode code, const std::string& part) {
  with_little_memory([&] { return error_mismatch([&] { (void)call(); }, code, part); });
}

std::string base64(const std::string& bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i + 2 < bytes.size(); i += 3) {
    const auto byte = [&](size_t at) {
      return static_cast<uint32_t>(static_cast<unsigned char>(bytes[i + at]));
    };
    const uint32_t bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (const int shift : {18, 12, 6, 0}) out.push_back(kDigits[bits >> shift & 63]);
  }
  return out;
}

// A compiled map with one rule: "a" becomes `replacement`.
std::string map_of_a(const std::string& replacement) {
  std::vector<uint32_t> units(512, 0xFF);
  units[0] = 256u << 10;
  units[256 ^ 'a'] = 'a' | 1u << 8 | 1u << 10;
  units[256 ^ 'a' ^ 1] = 1u << 31;
  const auto size = static_cast<uint32_t>(4 * units.size());
  std::string bytes(reinterpret_cast<const char*>(&size), 4);
  bytes.append(reinterpret_cast<const char*>(units.data()), size).append(replacement);
  bytes.append(3 - bytes.size() % 3, '\0');
  return base64(bytes);
}

TEST(Limits, NormalizersThatFillTheMemory) {
  const auto bomb = [](const Json& normalizer, const std::string& text) {
    Json json = byte_level_json();
    json["normalizer"] = normalizer;
    expect_error_with_little_memory([&] { return tokenizer_of(json)->encode(text); }, kUnsupported,
                                    "no such file can be right");
  };
  const auto sequence = [](const Json& step, size_t times) {
    return Json{{"type", "Sequence"}, {"normalizers", std::vector<Json>(times, step)}};
  };
  const Json map = {{"type", "Precompiled"}, {"precompiled_charsmap", map_of_a(std::string(3'000'000, 'b'))}};
  bomb(map, letters(1'000));
  bomb({{"type", "Prepend"}, {"prepend", letters(5'000'000)}}, letters(1'000));
  bomb(sequence({{"type", "Prepend"}, {"prepend", letters(4'000)}}, 90), letters(1'000));
  bomb(sequence({{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}}, 40),
       letters(1'000));
  bomb({{"type", "Replace"}, {"pattern", {{"Regex", ""}}}, {"content", letters(3'000'000)}}, letters(1'000));
  bomb(sequence({{"type", "ByteLevel"}}, 40), "é");
  Json short_map = {{"type", "Precompiled"}, {"precompiled_charsmap", map_of_a("bc")}};
  Json json = byte_level_json();
  json["normalizer"] = short_map;
  EXPECT_THAT(tokenizer_of(json)->encode("xa").ids, ElementsAre('x', 'b', 'c'));
}

TEST(Limits, PiecesThatFillTheMemory) {
  Json json = byte_level_json();
  // Each piece between added tokens gets the most that a normalizer may put before it.
  json["normalizer"] = {{"type", "Prepend"}, {"prepend", std::string(4'000, 'b')}};
  json["added_tokens"] = Json::array({added_token(259, "<s>")});
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "a<s>";
  expect_error_with_little_memory(
      [&] { return tokenizer_of(json)->encode(text); }, kUnsupported,
      "the tokenizer makes more than 1284096 bytes of a text of 40000: no such file can be right");
}

TEST(Limits, TemplatesThatFillTheMemory) {
  Json json = llama_json();
  Json& post = json["post_processor"];
  const auto refused = [&] {
    expect_error_with_little_memory([&] { return tokenizer_of(json); }, kUnsupported,
                                    "template has more than 1000 special");
  };
  const Json special = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  post["single"] = std::vector<Json>(1'000, special);
  EXPECT_EQ(tokenizer_of(json)->encode("").ids.size(), 1'000u);
  post["single"] = std::vector<Json>(1'001, special);
  refused();
  post["single"] = std::vector<Json>(8, text);
  EXPECT_NO_THROW(tokenizer_of(json));
  post["single"] = std::vector<Json>(9, text);
  refused();
  post["single"] = std::vector<Json>(100'000, special);
  post["special_tokens"]["<s>"]["ids"] = std::vector<int>(100'000, 1);
  refused();
}

TEST(Limits, DecodersThatFillTheMemory) {
  Json json = byte_level_json();
  const Json grow = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  json["decoder"] = {{"type", "Sequence"}, {"decoders", std::vector<Json>(60, grow)}};
  const auto doubling = tokenizer_of(json);
  json["decoder"] = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", letters(1'000'000)}};
  const auto longer = tokenizer_of(json);
  json["added_tokens"] = Json::array({added_token(259, letters(1'000'000))});
  json["decoder"] = nullptr;
  const auto long_token = tokenizer_of(json);
  const std::vector<int32_t> many(10'000, 'a'), longest(300, 259);
  for (const auto* each : {&doubling, &longer}) {
    expect_error_with_little_memory([&] { return (*each)->decode(many); }, kUnsupported,
                                    "the tokenizer's decoder makes more than");
  }
  expect_error_with_little_memory([&] { return long_token->decode(longest, false); }, ErrorCode::kResource,
                                  "not enough memory to decode 300 ids");
  EXPECT_ERROR(long_token->decode(longest, false), ErrorCode::kUsage,
               "longer than the 268435456 bytes that can be decoded at once");
}

TEST(Limits, MemoryThatIsNotThereIsSaidSo) {
  const auto tokenizer = tokenizer_of(byte_level_json());
  const std::string text(30'000'000, '!');
  expect_error_with_little_memory([&] { return tokenizer->encode(text); }, ErrorCode::kResource,
                                  "not enough memory to tokenise a text of 30000000 bytes: give it in parts");
  with_little_memory([&] {
    (void)error_mismatch([&] { (void)tokenizer->encode(text); }, ErrorCode::kResource, "");
    return std::string(tokenizer->encode("the").ids.size() == 1 ? "" : "other ids after an error");
  });
}

}  // namespace
}  // namespace bolide::text
