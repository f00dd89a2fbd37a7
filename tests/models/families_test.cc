// What the config files of GPT-2, OPT and LLaMA say, and what is refused.
#include <gmock/gmock.h>

#include "checkpoint/builders.h"
#include "models/gated_decoder.h"
#include "models/load_model.h"
#include "models/open_checkpoint.h"
#include "models/registry.h"
#include "models/rope_config.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelConfig read(Json config, const Json& changes = Json::object()) {
  config.update(changes);
  return find_family(config, "config.json").read_hf_config(config, "config.json");
}

const Json kGpt2 = {{"model_type", "gpt2"}, {"vocab_size", 100}, {"n_embd", 48},     {"n_head", 4},
                    {"n_layer", 2},         {"n_positions", 64}, {"bos_token_id", 1}};
const Json kLlama = {{"model_type", "llama"},    {"vocab_size", 100},      {"hidden_size", 48},
                     {"num_attention_heads", 4}, {"num_hidden_layers", 2}, {"intermediate_size", 80}};

TEST(Gpt2Config, DefaultsAreThoseOfTransformers) {
  const ModelConfig smallest = read({{"model_type", "gpt2"}});
  EXPECT_EQ(smallest.vocab_size, 50257);
  EXPECT_EQ(smallest.hidden_size, 768);
  EXPECT_EQ(smallest.inter_size, 3072);
  EXPECT_EQ(smallest.max_positions, 1024);
  EXPECT_EQ(smallest.bos_id, 50256);
  EXPECT_TRUE(smallest.tied_head);
  EXPECT_EQ(read(kGpt2, {{"n_inner", nullptr}}).inter_size, 192);
  EXPECT_EQ(read(kGpt2, {{"n_inner", 52}}).inter_size, 52);
  const ModelConfig twins = read(kGpt2, {{"max_position_embeddings", 32}, {"hidden_size", 24}});
  EXPECT_EQ(twins.max_positions, 32);
  EXPECT_EQ(twins.hidden_size, 24);
  EXPECT_THAT(twins.warnings, ElementsAre(HasSubstr("hidden_size is 24 and n_embd"),
                                          HasSubstr("max_position_embeddings is 32")));
}

TEST(Gpt2Config, WhatTheGraphHasNotIsRefused) {
  EXPECT_ERROR(read(kGpt2, {{"activation_function", "quick_gelu"}}), ErrorCode::kUnsupported,
               "config.json: activation 'quick_gelu' is not one that this version has (it has gelu, "
               "gelu_fast, gelu_new,");
  EXPECT_ERROR(read(kGpt2, {{"add_cross_attention", true}}), ErrorCode::kUnsupported,
               "add_cross_attention is true");
  EXPECT_ERROR(read(kGpt2, {{"n_head", 5}}), ErrorCode::kCorrupt,
               "hidden size 48 is not a multiple of its 5 heads");
  EXPECT_ERROR(read(kGpt2, {{"n_positions", 0}}), ErrorCode::kCorrupt, "the number of positions is 0");
  EXPECT_ERROR(read(kGpt2, {{"n_inner", -4}}), ErrorCode::kCorrupt, "the inner size is -4");
}

