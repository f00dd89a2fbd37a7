// What the configs of the families say that are no more than a graph, and what is refused.
#include <gtest/gtest.h>

#include "models/decoder.h"
#include "models/registry.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

ModelConfig read(const char* model_type, Json config = Json::object()) {
  config["model_type"] = model_type;
  return find_family(config, "config.json").read_hf_config(config, "config.json");
}
DecoderGraph graph(const char* model_type, const Json& config = Json::object()) {
  return std::any_cast<DecoderGraph>(read(model_type, config).family_config);
}

// As transformers 5.24's config classes have them.
TEST(DecoderFamilies, DefaultsAreThoseOfTransformers) {
  struct Row {
    const char* model_type;
    int64_t vocab, hidden, inter, layers, heads, kv_heads, head_size;
    int32_t bos_id;
    double eps;
    bool tied;
  };
  const Row rows[] = {
      {"codegen", 50400, 4096, 16384, 28, 16, 16, 256, 50256, 1e-05, false},
      {"falcon", 65024, 4544, 18176, 32, 71, 1, 64, 11, 1e-05, true},
      {"gemma", 256000, 3072, 24576, 28, 16, 16, 256, 2, 1e-06, true},
      {"gemma2", 256000, 2304, 9216, 26, 8, 4, 256, 2, 1e-06, true},
      {"gemma3_text", 262208, 2304, 9216, 26, 8, 4, 256, 2, 1e-06, true},
      {"gpt_bigcode", 50257, 768, 3072, 12, 12, 1, 64, 50256, 1e-05, true},
      {"gpt_neox", 50432, 6144, 24576, 44, 64, 64, 96, 0, 1e-05, false},
      {"gptj", 50400, 4096, 16384, 28, 16, 16, 256, 50256, 1e-05, false},
      {"mpt", 50368, 2048, 8192, 24, 16, 16, 128, -1, 1e-05, true},
      {"olmo2", 50304, 4096, 11008, 32, 32, 32, 128, -1, 1e-05, false},
      {"phi", 51200, 2048, 8192, 24, 32, 32, 64, 1, 1e-05, false},
      {"phi3", 32064, 3072, 8192, 32, 32, 32, 96, 1, 1e-05, false},
      {"qwen2", 151936, 4096, 22016, 32, 32, 32, 128, -1, 1e-06, false},
      {"qwen3", 151936, 4096, 22016, 32, 32, 32, 128, -1, 1e-06, false},
      {"smollm3", 128256, 2048, 11008, 36, 16, 4, 128, 128000, 1e-06, true},
      {"stablelm", 50304, 2560, 6912, 32, 32, 32, 80, 0, 1e-05, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.model_type);
    const ModelConfig config = read(row.model_type);
    EXPECT_EQ(config.vocab_size, row.vocab);
    EXPECT_EQ(config.hidden_size, row.hidden);
    EXPECT_EQ(config.inter_size, row.inter);
    EXPECT_EQ(config.layers, row.layers);
    EXPECT_EQ(config.heads, row.heads);
    EXPECT_EQ(config.kv_heads, row.kv_heads);
    EXPECT_EQ(config.head_size, row.head_size);
    EXPECT_EQ(config.bos_id, row.bos_id);
    EXPECT_EQ(config.norm_eps, row.eps);
    EXPECT_EQ(config.tied_head, row.tied);
  }
}

TEST(DecoderFamilies, WindowsByLayer) {
  using Windows = std::vector<int64_t>;
  EXPECT_TRUE(read("qwen2").windows.empty());
  const Json upper = {{"use_sliding_window", true},
                      {"sliding_window", 9},
                      {"max_window_layers", 1},
                      {"num_hidden_layers", 3}};
  EXPECT_EQ(read("qwen3", upper).windows, (Windows{0, 9, 9}));
  EXPECT_EQ(read("gemma2", {{"num_hidden_layers", 3}}).windows, (Windows{4096, 0, 4096}));
  const Json third = {{"num_hidden_layers", 3}, {"sliding_window_pattern", 3}, {"sliding_window", 8}};
  EXPECT_EQ(read("gemma3_text", third).windows, (Windows{8, 8, 0}));
  EXPECT_EQ(graph("gemma3_text", third).layer_rotary, (Windows{1, 1, 0}));
  const Json types = {{"num_hidden_layers", 2}, {"layer_types", {"full_attention", "sliding_attention"}}};
  EXPECT_EQ(read("gemma2", types).windows, (Windows{0, 4096}));
  EXPECT_ERROR(read("gemma2", {{"num_hidden_layers", 2}, {"layer_types", {"full_attention"}}}),
               ErrorCode::kCorrupt, "layer_types has 1 layers, and the model 2");
  EXPECT_ERROR(read("gemma2", {{"num_hidden_layers", 1}, {"layer_types", {"chunked_attention"}}}),
               ErrorCode::kUnsupported, "layer type 'chunked_attention' is not one");
  EXPECT_EQ(graph("smollm3", {{"num_hidden_layers", 5}}).layer_rotary, (Windows{0, 0, 0, -1, 0}));
}

