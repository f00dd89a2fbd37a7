// What config files say: against what transformers makes of the same files (tests/golden/configs.json), and
// what is refused.
#include "models/config.h"

#include <gmock/gmock.h>

#include "base/log.h"
#include "checkpoint/builders.h"
#include "models/load_model.h"
#include "models/open_checkpoint.h"
#include "models/registry.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::filesystem::path kGolden = std::filesystem::path(BOLIDE_SOURCE_DIR) / "tests/golden";

Json bloom() {
  return {{"architectures", {"BloomForCausalLM"}},
          {"model_type", "bloom"},
          {"vocab_size", 200},
          {"hidden_size", 48},
          {"n_layer", 2},
          {"n_head", 4},
          {"bos_token_id", 1},
          {"eos_token_id", 2}};
}

// From the config alone, as --load-format dummy reads it.
ModelConfig read(const std::string& config, const std::optional<std::string>& generation = {}) {
  const TempFolder folder;
  folder.put("config.json", config);
  if (generation) folder.put("generation_config.json", *generation);
  return read_model_config({.path = folder.path(), .data_type = {}, .dummy = true});
}
ModelConfig read_with(const Json& changes) {
  Json config = bloom();
  config.update(changes);
  return read(config.dump());
}

// Every variant of a config.json and a generation_config.json that tools/make_golden.py tried.
TEST(Config, SaysWhatTransformersReads) {
  const JsonTree tree = read_json_file(kGolden / "configs.json");
  const Json& cases = (*tree)["cases"];
  ASSERT_GT(cases.size(), 30u);
  for (const Json& one : cases) {
    SCOPED_TRACE(one["name"]);
    std::optional<std::string> generation;
    if (one.contains("generation_config")) generation = one["generation_config"];
    const Json& want = one["transformers"];
    if (want.is_null()) {
      EXPECT_THROW(read(one["config"], generation), Error);
      continue;
    }
    const ModelConfig config = read(one["config"], generation);
    EXPECT_EQ(config.hidden_size, want["hidden_size"]);
    EXPECT_EQ(config.layers, want["n_layer"]);
    EXPECT_EQ(config.heads, want["n_head"]);
    EXPECT_EQ(config.inter_size, want["inner_size"]);
    EXPECT_EQ(config.bos_id, want["bos_token_id"]);
    EXPECT_EQ(config.end_ids, want["eos_token_ids"].get<std::vector<int32_t>>());
    EXPECT_EQ(config.norm_eps, want["layer_norm_epsilon"]);
    EXPECT_EQ(!config.warnings.empty(), one["contradicts"].get<bool>())
        << fmt::format("{}", fmt::join(config.warnings, "; "));
  }
}

TEST(Config, ContradictionsNameBothKeysAndWhatIsTaken) {
  EXPECT_THAT(
      read_with({{"n_head", 8}, {"num_attention_heads", 4}}).warnings,
      ElementsAre(HasSubstr("num_attention_heads is 4 and n_head, its other name, is 8: 4 is taken")));
  EXPECT_THAT(read_with({{"n_inner", 100}}).warnings, ElementsAre(HasSubstr("n_inner 100 is left out")));
  EXPECT_THAT(read_with({{"hidden_act", "relu"}}).warnings,
              ElementsAre(HasSubstr("hidden_act 'relu' is left out")));
  EXPECT_THAT(read_with({{"slow_but_exact", true}, {"pretraining_tp", 4}}).warnings,
              ElementsAre(HasSubstr("slow_but_exact is left out")));
  EXPECT_THAT(read_with({{"slow_but_exact", true}, {"pretraining_tp", 1}}).warnings, IsEmpty());
  EXPECT_THAT(read_with({{"eos_token_id", {5, 200, -1}}}).warnings,
              ElementsAre(HasSubstr(
                  "end id 200 is outside the vocabulary of 200 ids, so it never comes (nor do 1 ")));
  EXPECT_THAT(read(bloom().dump(), R"({"bos_token_id": 1})").warnings,
              ElementsAre(HasSubstr("generation_config.json names no end id, so that 2 of config.json")));
  EXPECT_THAT(read(bloom().dump(), "<html>").warnings,
              ElementsAre(HasSubstr("generation_config.json is a web page")));
  EXPECT_THAT(read_with({{"num_attention_heads", 4}, {"n_embed", 48}, {"hidden_act", "gelu"}}).warnings,
              IsEmpty());
}

