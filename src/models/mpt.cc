#include "models/mpt.h"

#include <cmath>

#include "models/config.h"
#include "models/decoder.h"
#include "models/rope_config.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"embedding", "transformer.wte"},
    {"layers.*.attention_norm", "transformer.blocks.*.norm_1"},
    {"layers.*.attention.qkv", "transformer.blocks.*.attn.Wqkv"},
    {"layers.*.attention.out", "transformer.blocks.*.attn.out_proj"},
    {"layers.*.mlp_norm", "transformer.blocks.*.norm_2"},
    {"layers.*.mlp.up", "transformer.blocks.*.ffn.up_proj"},
    {"layers.*.mlp.down", "transformer.blocks.*.ffn.down_proj"},
    {"final_norm", "transformer.norm_f"},
    {"head", "lm_head"},
};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "transformer."};

constexpr TwinKeys kHiddenSize = {"hidden_size", "d_model"};
constexpr TwinKeys kLayers = {"num_hidden_layers", "n_layers"};
constexpr TwinKeys kHeads = {"num_attention_heads", "n_heads"};

// Where heads are no power of two, those of the next one: the even ones first.
std::vector<float> slopes_of(int64_t heads) {
  constexpr double kMaxBias = 8;
  int64_t power = 1;
  while (power < heads) power *= 2;
  const auto slope = [&](int64_t i) {  // i from 1
    const float exponent = static_cast<float>(i) * static_cast<float>(kMaxBias / static_cast<double>(power));
    return 1.0f / std::pow(2.0f, exponent);
  };
  std::vector<float> slopes;
  for (int64_t i = power == heads ? 1 : 2; i <= power; i += power == heads ? 1 : 2)
    slopes.push_back(slope(i));
  for (int64_t i = 1; i <= power && power != heads; i += 2) slopes.push_back(slope(i));
  slopes.resize(static_cast<size_t>(heads));
  return slopes;
}

// attn_config, of which transformers reads these alone.
void read_attention(const Json& json, DecoderConfig& read, std::string_view where) {
  static const Json kNone = Json::object();
  const Json* found = find_object(json, "attn_config", where);
  const Json& attention = found ? *found : kNone;
  const auto refuse = [&](bool on, const char* what) {
    if (on) fail(ErrorCode::kUnsupported, "{}: attn_config: this version has no {}", where, what);
  };
  refuse(!json_get_or<bool>(attention, "alibi", true, where), "MPT without alibi");
  refuse(json_get_or<bool>(attention, "qk_ln", false, where), "qk_ln");
  refuse(json_get_or<bool>(attention, "prefix_lm", false, where), "prefix_lm");
  refuse(json_get_or<double>(attention, "clip_qkv", 0, where) != 0, "clip_qkv");
  refuse(
      json_get_or<std::string>(attention, "attn_type", "multihead_attention", where) != "multihead_attention",
      "other attn_type than multihead_attention");
  if (json_get_or<double>(attention, "alibi_bias_max", 8, where) != 8) {
    read.model.warnings.push_back(
        fmt::format("{}: alibi_bias_max is left out, as in transformers: that of MPT is 8", where));
  }
  read.graph.alibi_slopes = slopes_of(read.model.heads);
  const float scale = read_optional_number(attention, "softmax_scale", 0, where);
  if (scale > 0) read.graph.attention_scales.assign(static_cast<size_t>(read.model.layers), scale);
}

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read;
  ModelConfig& config = read.model;
  config.architecture = kMptFamily.architecture;
  config.vocab_size = json_get_or<int64_t>(json, "vocab_size", 50368, where);
  config.hidden_size = json_twin_or(json, kHiddenSize, 2048, where, config.warnings);
  config.layers = json_twin_or(json, kLayers, 24, where, config.warnings);
  config.heads = json_twin_or(json, kHeads, 16, where, config.warnings);
  config.norm_eps = json_get_or<double>(json, "layer_norm_epsilon", 1e-5, where);
  config.tied_head = json_get_or<bool>(json, "tie_word_embeddings", true, where);
  config.kv_heads = config.heads;
  settle_head_size(config, where);
  config.inter_size = 4 * config.hidden_size;
  check_sizes(config, where);
  config.bos_id = read_bos_id(json, -1, where, config);
  if (json_get_or<int64_t>(json, "expansion_ratio", 4, where) != 4) {
    config.warnings.push_back(
        fmt::format("{}: expansion_ratio is left out, as in transformers: that of MPT is 4", where));
  }
  if (json_is_given(json, "logit_scale", where))
    config.warnings.push_back(fmt::format("{}: logit_scale is left out, as in transformers", where));
  DecoderGraph& graph = read.graph;
  graph.norm_parameters = NormParameters::kWeights;
  graph.activation = Activation::kGeluErf;
  graph.biases = {.qkv = false, .attention_out = false, .mlp = false};
  read_attention(json, read, where);
  return settle(std::move(read));
}

}  // namespace

const Family kMptFamily = {"MptForCausalLM", "mpt", read_hf_config, kHfNames, nullptr, build_decoder};

}  // namespace bolide
