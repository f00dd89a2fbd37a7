#include <gmock/gmock.h>

#include "support/expect_error.h"
#include "text/tokenizer_files.h"

namespace bolide::text {
namespace {

using ::testing::ElementsAre;

class Folder : public TempFolder {
 public:
  Folder(const Json& tokenizer, const Json& files) {
    write("tokenizer.json", tokenizer.dump());
    for (const auto& [name, content] : files.items()) write(name, content.dump());
  }
};

// What tools/make_token_files.py recorded from transformers: files beside a tokenizer.json, flags and all.
TEST(TokenFiles, GiveTheIdsAndTextsOfTransformers) {
  const std::filesystem::path data = std::filesystem::path(BOLIDE_SOURCE_DIR) / "tests/text/token_files.json";
  // The order of keys decides about ids: ordered_json keeps it.
  const auto all = nlohmann::ordered_json::parse(read_text_file(data, 1 << 20));
  ASSERT_GE(all["cases"].size(), 60u);
  for (const auto& one : all["cases"]) {
    auto json = all["tokenizer"];
    json.update(one["changes"]);
    const TempFolder folder;
    folder.write("tokenizer.json", json.dump());
    for (const auto& [name, content] : one["files"].items()) folder.write(name, content.dump());
    const auto tokenizer = Tokenizer::load(folder.path());
    for (size_t i = 0; i < one["texts"].size(); ++i) {
      const auto ids = one["ids"][i].get<std::vector<int32_t>>();
      const auto text = one["texts"][i].get<std::string>();
      EXPECT_EQ(tokenizer->encode(text).ids, ids) << one["name"] << " '" << text << "'";
      EXPECT_EQ(tokenizer->decode(ids, false), one["decoded"][i].get<std::string>()) << one["name"];
      EXPECT_EQ(tokenizer->decode(ids, true), one["without_special"][i].get<std::string>()) << one["name"];
    }
  }
}

TEST(TokenFiles, CountWhereThereIsNoTokenizerJson) {
  const TempFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1, "<|endoftext|>": 2})");
  folder.write("merges.txt", "#version: 0.2\n");
  folder.write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "<|endoftext|>"})");
  folder.write("added_tokens.json", R"({"<x>": 3})");
  const auto plain = Tokenizer::load(folder.path());
  EXPECT_THAT(plain->encode("a<x>b<s>").ids, ElementsAre(0, 3, 1, 4));
  EXPECT_EQ(plain->vocab_size(), 5);
  folder.write(
      "tokenizer_config.json",
      R"({"bos_token": "<s>", "eos_token": "<|endoftext|>", "add_bos_token": true, "add_eos_token": true})");
  const auto around = Tokenizer::load(folder.path());
  EXPECT_THAT(around->encode("a").ids, ElementsAre(4, 0, 2));
  EXPECT_THAT(around->encode("a", false).ids, ElementsAre(0));
  const Encoding pair = around->encode_pair("a", "b");
  EXPECT_THAT(pair.ids, ElementsAre(4, 0, 2, 4, 1, 2));
  EXPECT_THAT(pair.type_ids, ElementsAre(0, 0, 0, 1, 1, 1));
}

TEST(TokenFiles, AnyOfThemNamesItsFolder) {
  const TempFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  folder.write("tokenizer_config.json", R"({"eos_token": "<end>"})");
  folder.write("other.model", "sentencepiece's");
  for (const char* name : {"", "tokenizer.json", "tokenizer_config.json"})
    EXPECT_EQ(Tokenizer::load(folder.path() / name)->id_of("<end>"), 261) << name;
  EXPECT_ERROR(Tokenizer::load(folder.path() / "other.model"), ErrorCode::kUsage,
               "other.model' is no file of a tokenizer that is read here");
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  EXPECT_EQ(Tokenizer::load("tokenizer.json")->id_of("<end>"), 261);
  std::filesystem::current_path(before);
}

TEST(TokenFiles, AreRefusedWhereTheyNameNoToken) {
  constexpr auto kCorrupt = ErrorCode::kCorrupt;
  const auto load = [](const std::string& file, const std::string& content) {
    const TempFolder folder;
    folder.write("tokenizer.json", byte_level_json().dump());
    folder.write(file, content);
    return Tokenizer::load(folder.path());
  };
  const std::string config = "tokenizer_config.json", map = "special_tokens_map.json";
  EXPECT_ERROR(load(config, "[]"), kCorrupt, "tokenizer_config.json: not a JSON object");
  EXPECT_ERROR(load(config, "{"), kCorrupt, "tokenizer_config.json: ");
  EXPECT_ERROR(load(config, R"({"eos_token": 7})"), kCorrupt,
               "tokenizer_config.json: 'eos_token' must name a token");
  EXPECT_ERROR(load(config, R"({"eos_token": {"lstrip": true}})"), kCorrupt, "key 'content' is missing");
  EXPECT_ERROR(load(config, R"({"eos_token": {"content": "x", "lstrip": "yes"}})"), kCorrupt,
               "key 'lstrip' has the wrong type");
  EXPECT_ERROR(load(config, R"({"additional_special_tokens": "x"})"), kCorrupt,
               "'additional_special_tokens' must be a list of tokens");
  EXPECT_ERROR(load(config, R"({"additional_special_tokens": [1]})"), kCorrupt, "must name a token");
  EXPECT_ERROR(load(config, R"({"added_tokens_decoder": []})"), kCorrupt,
               "'added_tokens_decoder' must be an object of ids and tokens");
  EXPECT_ERROR(load(config, R"({"added_tokens_decoder": {"1x": {"content": "x"}}})"), kCorrupt,
               "'added_tokens_decoder' has the key '1x', which is no id");
  EXPECT_ERROR(load(map, R"({"pad_token": ["x"]})"), kCorrupt,
               "special_tokens_map.json: 'pad_token' must name");
  EXPECT_ERROR(load("added_tokens.json", R"({"x": 1.5})"), kCorrupt,
               "added_tokens.json: the id of 'x' is not a whole number");
  // Flags are called like roles, and need not be tokens.
  EXPECT_NO_THROW(load(config, R"({"add_bos_token": true, "sp_token": {"a": 1}, "eos_token": null})"));
}

}  // namespace
}  // namespace bolide::text
