#include <gmock/gmock.h>

#include <random>

#include "text/tokenizer_files.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> chunks(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                                bool skip = true) {
  StreamDecoder stream(tokenizer, skip);
  std::vector<std::string> out;
  for (const int32_t id : ids) out.push_back(stream.push(id));
  out.push_back(stream.finish());
  return out;
}

Json with_decoder(Json json, const Json& decoder) {
  json["decoder"] = decoder;
  return json;
}

Json step(const std::string& type, Json options = Json::object()) {
  options["type"] = type;
  return options;
}

Json sequence(const std::vector<Json>& steps) { return step("Sequence", {{"decoders", steps}}); }

// Every decoder, over vocabularies that hold what it looks at.
std::vector<Json> decoders() {
  const Json blank = {{"String", "\u2581"}}, vowels = {{"Regex", "[ab ]+"}};
  const Json fuse = step("Fuse"), bytes = step("ByteFallback");
  return {nullptr,
          step("ByteLevel", {{"add_prefix_space", false}, {"trim_offsets", false}}),
          step("Metaspace", {{"replacement", "\u2581"}, {"prepend_scheme", "always"}}),
          step("Metaspace", {{"replacement", "\u2581"}, {"prepend_scheme", "never"}}),
          step("WordPiece", {{"prefix", "a"}, {"cleanup", true}}),
          step("BPEDecoder", {{"suffix", "c"}}),
          bytes,
          fuse,
          step("Strip", {{"content", "a"}, {"start", 1}, {"stop", 1}}),
          step("Replace", {{"pattern", vowels}, {"content", "\u00e9"}}),
          sequence({fuse, step("Strip", {{"content", "a"}, {"start", 2}, {"stop", 2}})}),
          sequence({fuse, step("Replace", {{"pattern", {{"String", "ab"}}}, {"content", "--"}})}),
          sequence({step("Replace", {{"pattern", blank}, {"content", " "}}), bytes, fuse,
                    step("Strip", {{"content", " "}, {"start", 1}, {"stop", 0}})}),
          sequence({bytes, step("BPEDecoder", {{"suffix", "bc"}}), fuse,
                    step("Metaspace", {{"replacement", "\u2581"}, {"prepend_scheme", "first"}})})};
}

TEST(StreamDecoder, GivesTheSameTextAsDecodingAllAtOnce) {
  std::mt19937 random(11);
  for (const Json& base : {byte_level_json(), llama_json()}) {
    for (const Json& decoder : decoders()) {
      const auto tokenizer = tokenizer_of(with_decoder(base, decoder));
      for (int round = 0; round < 300; ++round) {
        std::vector<int32_t> ids;
        for (size_t i = random() % 20; i > 0; --i) {
          // Mostly bytes of characters and the tokens of letters, which are the last ids.
          const auto size = static_cast<uint32_t>(tokenizer->vocab_size());
          ids.push_back(static_cast<int32_t>(random() % 2 ? random() % size : size - 1 - random() % 10));
        }
        for (const bool skip : {true, false}) {
          std::string joined;
          for (const std::string& chunk : chunks(*tokenizer, ids, skip)) {
            ASSERT_TRUE(is_utf8(chunk)) << decoder;
            joined += chunk;
          }
          ASSERT_EQ(joined, tokenizer->decode(ids, skip)) << decoder << " " << Json(ids);
        }
      }
    }
  }
}

TEST(StreamDecoder, HoldsTheBytesOfACharacterUntilItIsWhole) {
  const auto tokenizer = tokenizer_of(byte_level_json());
  EXPECT_THAT(chunks(*tokenizer, {0xE4, 0xBD, 0xA0, 'a'}), ElementsAre("", "", "你", "a", ""));
  EXPECT_THAT(chunks(*tokenizer, {'a', 0xF0, 0x9F}), ElementsAre("a", "", "", "\uFFFD"));
  EXPECT_THAT(chunks(*tokenizer, {0xF0, 0x9F, 'b'}), ElementsAre("", "",
                                                                 "\uFFFD"
                                                                 "b",
                                                                 ""));
  EXPECT_THAT(chunks(*tokenizer, {258, 259, 257}), ElementsAre(" the", "", "the", ""));  // <s> is special
}

TEST(StreamDecoder, HoldsARunOfByteTokensUntilItEnds) {
  const auto tokenizer = tokenizer_of(llama_json());
  const auto byte = [](int value) { return value + 3; };
  const int32_t a = *tokenizer->id_of("\u2581a");
  EXPECT_THAT(chunks(*tokenizer, {a, byte(0xC3), byte(0xA9), a}), ElementsAre("a", "", "", "é a", ""));
  // One byte that is wrong makes the whole run wrong, which nobody could have known before.
  EXPECT_THAT(chunks(*tokenizer, {byte(0xC3), byte(0xA9), byte(0xFF)}),
              ElementsAre("", "", "", "\uFFFD\uFFFD\uFFFD"));
}

TEST(StreamDecoder, WorksForAnyTokenizer) {
  class Words : public Tokenizer {
   public:
    Encoding encode(std::string_view, bool) const override { return {}; }
    Encoding encode_pair(std::string_view, std::string_view, bool) const override { return {}; }
    std::string decode(std::span<const int32_t> ids, bool) const override {
      std::string text;
      for (const int32_t id : ids) text.push_back(static_cast<char>(id));
      return to_utf8(text);
    }
    int64_t vocab_size() const override { return 256; }
    std::optional<int32_t> id_of(std::string_view) const override { return std::nullopt; }
    std::string token_of(int32_t) const override { return ""; }
  };
  EXPECT_THAT(chunks(Words(), {'a', 0xC3, 0xA9, 'b', 0xC3}), ElementsAre("a", "", "é", "b", "", "\uFFFD"));
}

}  // namespace
}  // namespace bolide::text
