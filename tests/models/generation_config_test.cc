#include "models/generation_config.h"

#include <gmock/gmock.h>

#include "checkpoint/builders.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;

constexpr const char* kConfig =
    R"({"model_type": "bloom", "vocab_size": 200, "hidden_size": 48, "n_layer": 2, "n_head": 4, "eos_token_id": 2})";

class GenerationConfigs : public testing::Test {
 protected:
  GenerationConfig read(const std::string& generation, const std::string& choice = "auto") {
    folder_.put("config.json", kConfig);
    folder_.put("generation_config.json", generation);
    return read_generation_config(folder_.path(), choice);
  }
  TempFolder folder_, other_;
};

// What GenerationConfig.from_pretrained() and generate() of transformers 5 make of them.
TEST_F(GenerationConfigs, SamplingNeedsDoSample) {
  for (const char* greedy :
       {R"({"temperature": 0.6, "top_p": 0.9, "top_k": 7})", R"({"do_sample": false, "temperature": 0.6})",
        R"({"do_sample": null, "top_k": 7})"}) {
    const GenerationConfig made = read(greedy);
    EXPECT_EQ(made.file, (folder_.path() / "generation_config.json").string());
    EXPECT_FALSE(made.temperature || made.top_k || made.top_p || made.max_new_tokens || made.end_ids)
        << greedy;
  }
  const GenerationConfig named = read(R"({"do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 7})");
  EXPECT_THAT(named.temperature, Optional(0.6f));
  EXPECT_THAT(named.top_k, Optional(7));
  EXPECT_THAT(named.top_p, Optional(0.9f));
  const GenerationConfig bare = read(R"({"do_sample": true, "top_p": 1.0, "max_new_tokens": 9})");
  EXPECT_THAT(bare.temperature, Optional(1.0f));
  EXPECT_THAT(bare.top_k, Optional(50));
  EXPECT_FALSE(bare.top_p);
  EXPECT_THAT(bare.max_new_tokens, Optional(9));
  EXPECT_THAT(read(R"({"do_sample": true, "top_k": 0})").top_k, Optional(0));
}

TEST_F(GenerationConfigs, SaysWhatIsLeftOut) {
  EXPECT_THAT(
      read(R"({"repetition_penalty": 1.0, "num_beams": 1, "typical_p": 1, "min_p": null, "max_length": 4096,
                       "bad_words_ids": [], "transformers_version": "5.0", "length_penalty": 2.0})")
          .left_out,
      IsEmpty());
  EXPECT_THAT(
      read(R"({"repetition_penalty": 1.1, "bad_words_ids": [[5]], "stop_strings": "a\u001b[2J"})").left_out,
      ElementsAre("repetition_penalty 1.1", "bad_words_ids [[5]]", HasSubstr("stop_strings")));
}

TEST_F(GenerationConfigs, EndIdsFollowTheChoice) {
  const std::string own = R"({"eos_token_id": [7, 9], "do_sample": true})";
  EXPECT_FALSE(read(own).end_ids);
  const GenerationConfig none = read(own, "none");
  EXPECT_EQ(none.file, "");
  EXPECT_FALSE(none.temperature);
  EXPECT_THAT(none.end_ids, Optional(ElementsAre(2)));
  other_.put("generation_config.json",
             R"({"eos_token_id": [11, 4000], "temperature": 0.5, "do_sample": true})");
  for (const std::filesystem::path& other : {other_.path(), other_.path() / "generation_config.json"}) {
    const GenerationConfig made = read(own, other.string());
    EXPECT_THAT(made.temperature, Optional(0.5f));
    EXPECT_THAT(made.end_ids, Optional(ElementsAre(11)));  // 4000 is no id of this model
  }
  other_.put("generation_config.json", "{}");
  EXPECT_THAT(read(own, other_.path().string()).end_ids, Optional(ElementsAre(2)));
}

TEST_F(GenerationConfigs, FaultsAreNamed) {
  folder_.put("config.json", kConfig);
  EXPECT_EQ(read_generation_config(folder_.path()).file, "");
  EXPECT_EQ(read_generation_config(folder_.path() / "nowhere").file, "");  // loading says what is wrong
  EXPECT_EQ(read("<html>").file, "");                                      // which loading warns of
  EXPECT_ERROR(read("{}", (other_.path() / "gone.json").string()), ErrorCode::kNotFound, "gone.json");
  EXPECT_ERROR(read("{}", other_.path().string()), ErrorCode::kNotFound, "generation_config.json");
  other_.put("generation_config.json", "<html>");
  EXPECT_ERROR(read("{}", other_.path().string()), ErrorCode::kCorrupt, "is a web page");
  EXPECT_ERROR(read("[]"), ErrorCode::kCorrupt, "not an object of settings");
  EXPECT_ERROR(read(R"({"temperature": -0.5})"), ErrorCode::kCorrupt, "temperature is -0.5");
  EXPECT_ERROR(read(R"({"top_p": 1.5})"), ErrorCode::kCorrupt, "top_p is 1.5");
  EXPECT_ERROR(read(R"({"top_k": 2.5})"), ErrorCode::kCorrupt, "key 'top_k'");
  EXPECT_ERROR(read(R"({"do_sample": "yes"})"), ErrorCode::kCorrupt, "key 'do_sample'");
  EXPECT_ERROR(read(R"({"max_new_tokens": 0})"), ErrorCode::kCorrupt, "max_new_tokens is 0");
}

}  // namespace
}  // namespace bolide
