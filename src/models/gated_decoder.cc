#include "models/gated_decoder.h"

#include "models/config.h"
#include "models/rope_config.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"embedding", "model.embed_tokens"},
    {"layers.*.attention_norm", "model.layers.*.input_layernorm"},
    {"layers.*.attention.qkv/q", "model.layers.*.self_attn.q_proj"},
    {"layers.*.attention.qkv/k", "model.layers.*.self_attn.k_proj"},
    {"layers.*.attention.qkv/v", "model.layers.*.self_attn.v_proj"},
    {"layers.*.attention.out", "model.layers.*.self_attn.o_proj"},
    {"layers.*.mlp_norm", "model.layers.*.post_attention_layernorm"},
    {"layers.*.mlp.up/gate", "model.layers.*.mlp.gate_proj"},
    {"layers.*.mlp.up/up", "model.layers.*.mlp.up_proj"},
    {"layers.*.mlp.down", "model.layers.*.mlp.down_proj"},
    {"final_norm", "model.norm"},
    {"head", "lm_head"},
};
// Rotary tables that the first versions stored.
constexpr std::string_view kIgnored[] = {"rotary_emb.inv_freq"};

}  // namespace

constexpr NameTable kGatedDecoderNames = {.rows = kRows, .optional_prefix = "model.", .ignored = kIgnored};

ModelConfig read_gated_decoder(const Json& json, const GatedDecoderDefaults& defaults,
                               std::string_view architecture, std::string_view where) {
  ModelConfig config;
  config.architecture = architecture;
  config.vocab_size = json_get_or<int64_t>(json, "vocab_size", 32000, where);
  config.hidden_size = json_get_or<int64_t>(json, "hidden_size", defaults.hidden_size, where);
  config.inter_size = json_get_or<int64_t>(json, "intermediate_size", defaults.inter_size, where);
  config.gated_mlp = true;
  config.layers = json_get_or<int64_t>(json, "num_hidden_layers", 32, where);
  config.heads = json_get_or<int64_t>(json, "num_attention_heads", 32, where);
  // Null, and where the family has no number of its own: as many as heads.
  const bool says_kv_heads = json_find(json, "num_key_value_heads", where) != nullptr;
  config.kv_heads =
      json_get_or<int64_t>(json, "num_key_value_heads",
                           says_kv_heads || defaults.kv_heads == 0 ? config.heads : defaults.kv_heads, where);
  config.norm_eps = json_get_or<double>(json, "rms_norm_eps", 1e-6, where);
  config.tied_head = json_get_or<bool>(json, "tie_word_embeddings", false, where);
  settle_head_size(config, where);
  config.head_size = json_get_or<int64_t>(json, "head_dim", config.head_size, where);
  check_sizes(config, where);
  config.bos_id = read_bos_id(json, 1, where, config);
  config.rotary_dims = config.head_size;
  GatedDecoder graph;
  graph.rope = read_rope_parameters(json, defaults.positions, config, where);
  graph.activation = parse_activation(json_get_or<std::string>(json, "hidden_act", "silu", where), where);
  config.family_config = graph;
  return config;
}

std::unique_ptr<Model> build_gated_decoder(const ModelConfig& config, const Dist& dist) {
  const auto& graph = std::any_cast<const GatedDecoder&>(config.family_config);
  return make_decoder(config,
                      {.rms_norm = true,
                       .rotary = {config.rotary_dims, graph.rope},
                       .activation = graph.activation,
                       .attention_bias = graph.attention_bias,
                       .mlp_bias = graph.mlp_bias},
                      dist);
}

}  // namespace bolide