// As FT's converter writes it, and as ours does.
TEST(Gpt2Config, FtFolders) {
  const std::string ft =
      "[gpt]\nmodel_name = m\nhead_num = 4\nsize_per_head = 12\ninter_size = 192\nmax_pos_seq_len = 64\n"
      "num_layer = 2\nvocab_size = 100\nstart_id = 1\nend_id = 2\nweight_data_type = fp32\ntensor_para_size "
      "= 1\n";
  const auto read_ft = [](const std::string& text) {
    const Ini ini = parse_ini(text, "c.ini");
    return find_family(ini, "c.ini").ft->read_config(ini, "c.ini");
  };
  const ModelConfig config = read_ft(ft);
  EXPECT_EQ(config.architecture, "GPT2LMHeadModel");
  EXPECT_EQ(config.max_positions, 64);
  EXPECT_EQ(config.norm_eps, 1e-5);
  const FtFormat& format = *find_family(kGpt2, "").ft;
  const auto written = [&](const Json& changes) {
    return format_ini({{"gpt", format.write_config(read(kGpt2, changes), "m", 1, DType::kF32)}});
  };
  for (const char* activation : {"gelu_new", "relu"})
    EXPECT_EQ(read_ft(written({{"activation_function", activation}})).inter_size, 192);
  EXPECT_THAT(written(Json::object()),
              HasSubstr("max_pos_seq_len=64\nnum_layer=2\nvocab_size=100\nstart_id=1\nend_id=-1\n"));
  for (const char* relu : {"Relu", "RELU", "relu"})
    EXPECT_EQ(read_ft(ft + "activation_type = " + relu + "\n").inter_size, 192);
  Ini lost = parse_ini(ft, "c.ini");
  lost["gpt"].erase("max_pos_seq_len");  // not one of FT's GPT-2, and no variant says what else
  EXPECT_ERROR(
      find_family(lost, "c.ini"), ErrorCode::kUnsupported,
      "not an FT model that this version has (it has BloomForCausalLM, GPT2LMHeadModel, OPTForCausalLM)");
  EXPECT_ERROR(read_ft(ft + "has_positional_encoding = False\n"), ErrorCode::kCorrupt,
               "has_positional_encoding=False");
  EXPECT_ERROR(read_ft(ft + "activation_type = Silu\n"), ErrorCode::kCorrupt, "activation_type=Silu");
  EXPECT_ERROR(written({{"activation_function", "gelu"}}), ErrorCode::kUnsupported,
               "no room for the activation_function");
  EXPECT_ERROR(written({{"scale_attn_weights", false}}), ErrorCode::kUnsupported,
               "no room for scale_attn_weights");
  EXPECT_ERROR(written({{"scale_attn_by_inverse_layer_idx", true}}), ErrorCode::kUnsupported,
               "no room for scale_attn_by");
}

const Json kOpt = {{"model_type", "opt"}, {"vocab_size", 100},      {"hidden_size", 48},
                   {"ffn_dim", 80},       {"num_hidden_layers", 2}, {"num_attention_heads", 4}};

std::vector<std::string> weights_of(const Json& config) {
  const Family& family = find_family(config, "config.json");
  std::vector<std::string> names;
  for (const WeightSpec& spec : family.build(family.read_hf_config(config, "config.json"), {})->weights())
    if (!spec.name.starts_with("layers.1")) names.push_back(spec.name + spec.shape.str());
  return names;
}

TEST(OptConfig, DefaultsAreThoseOfTransformers) {
  const ModelConfig smallest = read({{"model_type", "opt"}});
  EXPECT_EQ(smallest.vocab_size, 50272);
  EXPECT_EQ(smallest.hidden_size, 768);
  EXPECT_EQ(smallest.inter_size, 3072);
  EXPECT_EQ(smallest.max_positions, 2048);
  EXPECT_EQ(smallest.projected_embedding, 0);
  EXPECT_EQ(smallest.bos_id, 2);
  EXPECT_TRUE(smallest.tied_head);
  EXPECT_EQ(read(kOpt, {{"word_embed_proj_dim", nullptr}}).projected_embedding, 0);
  EXPECT_EQ(read(kOpt, {{"word_embed_proj_dim", 48}}).projected_embedding, 0);
  EXPECT_ERROR(read(kOpt, {{"word_embed_proj_dim", 0}}), ErrorCode::kCorrupt,
               "the size of the embedding is 0");
  EXPECT_ERROR(read(kOpt, {{"max_position_embeddings", 0}}), ErrorCode::kCorrupt,
               "the number of positions is 0");
  EXPECT_ERROR(read(kOpt, {{"activation_function", "quick_gelu"}}), ErrorCode::kUnsupported,
               "activation 'quick_gelu'");
}

