#include "models/falcon.h"

#include <cmath>

#include "models/config.h"
#include "models/decoder.h"
#include "models/rope_config.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"embedding", "transformer.word_embeddings"},
    {"layers.*.attention_norm", "transformer.h.*.input_layernorm"},
    {"layers.*.attention_norm", "transformer.h.*.ln_attn"},
    {"layers.*.attention.qkv", "transformer.h.*.self_attention.query_key_value", Layout::kHeadInterleaved},
    {"layers.*.attention.out", "transformer.h.*.self_attention.dense"},
    {"layers.*.mlp_norm", "transformer.h.*.post_attention_layernorm"},
    {"layers.*.mlp_norm", "transformer.h.*.ln_mlp"},
    {"layers.*.mlp.up", "transformer.h.*.mlp.dense_h_to_4h"},
    {"layers.*.mlp.down", "transformer.h.*.mlp.dense_4h_to_h"},
    {"final_norm", "transformer.ln_f"},
    {"head", "lm_head"},
};
constexpr std::string_view kIgnored[] = {"rotary_emb.inv_freq"};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "transformer.", .ignored = kIgnored};

constexpr TwinKeys kHiddenSize = {"n_embed", "hidden_size"};

// Which norms a block has: the newer layout has two beside each other, unless it says one.
Residual read_residual(const Json& json, bool new_layout, std::string_view where) {
  const bool parallel = json_get_or<bool>(json, "parallel_attn", true, where);
  const auto norms = json_get_or<int64_t>(json, "num_ln_in_parallel_attn", new_layout ? 2 : 1, where);
  if (norms < 1 || norms > 2 || (new_layout ? !parallel : parallel && norms != 1)) {
    fail(
        ErrorCode::kUnsupported,
        "{}: new_decoder_architecture {}, parallel_attn {} and num_ln_in_parallel_attn {} do not go together",
        where, new_layout, parallel, norms);
  }
  if (!parallel) return Residual::kSequential;
  return norms == 2 ? Residual::kParallel : Residual::kParallelSharedNorm;
}

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read;
  ModelConfig& config = read.model;
  config.architecture = kFalconFamily.architecture;
  config.vocab_size = json_get_or<int64_t>(json, "vocab_size", 65024, where);
  config.hidden_size = json_twin_or(json, kHiddenSize, 4544, where, config.warnings);
  config.layers = json_get_or<int64_t>(json, "num_hidden_layers", 32, where);
  config.heads = json_get_or<int64_t>(json, "num_attention_heads", 71, where);
  config.norm_eps = json_get_or<double>(json, "layer_norm_epsilon", 1e-5, where);
  config.tied_head = json_get_or<bool>(json, "tie_word_embeddings", true, where);
  const bool new_layout = json_get_or<bool>(json, "new_decoder_architecture", false, where);
  const bool one_kv_head = !new_layout && json_get_or<bool>(json, "multi_query", true, where);
  config.kv_heads = one_kv_head  ? 1
                    : new_layout ? json_get_or<int64_t>(json, "num_kv_heads", config.heads, where)
                                 : config.heads;
  settle_head_size(config, where);
  config.inter_size = json_get_or<int64_t>(json, "ffn_hidden_size", 4 * config.hidden_size, where);
  check_sizes(config, where);
  config.bos_id = read_bos_id(json, 11, where, config);
  DecoderGraph& graph = read.graph;
  graph.activation = parse_activation(json_get_or<std::string>(json, "activation", "gelu", where), where);
  graph.form.residual = read_residual(json, new_layout, where);
  const bool bias = json_get_or<bool>(json, "bias", false, where);
  graph.biases = {.qkv = bias, .attention_out = bias, .mlp = bias};
  if (json_get_or<bool>(json, "alibi", false, where)) {
    // Added before the scores are scaled, so that both are. transformers rounds slopes, and what it makes of
    // them, to bf16; here the slopes alone are.
    graph.alibi_slopes = alibi_slopes(config.heads);
    const float scale = 1.0f / std::sqrt(static_cast<float>(config.head_size));
    for (float& slope : graph.alibi_slopes) slope = to_float(from_float<bf16>(slope)) * scale;
  } else {
    const RopeParameters rope = read_rope_parameters(json, {.positions = 2048}, config, where);
    graph.rotaries = {Rotary(config.head_size, rope)};
  }
  return settle(std::move(read));
}

}  // namespace

const Family kFalconFamily = {"FalconForCausalLM", "falcon", read_hf_config, kHfNames, nullptr,
                              build_decoder};

}  // namespace bolide
