#include "bolide/tokenizer.h"

#include <gmock/gmock.h>

#include <thread>

#include "support/expect_error.h"
#include "text/tokenizer_files.h"

namespace bolide::text {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(Tokenizer, MergesBytesWithinWords) {
  const auto tokenizer = tokenizer_of(byte_level_json());
  const Encoding encoding = tokenizer->encode("the thé", true);
  EXPECT_THAT(encoding.ids, ElementsAre(257, ' ', 256, 0xC3, 0xA9));
  // A token that is part of a character spans all of it.
  EXPECT_THAT(encoding.offsets, ElementsAre(Pair(0, 3), Pair(3, 4), Pair(4, 6), Pair(6, 8), Pair(6, 8)));
  EXPECT_EQ(tokenizer->decode(encoding.ids, true), "the thé");
  EXPECT_EQ(tokenizer->vocab_size(), 261);
  EXPECT_EQ(tokenizer->token_of(258), "\u0120the");
  EXPECT_EQ(tokenizer->token_of(4711), "");
  EXPECT_EQ(tokenizer->id_of("</s>"), 260);
  EXPECT_EQ(tokenizer->id_of("nothing"), std::nullopt);
}

TEST(Tokenizer, CountsOffsetsInTheBytesGiven) {
  const auto tokenizer = tokenizer_of(byte_level_json());
  const Encoding encoding = tokenizer->encode("\xFF\xE4\xBD the", true);
  EXPECT_EQ(tokenizer->decode(encoding.ids, true), "\uFFFD\uFFFD the");
  EXPECT_THAT(encoding.offsets, ElementsAre(Pair(0, 1), Pair(0, 1), Pair(0, 1), Pair(1, 3), Pair(1, 3),
                                            Pair(1, 3), Pair(3, 7)));
}

TEST(Tokenizer, TellsThePromptFromTheTargetInAPair) {
  const auto tokenizer = tokenizer_of(byte_level_json());
  const Encoding encoding = tokenizer->encode_pair("the", " the", true);
  EXPECT_THAT(encoding.ids, ElementsAre(257, 258));
  EXPECT_THAT(encoding.sequence, ElementsAre(0, 1));
  EXPECT_THAT(encoding.type_ids, ElementsAre(0, 1));
  EXPECT_THAT(encoding.offsets, ElementsAre(Pair(0, 3), Pair(0, 4)));
}

TEST(Tokenizer, PutsSpecialTokensWhereTheTemplateSays) {
  const auto tokenizer = tokenizer_of(llama_json());
  const int32_t abc = *tokenizer->id_of("\u2581abc"), a = *tokenizer->id_of("\u2581a");
  const Encoding encoding = tokenizer->encode_pair("abc é", "a", true);
  EXPECT_THAT(encoding.ids, ElementsAre(1, abc, 259, 0xC3 + 3, 0xA9 + 3, a));
  EXPECT_THAT(encoding.sequence, ElementsAre(-1, 0, 0, 0, 0, 1));
  EXPECT_THAT(encoding.type_ids, ElementsAre(0, 0, 0, 0, 0, 1));
  EXPECT_THAT(encoding.offsets,
              ElementsAre(Pair(0, 0), Pair(0, 3), Pair(3, 4), Pair(4, 6), Pair(4, 6), Pair(0, 1)));
  EXPECT_EQ(tokenizer->decode(encoding.ids, true), "abc é a");
  EXPECT_EQ(tokenizer->decode(encoding.ids, false), "<s> abc é a");
  EXPECT_THAT(tokenizer->encode("a", false).ids, ElementsAre(a));
}

TEST(Tokenizer, FindsTheLongestPieceOfAWord) {
  const auto tokenizer = tokenizer_of(word_piece_json());
  const Encoding encoding = tokenizer->encode("UNAFFABLE. Café xyz", true);
  EXPECT_THAT(encoding.ids, ElementsAre(1, 3, 4, 5, 6, 7, 0, 2));
  EXPECT_THAT(encoding.offsets[5], Pair(11, 16));
  EXPECT_EQ(tokenizer->decode(encoding.ids, true), "[CLS] unaffable. cafe [UNK] [SEP]");
}

TEST(Tokenizer, HonoursTheFlagsOfAddedTokens) {
  Json json = byte_level_json();
  json["added_tokens"] = {added_token(259, "<l>", {{"lstrip", true}}),
                          added_token(260, "<r>", {{"rstrip", true}}),
                          added_token(261, "word", {{"single_word", true}, {"special", false}}),
                          added_token(262, "<L>", {{"normalized", true}, {"special", false}})};
  json["normalizer"] = {{"type", "Lowercase"}};
  const auto tokenizer = tokenizer_of(json);
  EXPECT_THAT(tokenizer->encode("a  <l>", true).offsets, ElementsAre(Pair(0, 1), Pair(1, 6)));
  EXPECT_THAT(tokenizer->encode("<r>  a", true).offsets, ElementsAre(Pair(0, 5), Pair(5, 6)));
  EXPECT_THAT(tokenizer->encode("word!", true).ids, ElementsAre(261, '!'));
  EXPECT_THAT(tokenizer->encode("words", true).ids, ElementsAre('w', 'o', 'r', 'd', 's'));
  // "<L>" is looked for as "<l>" in lower-cased text, where "<l>" itself was cut out before.
  EXPECT_THAT(tokenizer->encode("<L><l>", true).ids, ElementsAre(262, 259));
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{259, 261}, true), "word");
}