TEST(OptConfig, WeightsFollowTheSettings) {
  Json bare = kOpt;
  bare.update({{"word_embed_proj_dim", 20},
               {"enable_bias", false},
               {"layer_norm_elementwise_affine", false},
               {"max_position_embeddings", 7}});
  EXPECT_THAT(weights_of(bare),
              ElementsAre("embedding.weight[100, 20]", "project_in.weight[48, 20]",
                          "position_embedding.weight[7, 48]", "layers.0.attention.qkv.weight[144, 48]",
                          "layers.0.attention.out.weight[48, 48]", "layers.0.mlp.up.weight[80, 48]",
                          "layers.0.mlp.down.weight[48, 80]", "project_out.weight[20, 48]"));
  const auto last = [&](const char* key, bool value) {
    Json config = kOpt;
    config[key] = value;
    return weights_of(config).back();
  };
  EXPECT_EQ(last("enable_bias", true), "final_norm.bias[48]");
  EXPECT_EQ(last("do_layer_norm_before", false), "layers.0.mlp.down.bias[48]");
  EXPECT_EQ(last("_remove_final_layer_norm", true), "layers.0.mlp.down.bias[48]");
}

TEST(OptConfig, FtFolders) {
  const FtFormat& format = *find_family(kOpt, "").ft;
  const auto written = [&](const Json& changes) {
    return format_ini({{"gpt", format.write_config(read(kOpt, changes), "m", 1, DType::kF32)}});
  };
  const auto read_ft = [](const std::string& text) {
    const Ini ini = parse_ini(text, "c.ini");
    return find_family(ini, "c.ini").ft->read_config(ini, "c.ini");
  };
  const Json post = {{"do_layer_norm_before", false}};
  EXPECT_THAT(written(post), HasSubstr("layernorm_type=post_layernorm\nactivation_type=Relu\n"));
  EXPECT_THAT(written(post), HasSubstr("has_post_decoder_layernorm=False"));
  EXPECT_EQ(read_ft(written(post)).architecture, "OPTForCausalLM");
  EXPECT_EQ(read_ft(written(Json::object())).max_positions, 2048);
  EXPECT_EQ(read_ft(written({{"_remove_final_layer_norm", true}})).architecture, "OPTForCausalLM");
  // FT's converter names no variant: post-norm blocks are OPT's, and the others GPT-2's, which are alike.
  for (const bool pre : {true, false}) {
    Ini ini = parse_ini(written({{"do_layer_norm_before", pre}}), "c.ini");
    ini["gpt"].erase("model_variant");
    EXPECT_EQ(find_family(ini, "c.ini").model_type, pre ? "gpt2" : "opt");
    ini["gpt"]["model_variant"] = "opt";
    EXPECT_ERROR(find_family(ini, "c.ini").ft->read_config(ini, "c.ini"), ErrorCode::kCorrupt,
                 "model_variant=opt is neither opt-pre nor opt-post");
    ini["gpt"]["model_variant"] = pre ? "opt-post" : "opt-pre";
    EXPECT_ERROR(find_family(ini, "c.ini").ft->read_config(ini, "c.ini"), ErrorCode::kCorrupt,
                 pre ? "layernorm_type=pre_layernorm" : "layernorm_type=post_layernorm");
  }
  // What FT's own converter writes of opt-125m, of 350m, and of a model without a norm before the head.
  const auto as_ft_writes = [](const char* norm, int final_norm) {
    return parse_ini(
        fmt::format("[gpt]\nmodel_name = opt\nhead_num = 12\nsize_per_head = 64\ninter_size = 3072\n"
                    "max_pos_seq_len = 2048\nnum_layer = 12\nlayernorm_eps = 1e-5\n"
                    "layernorm_type = {}\nactivation_type = Relu\nhas_post_decoder_layernorm = {}\n"
                    "vocab_size = 50272\nstart_id = 2\nend_id = 2\nweight_data_type = fp16\n"
                    "int8 = False\n",
                    norm, final_norm),
        "c.ini");
  };
  for (const auto& [norm, final_norm, type] :
       {std::tuple{"pre_layernorm", 1, "gpt2"}, {"post_layernorm", 0, "opt"}, {"pre_layernorm", 0, "opt"}}) {
    const Ini ini = as_ft_writes(norm, final_norm);
    const Family& family = find_family(ini, "c.ini");
    EXPECT_EQ(family.model_type, type) << norm;
    EXPECT_EQ(family.ft->read_config(ini, "c.ini").layers, 12);
  }
  const auto refused = [&](const char* key, const Json& value) {
    EXPECT_ERROR(written({{key, value}}), ErrorCode::kUnsupported, fmt::format("no room for the {}", key));
  };
  refused("activation_function", "gelu");
  refused("word_embed_proj_dim", 20);
  refused("enable_bias", false);
  refused("layer_norm_elementwise_affine", false);
}

