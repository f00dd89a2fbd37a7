#include <gmock/gmock.h>

#include "support/expect_error.h"
#include "text/base64.h"
#include "text/tokenizer_files.h"

namespace bolide::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using OrderedJson = nlohmann::ordered_json;  // the order of keys decides about ids

const OrderedJson& recorded() {
  static const OrderedJson all = OrderedJson::parse(read_text_file(
      std::filesystem::path(BOLIDE_SOURCE_DIR) / "tests/text/sentencepiece.json", size_t{4} << 20));
  return all;
}

std::string model_bytes(const std::string& name) {
  std::string bytes;
  EXPECT_TRUE(decode_base64(recorded()["models"][name].get<std::string>(), bytes));
  return bytes;
}

void expect_streams_alike(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                          const std::string& whole) {
  StreamDecoder stream(tokenizer, false);
  std::string streamed;
  for (const int32_t id : ids) {
    streamed += stream.push(id);
    EXPECT_TRUE(is_utf8(streamed));
  }
  EXPECT_EQ(streamed + stream.finish(), whole);
}

void expect_offsets_in_order(const Encoding& encoding, size_t size) {
  ASSERT_EQ(encoding.offsets.size(), encoding.ids.size());
  int64_t last = 0;
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    const auto [begin, end] = encoding.offsets[i];
    if (encoding.sequence[i] < 0) continue;
    EXPECT_LE(last, begin);
    EXPECT_LE(begin, end);
    EXPECT_LE(end, static_cast<int64_t>(size));
    last = begin;
  }
}

// What tools/make_sentencepiece_models.py recorded from transformers 5: folders without a tokenizer.json.
TEST(SentencePiece, GivesTheIdsAndTextsOfTransformers) {
  ASSERT_GE(recorded()["cases"].size(), 40u);
  const auto texts = recorded()["texts"].get<std::vector<std::string>>();
  for (const OrderedJson& one : recorded()["cases"]) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const TempFolder folder;
    folder.write(one["file"], model_bytes(one["model"]));
    for (const auto& [name, content] : one["files"].items()) folder.write(name, content.dump());
    const auto tokenizer = Tokenizer::load(folder.path());
    EXPECT_EQ(tokenizer->vocab_size(), one["size"].get<int64_t>());
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto ids = one["ids"][i].get<std::vector<int32_t>>();
      const auto decoded = one["decoded"][i].get<std::string>();
      const Encoding encoding = tokenizer->encode(texts[i]);
      EXPECT_EQ(encoding.ids, ids) << "'" << texts[i] << "'";
      expect_offsets_in_order(encoding, texts[i].size());
      EXPECT_EQ(tokenizer->decode(ids, false), decoded);
      EXPECT_EQ(tokenizer->decode(ids, true), one["without_special"][i].get<std::string>());
      expect_streams_alike(*tokenizer, ids, decoded);
    }
    for (size_t i = 0; i < one["pairs"].size(); ++i) {
      EXPECT_EQ(tokenizer->encode_pair(texts[i], texts[i + 3]).ids,
                one["pairs"][i].get<std::vector<int32_t>>());
    }
  }
}

TEST(SentencePiece, ReadsBadBytesAsReplacements) {
  const TempFolder folder;
  folder.write("tokenizer.model", model_bytes("llama"));
  const auto tokenizer = Tokenizer::load(folder.path());
  const Encoding bad = tokenizer->encode("the \xFF fox\xC3");
  EXPECT_EQ(bad.ids, tokenizer->encode("the \uFFFD fox\uFFFD").ids);
  EXPECT_EQ(bad.offsets.back(), (std::pair<int64_t, int64_t>(9, 10)));
}

TEST(SentencePiece, GoesBeforeVocabAndMerges) {
  const TempFolder folder;
  folder.write("vocab.json", R"({"a": 0})");
  folder.write("merges.txt", "");
  folder.write("tokenizer.model", model_bytes("llama"));
  EXPECT_EQ(Tokenizer::load(folder.path() / "tokenizer.model")->vocab_size(), 500);
  folder.write("tokenizer.json", byte_level_json().dump());
  EXPECT_EQ(Tokenizer::load(folder.path())->vocab_size(), 261);
}

// A field of a message, as protobuf writes it.
std::string field(int number, const std::string& content) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  for (size_t size = content.size();; size >>= 7) {
    out += static_cast<char>((size & 0x7F) | (size > 0x7F ? 0x80 : 0));
    if (size <= 0x7F) break;
  }
  return out + content;
}

class Damaged : public ::testing::Test {
 protected:
  void expect(const std::string& bytes, ErrorCode code, const std::string& what,
              const std::string& name = "tokenizer.model") {
    folder_.write(name, bytes);
    try {
      Tokenizer::load(folder_.path());
      ADD_FAILURE() << "no error: " << what;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(what));
      EXPECT_THAT(error.what(), HasSubstr(name));
    }
  }
  TempFolder folder_;
};