TEST(DecoderFamilies, CapsAndScales) {
  EXPECT_EQ(graph("gemma2").logit_soft_cap, 30);
  EXPECT_EQ(graph("gemma2", {{"attn_logit_softcapping", nullptr}}).attention_soft_cap, 0);
  EXPECT_EQ(graph("gemma3_text").attention_soft_cap, 0);
  EXPECT_EQ(graph("gemma3_text", {{"attn_logit_softcapping", 1.0}}).attention_soft_cap, 0);
  EXPECT_EQ(read("gemma3_text", {{"attn_logit_softcapping", 1.0}}).warnings.size(), 1u);
  EXPECT_EQ(graph("gemma", {{"hidden_act", "gelu"}}).activation, Activation::kGeluTanh);
  EXPECT_EQ(graph("gemma", {{"hidden_act", "gelu_python"}}).activation, Activation::kGeluErf);
  EXPECT_EQ(graph("gemma2", {{"query_pre_attn_scalar", 64}}).attention_scales.front(), 0.125f);
  EXPECT_EQ(graph("gemma", {{"hidden_size", 64}}).embedding_scale, 8);
  EXPECT_ERROR(read("gemma2", {{"final_logit_softcapping", -1}}), ErrorCode::kCorrupt,
               "final_logit_softcapping is -1, not above 0");
  EXPECT_ERROR(read("gemma2", {{"query_pre_attn_scalar", 0}}), ErrorCode::kCorrupt,
               "query_pre_attn_scalar is 0, not above 0");
}

// transformers adds rope_scaling to the full layers' table.
TEST(DecoderFamilies, RopeOfGemma3) {
  const auto full = [](const Json& config) { return graph("gemma3_text", config).rotaries[0].parameters(); };
  const Json tables = {{"full_attention", {{"rope_theta", 777}}}};
  EXPECT_EQ(full(Json::object()).rope_theta, 1e6);
  const RopeParameters both =
      full({{"rope_parameters", tables}, {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8}}}});
  EXPECT_EQ(both.rope_theta, 777);
  EXPECT_EQ(both.rope_type, RopeType::kLinear);
  EXPECT_EQ(full({{"rope_scaling", {{"type", "linear"}, {"factor", 8}}}}).rope_type, RopeType::kDefault);
}

// With their heads' sizes from what transformers computes: 12 heads are 8 of 16, then 4 of the others.
TEST(DecoderFamilies, SlopesOfMptAndFalcon) {
  const std::vector<float> slopes = graph("mpt", {{"n_heads", 3}, {"d_model", 24}}).alibi_slopes;
  EXPECT_EQ(slopes, (std::vector<float>{0x1p-4f, 0x1p-8f, 0x1p-2f}));
  EXPECT_EQ(graph("mpt", {{"n_heads", 2}, {"d_model", 24}}).alibi_slopes,
            (std::vector<float>{0x1p-4f, 0x1p-8f}));
  const Json other = {{"n_heads", 2}, {"d_model", 24}, {"attn_config", {{"alibi_bias_max", 16}}}};
  EXPECT_EQ(graph("mpt", other).alibi_slopes, (std::vector<float>{0x1p-4f, 0x1p-8f}));
  EXPECT_EQ(read("mpt", other).warnings.size(), 1u);
  const Json falcon = {{"alibi", true}, {"num_attention_heads", 2}, {"hidden_size", 32}};
  EXPECT_EQ(graph("falcon", falcon).alibi_slopes, (std::vector<float>{0x1p-6f, 0x1p-10f}));
}

TEST(DecoderFamilies, WhatAGraphHasNotIsRefused) {
  const auto refused = [](const char* model_type, const Json& config, ErrorCode code, const char* says) {
    EXPECT_ERROR(read(model_type, config), code, says) << model_type << " " << config;
  };
  constexpr ErrorCode kUnsupported = ErrorCode::kUnsupported, kCorrupt = ErrorCode::kCorrupt;
  refused("gptj", {{"rotary_dim", nullptr}}, kUnsupported, "rotary_dim is null");
  refused("gptj", {{"rotary_dim", 300}}, kCorrupt, "rotary_dim is 300, not an even number up to");
  refused("codegen", {{"n_embd", 66}, {"n_head", 1}}, kCorrupt, "the hidden size is 66, not a multiple of");
  refused("gpt_bigcode", {{"add_cross_attention", true}}, kUnsupported, "add_cross_attention is true");
  refused("gpt_neox", {{"rotary_pct", 0.001}}, kCorrupt, "0 of a head's 96 elements turn");
  refused("phi3", {{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}, kUnsupported,
          "this family has no other rope_type than default and longrope");
  refused("gemma", {{"use_bidirectional_attention", true}}, kUnsupported,
          "use_bidirectional_attention is true");
  refused("gemma3_text", {{"attention_bias", true}}, kUnsupported, "attention_bias is true");
  refused("gemma3_text", {{"sliding_window_pattern", 0}}, kCorrupt, "sliding_window_pattern is 0");
  refused("olmo2", {{"attention_bias", true}}, kUnsupported, "attention_bias is true");
  refused("smollm3", {{"no_rope_layers", {1}}}, kCorrupt, "no_rope_layers has 1 layers, and the model 36");
  refused("smollm3", {{"no_rope_layer_interval", 0}}, kCorrupt, "no_rope_layer_interval is 0");
  refused("falcon", {{"new_decoder_architecture", true}, {"parallel_attn", false}}, kUnsupported,
          "do not go together");
  refused("falcon", {{"num_ln_in_parallel_attn", 2}}, kUnsupported, "do not go together");
  for (const char* key : {"qk_ln", "prefix_lm", "clip_qkv"}) {
    Json attention;
    attention[key] = std::string(key) == "clip_qkv" ? Json(6.0) : Json(true);
    refused("mpt", {{"attn_config", attention}}, kUnsupported, key);
  }
  refused("mpt", {{"attn_config", {{"alibi", false}}}}, kUnsupported, "MPT without alibi");
  EXPECT_EQ(read("mpt", {{"expansion_ratio", 2}, {"logit_scale", 0.5}}).warnings.size(), 2u);
}

}  // namespace
}  // namespace bolide