TEST(LlamaConfig, DefaultsAreThoseOfTransformers) {
  const ModelConfig config = read({{"model_type", "llama"}});
  EXPECT_EQ(config.hidden_size, 4096);
  EXPECT_EQ(config.inter_size, 11008);
  EXPECT_EQ(config.kv_heads, 32);
  EXPECT_EQ(config.head_size, 128);
  EXPECT_EQ(config.norm_eps, 1e-6);
  EXPECT_FALSE(config.tied_head);
  EXPECT_EQ(read(kLlama, {{"num_key_value_heads", 2}, {"head_dim", 20}}).head_size, 20);
  const ModelConfig nulls = read(kLlama, {{"num_key_value_heads", nullptr}, {"head_dim", nullptr}});
  EXPECT_EQ(nulls.kv_heads, 4);
  EXPECT_EQ(nulls.head_size, 12);
  EXPECT_ERROR(read(kLlama, {{"rms_norm_eps", 1e-50}}), ErrorCode::kCorrupt,
               "the epsilon of the layer norms is 1e-50");
  EXPECT_ERROR(read(kLlama, {{"num_key_value_heads", 3}}), ErrorCode::kCorrupt,
               "its 4 heads are not a multiple of its 3 key and value heads");
  EXPECT_ERROR(read(kLlama, {{"head_dim", 11}}), ErrorCode::kCorrupt,
               "11 of a head's 11 elements turn, and rotary positions turn pairs");
  EXPECT_ERROR(read(kLlama, {{"hidden_act", "xielu"}}), ErrorCode::kUnsupported, "activation 'xielu'");
}

TEST(MistralConfig, WindowsAreThoseOfTransformers) {
  const ModelConfig config = read({{"model_type", "mistral"}});
  EXPECT_EQ(config.inter_size, 14336);
  EXPECT_EQ(config.kv_heads, 8);
  EXPECT_EQ(config.windows, std::vector<int64_t>(32, 4096));
  EXPECT_EQ(config.cache_window(), 4096);
  Json small = kLlama;
  small["model_type"] = "mistral";
  EXPECT_EQ(read(small, {{"num_key_value_heads", nullptr}}).kv_heads, 4);
  small["num_key_value_heads"] = 2;
  EXPECT_EQ(read(small, {{"sliding_window", 7}}).windows, std::vector<int64_t>(2, 7));
  for (const Json& none : {Json(nullptr), Json(int64_t{1} << 40)})
    EXPECT_TRUE(read(small, {{"sliding_window", none}}).windows.empty()) << none;
  EXPECT_ERROR(read(small, {{"sliding_window", 0}}), ErrorCode::kCorrupt,
               "sliding_window is 0, not at least 1");
  // Its graph has no biases, whatever the file says.
  const ModelConfig biased = read(small, {{"attention_bias", true}});
  EXPECT_FALSE(std::any_cast<const DecoderGraph&>(biased.family_config).biases.qkv);
}

// A cache serves all layers: one that sees everything keeps it.
TEST(ModelConfig, TheCachesWindowIsTheWidest) {
  ModelConfig config;
  EXPECT_EQ(config.cache_window(), 0);
  config.windows = {5, 9};
  EXPECT_EQ(config.cache_window(), 9);
  config.windows = {5, 0};
  EXPECT_EQ(config.cache_window(), 0);
}

TEST(FindFamily, TheModelsTypeDecides) {
  const auto found = [](const Json& config) { return find_family(config, "c").model_type; };
  EXPECT_EQ(found({{"model_type", "gpt2"}, {"architectures", {"LlamaForCausalLM"}}}), "gpt2");
  EXPECT_EQ(found({{"model_type", "llama"}, {"architectures", {"SomethingOfTheirOwn"}}}), "llama");
  EXPECT_EQ(found({{"architectures", {"SomethingOfTheirOwn", "LlamaForCausalLM"}}}), "llama");
  EXPECT_ERROR(found({{"model_type", "mamba"}, {"architectures", {"LlamaForCausalLM"}}}),
               ErrorCode::kUnsupported, "architecture 'mamba' is not one");
}