TEST_F(Damaged, FilesAreNamed) {
  constexpr auto kCorrupt = ErrorCode::kCorrupt;
  const std::string piece = field(1, field(1, "a"));
  expect("", kCorrupt, "is empty");
  expect("\x0A", kCorrupt, "is cut short");
  expect(field(1, ""), kCorrupt, "has an empty piece");
  expect(field(4, ""), kCorrupt, "has no pieces");
  expect(field(1, field(1, "\xFF")), kCorrupt, "has a piece that is not UTF-8");
  expect(field(1, field(1, "a") + std::string("\x15\0\0\xC0\x7F", 5)), kCorrupt, "without a finite score");
  expect(piece + piece, kCorrupt, "token 'a' is in the vocabulary twice");
  expect(
      "\x0A\x7F"
      "a",
      kCorrupt, "is cut short");
  expect("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", kCorrupt, "is cut short");
  expect("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", kCorrupt, "a number of more than 64 bits");
  expect("\x0B", kCorrupt, "has a field of an unknown type");
  expect(std::string(2, '\0'), kCorrupt, "has a field without a number");
  expect(std::string("\x08\0", 2), kCorrupt, "has a field of the wrong type");
  expect(piece + field(2, "\x18\x03"), ErrorCode::kUnsupported, "of kind 3 is not supported");
  expect(piece + field(2, "\xC0\x02\x07"), kCorrupt, "unk_id 7 is outside the vocabulary");
  expect(piece + field(3, field(2, "xyz")), kCorrupt, "precompiled_charsmap is cut short");
}

TEST_F(Damaged, CopiesOfARealFileEndInAnErrorOrATokenizer) {
  const std::string whole = model_bytes("user");
  std::mt19937 random(1);
  int errors = 0;
  for (int round = 0; round < 100; ++round) {
    std::string bytes = whole;
    if (round % 2 == 0) bytes.resize(random() % bytes.size());
    for (int i = 0; i < round % 5 && !bytes.empty(); ++i)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    folder_.write("tokenizer.model", bytes);
    try {
      Tokenizer::load(folder_.path())->encode("the quick brown <sep>");
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
      ++errors;
    }
  }
  EXPECT_GT(errors, 30);
}

TEST_F(Damaged, TokensThatAreTooLongTakeNoTime) {
  std::string bytes = field(2, "\x18\x02");
  for (int i = 1; i < 3000; ++i) bytes += field(1, field(1, std::string(static_cast<size_t>(i), 'a')));
  expect(bytes, ErrorCode::kUnsupported, "its tokens are longer than those of any real vocabulary");
}

TEST_F(Damaged, ClassesThatAreNotKnownAreNamed) {
  folder_.write("tokenizer_config.json", R"({"tokenizer_class": "XLNetTokenizer"})");
  expect(model_bytes("unigram"), ErrorCode::kUnsupported,
         "a 'XLNetTokenizer' cannot be read from it: have transformers write a tokenizer.json");
  folder_.write("tokenizer_config.json", R"({"tokenizer_class": "T5Tokenizer", "extra_ids": -1})");
  try {
    Tokenizer::load(folder_.path());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("tokenizer_config.json: 'extra_ids' is -1, and must be 0 to 100000"));
  }
}

TEST_F(Damaged, TiktokenLinesAreNamed) {
  constexpr auto kCorrupt = ErrorCode::kCorrupt;
  expect("YQ== 0\nYg==\n", kCorrupt, "line 2 has no rank behind its token");
  expect("YQ== 0\n\nYg== 1x\n", kCorrupt, "line 3 has no rank behind its token");
  expect("YQ== 0\nYg== -1\n", kCorrupt, "line 2 has no rank behind its token");
  expect("YQ== 0\n*** 1\n", kCorrupt, "line 2 has no token in base64");
  expect("YQ== 0\n 1\n", kCorrupt, "line 2 has no token in base64");
  expect("YQ== 0\nYQ== 1\n", kCorrupt, "line 2 has a token that is there already");
  expect("YQ== 0\nYg== 0\n", kCorrupt, "line 2 has a rank that is there already");
  expect("YQ== 0\nYg== 2\n", kCorrupt, "no token has the rank 1");
  folder_.write("tokenizer_config.json", R"({"added_tokens_decoder": {"2000000000": {"content": "x"}}})");
  expect("YQ== 0\n", kCorrupt, "has 1 tokens, and a file beside it names one of id 2000000000");
}

TEST_F(Damaged, TiktokenWithoutAPatternIsRefused) {
  expect("YQ== 0\n", ErrorCode::kUnsupported, "does not say how text is cut into words", "other.tiktoken");
  folder_.write("tokenizer_config.json", R"({"tokenizer_class": "QWenTokenizer"})");
  const auto tokenizer = Tokenizer::load(folder_.path());
  EXPECT_EQ(tokenizer->id_of("<|im_start|>"), 2);
  EXPECT_THAT(tokenizer->encode("aa<|endoftext|>").ids, ElementsAre(0, 0, 1));
}

}  // namespace
}  // namespace bolide::text