TEST(Config, NumbersAreTakenAsTheyStandOrRefused) {
  const auto refused = [](const char* key, const Json& value, const std::string& says) {
    Json changes;
    changes[key] = value;
    EXPECT_ERROR(read_with(changes), ErrorCode::kCorrupt, says) << key << " " << value;
  };
  for (const char* key :
       {"n_layer", "n_head", "hidden_size", "vocab_size", "n_inner", "num_hidden_layers", "n_embed"}) {
    for (const Json& value : {Json(2.9), Json(2.0), Json(true), Json("2")})
      refused(key, value, fmt::format("key '{}'", key));
  }
  refused("vocab_size", 1e300, "key 'vocab_size'");
  refused("vocab_size", 4294967459, "the vocabulary size is 4294967459");
  refused("n_layer", 0, "the number of layers is 0");
  refused("n_layer", -2, "the number of layers is -2");
  refused("hidden_size", int64_t{1} << 62, "the hidden size is 4611686018427387904");
  refused("n_head", 5, "hidden size 48 is not a multiple of its 5 heads");
  for (const Json& id :
       {Json(true), Json(2.0), Json("2"), Json(4294967298), Json({2, true}), Json({{"a", 1}})})
    refused("eos_token_id", id, "key 'eos_token_id'");
  refused("bos_token_id", {1}, "key 'bos_token_id'");
  refused("bos_token_id", true, "key 'bos_token_id'");
  for (const Json& epsilon : {Json(1e300), Json(0), Json(0.0), Json(-1e-5), Json(1.5)})
    refused("layer_norm_epsilon", epsilon, "the epsilon of the layer norms is");
  refused("layer_norm_epsilon", "1e-5", "key 'layer_norm_epsilon'");
  refused("layer_norm_epsilon", true, "key 'layer_norm_epsilon'");
  refused("tie_word_embeddings", 1, "key 'tie_word_embeddings'");
  refused("apply_residual_connection_post_layernorm", "no", "key 'apply_residual_connection_post_layernorm'");
}

TEST(Config, MissingSizesGoByTheirUsualNames) {
  for (const auto& [key, says] : {std::pair("hidden_size", "key 'hidden_size' (or 'n_embed') is missing"),
                                  std::pair("n_head", "key 'n_head' (or 'num_attention_heads') is missing"),
                                  std::pair("n_layer", "key 'n_layer' (or 'num_hidden_layers') is missing"),
                                  std::pair("vocab_size", "key 'vocab_size' is missing")}) {
    Json config = bloom();
    config.erase(key);
    EXPECT_ERROR(read(config.dump()), ErrorCode::kCorrupt, says);
  }
  EXPECT_ERROR(read_with({{"n_head", nullptr}, {"num_attention_heads", nullptr}}), ErrorCode::kCorrupt,
               "'n_head' (or");
}

TEST(Config, WhatIsNoModelOfOursIsCalledWhatItIs) {
  EXPECT_ERROR(read("[]"), ErrorCode::kCorrupt, "config.json: not an object of settings, but of type array");
  EXPECT_ERROR(read("null"), ErrorCode::kCorrupt, "config.json: not an object of settings, but of type null");
  EXPECT_ERROR(read("{}"), ErrorCode::kCorrupt, "config.json names no architecture");
  EXPECT_ERROR(read(R"({"architectures": [], "model_type": null})"), ErrorCode::kCorrupt,
               "names no architecture");
  EXPECT_ERROR(read(R"({"model_type": "mamba"})"), ErrorCode::kUnsupported,
               "architecture 'mamba' is not one");
  EXPECT_ERROR(read(bloom().dump(), "[]"), ErrorCode::kCorrupt,
               "generation_config.json: not an object of settings");
  for (const char* ids : {"true", "7.0", "\"7\"", "[7, true]"})
    EXPECT_ERROR(read(bloom().dump(), fmt::format(R"({{"eos_token_id": {}}})", ids)), ErrorCode::kCorrupt,
                 "generation_config.json: key 'eos_token_id'");
}