// As the package has it: the first token's blank, or one at offset 0, is the tokenizer's own.
TEST(Tokenizer, TrimsBlanksOfTheTextButNotItsOwn) {
  Json json = byte_level_json();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  json["post_processor"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  EXPECT_THAT(tokenizer_of(json)->encode("the the").offsets, ElementsAre(Pair(0, 3), Pair(4, 7)));
  json["normalizer"] = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}};
  EXPECT_THAT(tokenizer_of(json)->encode("  the").offsets, ElementsAre(Pair(2, 5)));
  json["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", "x"}}}, {"content", "x the"}};
  EXPECT_THAT(tokenizer_of(json)->encode("x").offsets, ElementsAre(Pair(0, 0), Pair(0, 1), Pair(0, 1)));
}

TEST(Tokenizer, GivesTheSameIdsFromManyThreads) {
  const auto tokenizer = tokenizer_of(byte_level_json());
  std::string text;
  for (int i = 0; i < 2000; ++i) text += fmt::format(" the {}", i);
  const std::vector<int32_t> ids = tokenizer->encode(text, true).ids;
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) wrong += tokenizer->encode(text, true).ids != ids;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, ALongTextAsOneWordTakesNoQuadraticTime) {
  const auto tokenizer = tokenizer_of(llama_json());
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += " abc";
  const Encoding encoding = tokenizer->encode(text, false);
  ASSERT_EQ(encoding.ids.size(), 100'001u);  // the first blank stands alone, behind the one that is prepended
  EXPECT_EQ(encoding.ids.back(), *tokenizer->id_of("\u2581abc"));
}

TEST(TokenizerLoad, ReadsEitherKindOfFolder) {
  const TempFolder folder;
  EXPECT_ERROR(Tokenizer::load(folder.path()), ErrorCode::kNotFound, "has no tokenizer");
  EXPECT_ERROR(Tokenizer::load(folder.path() / "nowhere"), ErrorCode::kNotFound, "has no tokenizer");
  const Json json = byte_level_json();
  Json vocab = json["model"]["vocab"];
  vocab["<|endoftext|>"] = 259;
  folder.write("vocab.json", vocab.dump());
  EXPECT_ERROR(Tokenizer::load(folder.path()), ErrorCode::kNotFound,
               "has no tokenizer");  // merges are missing
  folder.write("merges.txt", "#version: 0.2\nt h\nth e\n\u0120 the\n");
  const auto gpt2 = Tokenizer::load(folder.path());
  EXPECT_THAT(gpt2->encode(" the<|endoftext|>", true).ids, ElementsAre(258, 259));
  EXPECT_EQ(gpt2->decode(std::vector<int32_t>{258, 259}, true), " the");
  folder.write("tokenizer.json", json.dump());
  EXPECT_EQ(Tokenizer::load(folder.path())->id_of("</s>"), 260);
}

TEST(TokenizerLoad, ReadsTheNamesThatGpt2sOwnFilesHave) {
  const TempFolder folder;
  folder.write("encoder.json", R"({"a": 0, "b": 1, "ab": 2})");
  folder.write("vocab.bpe", "#version: 0.2\r\n\na b\r\n");
  EXPECT_THAT(Tokenizer::load(folder.path())->encode("abba").ids, ElementsAre(2, 1, 0));
  folder.write("vocab.bpe", "a b c\n");
  EXPECT_ERROR(Tokenizer::load(folder.path()), ErrorCode::kCorrupt, "vocab.bpe: merge 0 is not a pair");
  folder.write("encoder.json", "[]");
  EXPECT_ERROR(Tokenizer::load(folder.path()), ErrorCode::kCorrupt, "encoder.json: not an object of tokens");
}

// Files written before models had a type.
TEST(TokenizerLoad, TellsAModelByItsKeys) {
  Json bpe = byte_level_json();
  bpe["model"].erase("type");
  EXPECT_THAT(tokenizer_of(bpe)->encode("the").ids, ElementsAre(257));
  Json word_piece = word_piece_json();
  word_piece["model"].erase("type");
  EXPECT_THAT(tokenizer_of(word_piece)->encode("cafe", false).ids, ElementsAre(7));
  Json unigram = byte_level_json();
  unigram["pre_tokenizer"] = nullptr;
  unigram["model"] = {{"unk_id", 0}, {"vocab", Json::parse(R"([["?", 0.0], ["a", -1.0]])")}};
  EXPECT_THAT(tokenizer_of(unigram)->encode("ab").ids, ElementsAre(1, 0));
  unigram["model"]["unk_id"] = 2;
  EXPECT_ERROR(tokenizer_of(unigram), ErrorCode::kCorrupt, "unk_id 2 is outside the vocabulary of 2");
  unigram["model"]["unk_id"] = -2;
  EXPECT_ERROR(tokenizer_of(unigram), ErrorCode::kCorrupt, "unk_id -2 is outside");
  unigram["model"]["unk_id"] = nullptr;
  EXPECT_ERROR(tokenizer_of(unigram)->encode("b"), ErrorCode::kUnsupported, "there is no unk_id");
  Json neither = byte_level_json();
  neither["model"] = {{"vocab", Json::object()}};
  EXPECT_ERROR(tokenizer_of(neither), ErrorCode::kCorrupt, "the model has no 'type'");
}

// Ids that take the next free place: behind the model's, and behind an added one that is further on.
TEST(TokenizerLoad, GivesAddedTokensTheNextIds) {
  Json json = byte_level_json();
  json["model"]["vocab"]["far"] = 300;
  json["added_tokens"] = {added_token(260, "<x>"), added_token(300, "far"), added_token(301, "<y>")};
  const auto tokenizer = tokenizer_of(json);
  EXPECT_EQ(tokenizer->id_of("<x>"), 260);
  EXPECT_EQ(tokenizer->id_of("<y>"), 301);
  EXPECT_EQ(tokenizer->vocab_size(), 262);
  json["model"]["vocab"]["far"] = 2147483647;
  json["added_tokens"] = {added_token(2147483647, "far"), added_token(301, "<y>")};
  EXPECT_ERROR(tokenizer_of(json), ErrorCode::kCorrupt, "no id is left for the added token '<y>'");
}

TEST(TokenizerLoad, RefusesDamagedFiles) {
  const std::string whole = byte_level_json().dump();
  const TempFolder folder;
  folder.write("tokenizer.json", "");
  EXPECT_ERROR(Tokenizer::load(folder.path()), ErrorCode::kCorrupt, "tokenizer.json is empty");
  for (size_t size = 97; size < whole.size(); size += 97) {
    folder.write("tokenizer.json", whole.substr(0, size));
    EXPECT_ERROR(Tokenizer::load(folder.path()), ErrorCode::kCorrupt, "tokenizer.json: not valid JSON")
        << size;
  }
  EXPECT_ERROR(tokenizer_of(Json::object()), ErrorCode::kCorrupt, "tokenizer.json: there is no 'model'");
  EXPECT_ERROR(tokenizer_of({{"model", {{"type", "BPE"}}}}), ErrorCode::kCorrupt, "the model has no 'vocab'");
  EXPECT_ERROR(tokenizer_of({{"model", {{"type", "BPE"}, {"vocab", Json::object()}}}}), ErrorCode::kCorrupt,
               "no 'merges'");
}

struct Damage {
  const char* path;  // a JSON pointer
  Json value;
  ErrorCode code;
  const char* message;
};

void expect_refused(const Json& whole, const Damage& damage) {
  Json json = whole;
  json[Json::json_pointer(damage.path)] = damage.value;
  EXPECT_ERROR(tokenizer_of(json), damage.code, damage.message) << damage.path << " " << damage.value;
}

TEST(TokenizerLoad, RefusesTablesThatContradictThemselves) {
  constexpr auto kCorrupt = ErrorCode::kCorrupt;
  const std::vector<Damage> byte_level = {
      {"/model/vocab/th", 255, kCorrupt, "id 255 is given to both"},
      {"/model/vocab/th", -1, kCorrupt, "token 'th' has id -1, which is outside"},
      {"/model/vocab/th", 2147483648, kCorrupt, "token 'th' has id 2147483648, which is outside"},
      {"/model/vocab/th", 1e300, kCorrupt, "vocab holds a number"},
      {"/model/vocab/th", "1", kCorrupt, "vocab holds a string"},
      {"/model/vocab/th", nullptr, kCorrupt, "vocab holds null"},
      {"/model/vocab/th", {1}, kCorrupt, "vocab holds a list"},
      {"/model/vocab", {{"th", -1.0}}, kCorrupt, "vocab holds a number"},
      {"/model/vocab", Json::parse(R"([["th", -1.0]])"), kCorrupt, "must be an object of tokens"},
      {"/model/vocab", Json::parse(R"([["th"]])"), kCorrupt, "a row that is no [token, score]"},
      {"/model/merges/0", "t q q", kCorrupt, "merge 0 is not a pair"},
      {"/model/merges/1", {"t"}, kCorrupt, "is not a pair"},
      {"/model/merges/1", {"t", "h", "e"}, kCorrupt, "is not a pair"},
      {"/model/merges/1", 7, kCorrupt, "is not a pair"},
      {"/model/merges/1", "th zz", kCorrupt, "merge 1 refers to 'zz', which is not in the vocabulary"},
      {"/model/merges/1", "e e", kCorrupt, "merge 1 refers to 'ee'"},
      {"/model/unk_token", "<nope>", kCorrupt, "the unk_token '<nope>' is not in the vocabulary"},
      {"/added_tokens/0/id", 260, kCorrupt, "id 260 is given to the added tokens '<s>' and '</s>'"},
      {"/added_tokens/0/id", -3, kCorrupt, "added token '<s>' has id -3"},
      {"/added_tokens/0/special", "yes", kCorrupt, "'special' has the wrong type"},
      {"/added_tokens", "none", kCorrupt, "'added_tokens' must be a list"},
      {"/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "?"}}, kCorrupt, "is not base64"},
      {"/normalizer",
       {{"type", "Precompiled"}, {"precompiled_charsmap", "/////w=="}},
       kCorrupt,
       "is cut short"},
      {"/normalizer", "NFC", kCorrupt, "'type' is missing"},
      {"/post_processor",
       {{"type", "BertProcessing"}, {"sep", {"</s>", 260}}, {"cls", {"<s>", 9999}}},
       kCorrupt,
       "the post-processor adds id 9999, which is not in the vocabulary"},
  };
  for (const Damage& damage : byte_level) expect_refused(byte_level_json(), damage);
  const std::vector<Damage> llama = {
      {"/post_processor/special_tokens", Json::object(), kCorrupt,
       "names '<s>', which is not in its special_tokens"},
      {"/post_processor/special_tokens/<s>/ids/0", 99999, kCorrupt, "adds id 99999"},
      {"/post_processor/single/1/Sequence/id", "B", kCorrupt, "the template of one text names a second"},
  };
  for (const Damage& damage : llama) expect_refused(llama_json(), damage);
  expect_refused(word_piece_json(),
                 {"/model/unk_token", "?", kCorrupt, "the unk_token '?' is not in the vocabulary"});
}

TEST(TokenizerLoad, NamesThePartThatItDoesNotHave) {
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  const Json nested = {{"type", "Sequence"}, {"normalizers", {{{"type", "Mystery"}}}}};
  const std::vector<Damage> parts = {
      {"/model/type", "WordLevel", kUnsupported,
       "tokenizer.json: a model of type 'WordLevel' is not supported"},
      {"/model/dropout", 0.1, kUnsupported, "BPE with a dropout"},
      {"/normalizer", nested, kUnsupported, "a normalizer of type 'Mystery' is not supported"},
      {"/pre_tokenizer",
       {{"type", "UnicodeScripts"}},
       kUnsupported,
       "a pre-tokenizer of type 'UnicodeScripts'"},
      {"/post_processor", {{"type", "Mystery"}}, kUnsupported, "a post-processor of type 'Mystery'"},
      {"/decoder", {{"type", "CTC"}}, kUnsupported, "a decoder of type 'CTC' is not supported"},
  };
  for (const Damage& damage : parts) expect_refused(byte_level_json(), damage);
  Json calm = byte_level_json();
  calm["model"]["dropout"] = 0.0;
  EXPECT_NO_THROW(tokenizer_of(calm));
}

TEST(TokenizerLoad, IgnoresTheLengthsOfATrainingRun) {
  Json json = byte_level_json();
  json["truncation"] = {
      {"max_length", 2}, {"strategy", "LongestFirst"}, {"stride", 0}, {"direction", "Right"}};
  json["padding"] = {{"strategy", {{"Fixed", 8}}}, {"pad_to_multiple_of", 8}, {"pad_id", 3}};
  EXPECT_THAT(tokenizer_of(json)->encode("the the the", true).ids, ElementsAre(257, 258, 258));
}

TEST(TokenizerLoad, IdsBeyondTheVocabularyAreRefused) {
  const auto tokenizer = tokenizer_of(byte_level_json());
  for (const int32_t id : {-1, 261, INT32_MAX}) {
    EXPECT_ERROR(tokenizer->decode(std::vector<int32_t>{5, id}, true), ErrorCode::kUsage,
                 fmt::format("token id {} is outside the vocabulary of 261 tokens", id));
  }
}

TEST(TokenizerLoad, AHugeIdCostsNoMemory) {
  Json json = byte_level_json();
  json["model"]["vocab"]["far"] = 2147483647;
  const auto tokenizer = tokenizer_of(json);
  EXPECT_EQ(tokenizer->token_of(2147483647), "far");
  EXPECT_EQ(tokenizer->id_of("far"), 2147483647);
}

}  // namespace
}  // namespace bolide::text
