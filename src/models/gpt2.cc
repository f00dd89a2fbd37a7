#include "models/gpt2.h"

#include <cmath>

#include "models/config.h"
#include "models/decoder.h"
#include "models/ft_gpt.h"
#include "models/short_keys.h"

namespace bolide {
namespace {

struct Gpt2 {
  Activation activation = Activation::kGeluTanh;
  bool scale_attention = true;            // scale_attn_weights
  bool scale_attention_by_layer = false;  // scale_attn_by_inverse_layer_idx
};

constexpr NameRow kRows[] = {
    {"embedding", "transformer.wte"},
    {"position_embedding", "transformer.wpe"},
    {"layers.*.attention_norm", "transformer.h.*.ln_1"},
    {"layers.*.attention.qkv", "transformer.h.*.attn.c_attn", Layout::kTransposed},
    {"layers.*.attention.out", "transformer.h.*.attn.c_proj", Layout::kTransposed},
    {"layers.*.mlp_norm", "transformer.h.*.ln_2"},
    {"layers.*.mlp.up", "transformer.h.*.mlp.c_fc", Layout::kTransposed},
    {"layers.*.mlp.down", "transformer.h.*.mlp.c_proj", Layout::kTransposed},
    {"final_norm", "transformer.ln_f"},
    {"head", "lm_head"},
};
constexpr std::string_view kIgnored[] = {"attn.bias", "attn.masked_bias"};
// The first GPT-2 files have no prefix.
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "transformer.", .ignored = kIgnored};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  // transformers' defaults are the sizes of the smallest GPT-2.
  ModelConfig config = read_short_keys(json, {.architecture = kGpt2Family.architecture}, where);
  json_must_be_off(json, "add_cross_attention", where);
  Gpt2 gpt2;
  gpt2.activation = read_activation_function(json, "gelu_new", where);
  gpt2.scale_attention = json_get_or<bool>(json, "scale_attn_weights", true, where);
  gpt2.scale_attention_by_layer = json_get_or<bool>(json, "scale_attn_by_inverse_layer_idx", false, where);
  json_get_or<bool>(json, "reorder_and_upcast_attn", false, where);  // the same sums: they are fp32 here
  config.family_config = gpt2;
  return config;
}

// --- FasterTransformer

bool matches_ft(const Ini& ini) { return ft_gpt_variant(ini) == "gpt"; }

// FT's converter writes none of it, and its runtime takes it for granted.
FtGraph graph_of(const Gpt2& gpt2) { return {.activation = gpt2.activation}; }

ModelConfig read_ft_config(const Ini& ini, std::string_view where) {
  ModelConfig config = read_ft_gpt(ini, where);
  config.architecture = kGpt2Family.architecture;
  read_ft_positions(ini, where, config);
  Gpt2 gpt2;
  if (ini_says(ini, "gpt", "activation_type", "Relu")) gpt2.activation = Activation::kRelu;
  check_ft_graph(ini, graph_of(gpt2), false, where);
  config.family_config = gpt2;
  return config;
}

IniKeys write_ft_config(const ModelConfig& config, const std::string& model_name, int tensor_para_size,
                        DType dtype) {
  const auto& gpt2 = std::any_cast<const Gpt2&>(config.family_config);
  const bool has_activation =
      gpt2.activation == Activation::kGeluTanh || gpt2.activation == Activation::kRelu;
  if (!has_activation || !gpt2.scale_attention || gpt2.scale_attention_by_layer) {
    fail(ErrorCode::kUnsupported,
         "FasterTransformer's GPT has no room for {} of this config.json: run the Hugging Face folder itself",
         !has_activation         ? "the activation_function"
         : !gpt2.scale_attention ? "scale_attn_weights"
                                 : "scale_attn_by_inverse_layer_idx");
  }
  return write_ft_gpt(config, model_name, tensor_para_size, dtype, "gpt", graph_of(gpt2));
}

constexpr FtFormat kFt = {matches_ft, read_ft_config, write_ft_config, kFtGptNames};

std::unique_ptr<Model> build(const ModelConfig& config, const Dist& dist) {
  const auto& gpt2 = std::any_cast<const Gpt2&>(config.family_config);
  DecoderGraph graph{.learned_positions = config.max_positions, .activation = gpt2.activation};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const float scale = gpt2.scale_attention ? 1.0f / std::sqrt(static_cast<float>(config.head_size)) : 1.0f;
    graph.attention_scales.push_back(gpt2.scale_attention_by_layer ? scale / static_cast<float>(layer + 1)
                                                                   : scale);
  }
  return make_decoder(config, graph, dist);
}

}  // namespace

const Family kGpt2Family = {"GPT2LMHeadModel", "gpt2", read_hf_config, kHfNames, &kFt, build};

}  // namespace bolide