TEST(Config, QuantisedWeightsAreRefusedByTheirSchemesName) {
  const auto refused = [](const Json& changes, const std::string& says) {
    EXPECT_ERROR(read_with(changes), ErrorCode::kUnsupported, says);
  };
  for (const char* method : {"gptq", "awq", "bitsandbytes", "fp8", "compressed-tensors", "of the future"}) {
    refused({{"quantization_config", {{"quant_method", method}, {"bits", 4}}}},
            fmt::format("the weights are quantised (quantization_config: {})", method));
  }
  refused({{"quantization_config", {{"load_in_8bit", true}}}}, "(quantization_config: bitsandbytes)");
  refused({{"compression_config", {{"format", "pack-quantized"}}}}, "(compression_config: pack-quantized)");
  refused({{"quantization_config", "gptq"}}, "(quantization_config: unnamed)");
  EXPECT_EQ(read_with({{"quantization_config", nullptr}}).heads, 4);
}

// What says nothing about the graph.
TEST(Config, SettingsOfTrainingAreNotRead) {
  const ModelConfig config = read_with({{"pretraining_tp", 4},
                                        {"slow_but_exact", false},
                                        {"torch_dtype", "float8_of_the_future"},
                                        {"offset_alibi", 100},
                                        {"seq_length", 2048}});
  EXPECT_EQ(config.heads, 4);
  EXPECT_THAT(config.warnings, IsEmpty());
}

constexpr const char* kFtConfig =
    "[gpt]\nmodel_name=m\nnum_layer=2\nhead_num=4\ninter_size=192\nsize_per_head=12\nvocab_size=200\n"
    "tensor_para_size=1\nweight_data_type=fp32\nmodel_variant=bloom-pre\nlayernorm_eps=1e-05\n"
    "layernorm_type=pre_layernorm\nactivation_type=Gelu\nhas_positional_encoding=False\n"
    "has_pre_decoder_layernorm=True\nhas_post_decoder_layernorm=True\nuse_attention_linear_bias=True\nstart_"
    "id=1\n"
    "end_id=2\n";

ModelConfig read_ft(const Ini& ini) { return find_family(ini, "c.ini").ft->read_config(ini, "c.ini"); }
ModelConfig read_ft_with(const std::string& key, const std::string& value) {
  Ini ini = parse_ini(kFtConfig, "c.ini");
  ini["gpt"][key] = value;
  return read_ft(ini);
}

TEST(FtConfig, EveryKeyMustBeThere) {
  const Ini whole = parse_ini(kFtConfig, "c.ini");
  EXPECT_EQ(read_ft(whole).hidden_size, 48);
  EXPECT_THAT(read_ft(whole).end_ids, ElementsAre(2));
  for (const auto& [key, value] : whole.at("gpt")) {
    if (key == "tensor_para_size" || key == "model_variant")
      continue;  // open_checkpoint() and find_family() want them
    Ini ini = whole;
    ini["gpt"].erase(key);
    EXPECT_ERROR(read_ft(ini), ErrorCode::kCorrupt,
                 fmt::format("c.ini: key '{}' of section [gpt] is missing", key));
  }
}

TEST(FtConfig, WhatIsNoGraphOfBloomIsRefused) {
  for (const auto& entry :
       {std::pair("layernorm_type", "post_layernorm"), std::pair("layernorm_type", ""),
        std::pair("activation_type", "Relu"), std::pair("has_positional_encoding", "True"),
        std::pair("has_positional_encoding", "maybe"), std::pair("has_pre_decoder_layernorm", "False"),
        std::pair("has_post_decoder_layernorm", "0"), std::pair("use_attention_linear_bias", "False")}) {
    EXPECT_ERROR(read_ft_with(entry.first, entry.second), ErrorCode::kCorrupt,
                 fmt::format("c.ini: [gpt] {}={}: this version", entry.first, entry.second));
  }
  EXPECT_ERROR(read_ft_with("model_variant", "bloom-post"), ErrorCode::kCorrupt,
               "reads post_layernorm alone");
  EXPECT_ERROR(read_ft_with("model_variant", "bloom-mid"), ErrorCode::kCorrupt,
               "neither bloom-pre nor bloom-post");
  EXPECT_ERROR(read_ft_with("weight_data_type", "int8"), ErrorCode::kCorrupt, "is not fp32, fp16 or bf16");
  EXPECT_EQ(read_ft_with("activation_type", "gelu").heads, 4);
  EXPECT_EQ(read_ft_with("model_name", "").heads, 4);
}