RopeParameters rope(const Json& changes) {
  Json config = kLlama;
  config.update(changes);
  const ModelConfig sizes = read(config);
  return read_rope_parameters(config, {.positions = 2048}, sizes, "config.json");
}

TEST(RopeConfig, OldAndNewNames) {
  EXPECT_EQ(rope(Json::object()).rope_theta, 10000);
  EXPECT_EQ(rope({{"rope_theta", 5e5}, {"rope_scaling", nullptr}}).rope_theta, 5e5);
  EXPECT_EQ(rope({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 777}}}}).rope_theta, 777);
  const RopeParameters old =
      rope({{"rope_theta", 5e5}, {"rope_scaling", {{"type", "linear"}, {"factor", 2}}}});
  EXPECT_EQ(old.rope_type, RopeType::kLinear);
  EXPECT_EQ(old.factor, 2);
  EXPECT_EQ(old.rope_theta, 5e5);
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  EXPECT_EQ(rope({{"rope_scaling", llama3}}).original_max_position_embeddings, 8192);
  EXPECT_EQ(
      rope({{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}}, {"max_position_embeddings", 99}})
          .original_max_position_embeddings,
      99);
  EXPECT_EQ(
      rope({{"rope_scaling", {{"rope_type", "yarn"}, {"original_max_position_embeddings", 512}}}}).factor, 4);
}

TEST(RopeConfig, WhatNoKindCanHaveIsRefused) {
  const auto refused = [](const Json& scaling, ErrorCode code, const std::string& says) {
    EXPECT_ERROR(rope({{"rope_scaling", scaling}}), code, says) << scaling;
  };
  refused({{"rope_type", "3d"}}, ErrorCode::kUnsupported,
          "rope_type '3d' is not one that this version has (it has default, linear");
  refused("linear", ErrorCode::kCorrupt, "key 'rope_scaling' is not an object of settings");
  refused({{"type", "linear"}}, ErrorCode::kCorrupt, "key 'factor' of the rotary positions is missing");
  for (const Json& factor : {Json(0), Json(-1), Json(1e300)})
    refused({{"type", "linear"}, {"factor", factor}}, ErrorCode::kCorrupt,
            "factor of the rotary positions is");
  refused({{"type", "linear"}, {"factor", "2"}}, ErrorCode::kCorrupt, "key 'factor'");
  refused({{"rope_type", "llama3"}, {"factor", 8}}, ErrorCode::kCorrupt, "key 'low_freq_factor' is missing");
  refused({{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}},
          ErrorCode::kCorrupt, "high_freq_factor of the rotary positions is 4");
  refused({{"rope_type", "yarn"}, {"factor", 2}, {"original_max_position_embeddings", 0}},
          ErrorCode::kCorrupt, "original_max_position_embeddings of the rotary positions is 0");
  EXPECT_ERROR(rope({{"rope_theta", 0}}), ErrorCode::kCorrupt, "rope_theta of the rotary positions is 0");
  const Json yarn = {{"rope_type", "yarn"}, {"factor", 2}};
  EXPECT_ERROR(rope({{"rope_scaling", yarn}, {"partial_rotary_factor", 0.5}}), ErrorCode::kUnsupported,
               "partial_rotary_factor other than 1");
  EXPECT_ERROR(rope({{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2}}}, {"head_dim", 2}}),
               ErrorCode::kCorrupt, "'dynamic' needs a head size above 2");
  refused({{"rope_type", "longrope"}, {"short_factor", {1, 1}}, {"long_factor", {2, 2}}}, ErrorCode::kCorrupt,
          "short_factor of the rotary positions has 2 numbers, not 6");
  // null is not given.
  const Json nulls = {
      {"rope_type", "yarn"}, {"factor", 2}, {"attention_factor", nullptr}, {"beta_fast", nullptr}};
  EXPECT_EQ(rope({{"rope_scaling", nulls}}).beta_fast, 32);
  EXPECT_EQ(rope({{"rope_scaling", yarn}, {"original_max_position_embeddings", 77}})
                .original_max_position_embeddings,
            77);
}