TEST(FtConfig, NumbersAreTakenAsTheyStandOrRefused) {
  for (const char* key :
       {"num_layer", "head_num", "inter_size", "size_per_head", "vocab_size", "end_id", "start_id"}) {
    for (const char* value :
         {"+3", "3.0", "0x10", "1e3", "", "3_0", "3 4", "True", "99999999999999999999", "-2"})
      EXPECT_THROW(read_ft_with(key, value), Error) << key << "=" << value;
  }
  for (const char* value : {"1e300", "inf", "nan", "0x10", "-1e-5", "0", "0.0", "+1e-5", "", "1e-5f", "1,5"})
    EXPECT_THROW(read_ft_with("layernorm_eps", value), Error) << value;
  EXPECT_EQ(read_ft_with("layernorm_eps", "1e-3").norm_eps, 1e-3);
  // configparser trims blanks, and so do we.
  EXPECT_EQ(read_ft(parse_ini(std::string(kFtConfig).replace(std::string(kFtConfig).find("num_layer=2"), 11,
                                                             "num_layer = 3 "),
                              "c.ini"))
                .layers,
            3);
}

TEST(FtConfig, MinusOneIsNoId) {
  EXPECT_THAT(read_ft_with("end_id", "-1").end_ids, IsEmpty());
  EXPECT_THAT(read_ft_with("end_id", "-1").warnings, IsEmpty());
  EXPECT_EQ(read_ft_with("start_id", "-1").bos_id, -1);
  EXPECT_THAT(read_ft_with("end_id", "200").end_ids, IsEmpty());
  EXPECT_THAT(read_ft_with("end_id", "200").warnings, ElementsAre(HasSubstr("end_id 200 is outside")));
  // And as the converter writes it.
  ModelConfig none = read_ft(parse_ini(kFtConfig, "c.ini"));
  none.end_ids.clear();
  none.bos_id = -1;
  const IniText text = {
      {"gpt", find_family(parse_ini(kFtConfig, ""), "").ft->write_config(none, "m", 1, DType::kF32)}};
  EXPECT_THAT(format_ini(text), HasSubstr("start_id=-1\nend_id=-1\n"));
  EXPECT_THAT(read_ft(parse_ini(format_ini(text), "c.ini")).end_ids, IsEmpty());
}

TEST(OpenCheckpoint, NamesAFolderThatIsNotThere) {
  const auto open = [](const std::string& path) { return [path] { open_checkpoint(path); }; };
  EXPECT_EQ(error_mismatch(open("/nowhere/at/all"), ErrorCode::kNotFound,
                           "model folder not found: /nowhere/at/all"),
            "");
  for (const char* name : {"bigscience/bloom-560m", "openai-community/gpt2", "a1/b.c_d-e"}) {
    EXPECT_EQ(error_mismatch(
                  open(name), ErrorCode::kNotFound,
                  fmt::format("model folder not found: {}. That looks like a name on the Hugging Face hub: "
                              "download it first, with `huggingface-cli download {} ",
                              name, name)),
              "");
  }
  for (const char* name :
       {"bloom-560m", "./bigscience/bloom", "/bigscience/bloom", "a/b/c", "a/", "a b/c", "~/models"}) {
    const std::string unlike = error_mismatch(open(name), ErrorCode::kNotFound, "looks like a name on");
    EXPECT_NE(unlike, "") << name;
    EXPECT_EQ(
        error_mismatch(open(name), ErrorCode::kNotFound, fmt::format("model folder not found: {}", name)),
        "");
  }
  const TempFolder folder;
  folder.put("model.safetensors", "x");
  EXPECT_EQ(error_mismatch(open((folder.path() / "model.safetensors").string()), ErrorCode::kNotFound,
                           "model.safetensors is a file: name the folder that holds its config.json"),
            "");
  EXPECT_EQ(error_mismatch(open(folder.path().string()), ErrorCode::kNotFound, "has neither config.json"),
            "");
  // Where the owner's folder is there, the model's is missing in it.
  EXPECT_NE(error_mismatch(open("/"), ErrorCode::kNotFound, "not found"), "");
  EXPECT_ERROR(read_model_config({.path = "nobody/no-model", .data_type = {}, .dummy = true}),
               ErrorCode::kNotFound, "model folder not found: nobody/no-model. That looks like");
}

}  // namespace
}  // namespace bolide