// Of 16 dims, theta 10,000; values as transformers 5.24 gives them.
TEST(RopeFrequencies, AreThoseOfTransformers) {
  const auto expect = [](const RopeParameters& rope, const std::vector<float>& frequencies, float factor) {
    const std::vector<float> got = rope_frequencies(rope, 16);
    ASSERT_EQ(got.size(), frequencies.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_NEAR(got[i], frequencies[i], 2e-6f * frequencies[i] + 1e-9f);
    EXPECT_FLOAT_EQ(rope_attention_factor(rope), factor);
  };
  const RopeParameters yarn = {
      .rope_type = RopeType::kYarn, .factor = 4, .original_max_position_embeddings = 64};
  const std::vector<float> ramp = {1,       0.237170815f, 0.049999997f, 0.007905695f,
                                   0.0025f, 0.000790569f, 0.00025f,     7.9057e-05f};
  expect(yarn, ramp, 1.13862944f);
  RopeParameters more = yarn;
  more.mscale = 0.7;
  more.mscale_all_dim = 1.3;
  expect(more, ramp, 0.929523492f);
  more.attention_factor = 1.5;
  expect(more, ramp, 1.5f);
  more = yarn;
  more.beta_fast = 8;
  more.beta_slow = 2;
  expect(more, {1, 0.197642356f, 0.025f, 0.007905695f, 0.0025f, 0.000790569f, 0.00025f, 7.9057e-05f},
         1.13862944f);
  more = yarn;
  more.truncate = false;
  expect(more, {1, 0.198583528f, 0.02559525f, 0.007905695f, 0.0025f, 0.000790569f, 0.00025f, 7.9057e-05f},
         1.13862944f);
  expect({.rope_type = RopeType::kLinear, .factor = 3},
         {0.333333343f, 0.105409257f, 0.033333335f, 0.010540926f, 0.003333333f, 0.001054093f, 0.000333333f,
          0.000105409f},
         1);
  expect({.rope_type = RopeType::kLlama3, .factor = 8, .original_max_position_embeddings = 64},
         {1, 0.244384587f, 0.013042256f, 0.003952847f, 0.00125f, 0.000395285f, 0.000125f, 3.9528e-05f}, 1);
}

// One token whose prompt has the lengths at which they change.
TEST(RopeFrequencies, LongropeChangesWithTheLength) {
  const RopeParameters rope = {.rope_type = RopeType::kLongRope,
                               .factor = 4,
                               .original_max_position_embeddings = 32,
                               .short_factor = {1, 2},
                               .long_factor = {4, 5}};
  EXPECT_THAT(rope_frequencies(rope, 4), ElementsAre(1.0f, 0.005f));
  EXPECT_THAT(rope_long_frequencies(rope, 4), ElementsAre(0.25f, 0.002f));
  EXPECT_FLOAT_EQ(rope_attention_factor(rope), 1.18321596f);  // sqrt(1 + ln 4 / ln 32)
  EXPECT_EQ(rope_growth(rope).trained, 32);
}

TEST(RopeFrequencies, DynamicGrowsWithTheText) {
  const RopeParameters dynamic = {
      .rope_type = RopeType::kDynamic, .factor = 4, .original_max_position_embeddings = 32};
  const std::vector<float> plain = rope_frequencies({}, 8);
  EXPECT_THAT(plain, ElementsAre(1.0f, 0.1f, 0.01f, 0.001f));
  EXPECT_EQ(rope_frequencies(dynamic, 8), plain);
  Arena arena;
  const Context context{.arena = &arena};
  Rotary rotary(8, dynamic);
  rotary.prepare(context);
  // The sines of angles, at position 1: the frequencies.
  const auto sines = [&](int32_t prompt_length) {
    const std::vector<int32_t> ids = {7}, positions = {1}, offsets = {0, 1}, prompts = {prompt_length};
    BatchView batch;
    batch.token_ids = ids;
    batch.positions = positions;
    batch.query_offsets = offsets;
    batch.prompt_lengths = prompts;
    const RotaryAngles angles = rotary.angles(context, batch);
    const float* sin = angles.sin.as<float>();
    return std::vector<float>(sin, sin + 4);
  };
  const std::vector<float> within = sines(32), beyond = sines(33);
  EXPECT_EQ(sines(1), within);
  EXPECT_FLOAT_EQ(within[3], 0.001f);
  EXPECT_EQ(beyond[0], within[0]);
  EXPECT_LT(beyond[3], within[3]);
}

}  // namespace
}  // namespace bolide
