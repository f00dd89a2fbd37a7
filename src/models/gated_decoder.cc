#include "models/gated_decoder.h"

#include <algorithm>

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
    {"layers.*.attention.q_norm", "model.layers.*.self_attn.q_norm"},
    {"layers.*.attention.k_norm", "model.layers.*.self_attn.k_norm"},
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

DecoderConfig read_gated_decoder(const Json& json, const GatedDecoderDefaults& defaults,
                                 std::string_view where) {
  ModelConfig config;
  config.architecture = defaults.architecture;
  config.vocab_size = json_get_or<int64_t>(json, "vocab_size", defaults.vocab_size, where);
  config.hidden_size = json_get_or<int64_t>(json, "hidden_size", defaults.hidden_size, where);
  config.inter_size = json_get_or<int64_t>(json, "intermediate_size", defaults.inter_size, where);
  config.gated_mlp = defaults.gated_mlp;
  config.layers = json_get_or<int64_t>(json, "num_hidden_layers", defaults.layers, where);
  config.heads = json_get_or<int64_t>(json, "num_attention_heads", defaults.heads, where);
  // Null, and where the family has no number of its own: as many as heads.
  const bool says_kv_heads = json_find(json, "num_key_value_heads", where) != nullptr;
  config.kv_heads = config.heads;
  if (defaults.reads_kv_heads) {
    const int64_t otherwise = says_kv_heads || defaults.kv_heads == 0 ? config.heads : defaults.kv_heads;
    config.kv_heads = json_get_or<int64_t>(json, "num_key_value_heads", otherwise, where);
  }
  config.norm_eps = json_get_or<double>(json, defaults.eps_key, defaults.eps, where);
  config.tied_head = json_get_or<bool>(json, "tie_word_embeddings", defaults.tied_head, where);
  const bool given = defaults.reads_head_size && json_is_given(json, "head_dim", where);
  if (given || defaults.head_size > 0) {
    config.head_size = given ? json_get<int64_t>(json, "head_dim", where) : defaults.head_size;
  } else {
    settle_head_size(config, where);
  }
  check_sizes(config, where);
  config.bos_id = read_bos_id(json, defaults.bos_id, where, config);
  const RopeParameters rope = read_rope_parameters(json, defaults.rope, config, where);
  DecoderGraph graph = {
      .rms_norm = defaults.rms_norm,
      .rotaries = {Rotary(rotary_dims(rope, config), rope)},
      .activation = parse_activation(
          json_get_or<std::string>(json, defaults.activation_key, defaults.activation, where), where),
      .biases = {.qkv = false, .attention_out = false, .mlp = false}};
  return {std::move(config), std::move(graph)};
}

std::vector<bool> read_sliding_layers(const Json& json, int64_t layers,
                                      const std::function<bool(int64_t)>& slides, std::string_view where) {
  constexpr NamedValue<bool> kKinds[] = {{"full_attention", false}, {"sliding_attention", true}};
  const auto types = json_get_or<std::vector<std::string>>(json, "layer_types", {}, where);
  if (!types.empty() && std::ssize(types) != layers)
    fail(ErrorCode::kCorrupt, "{}: layer_types has {} layers, and the model {}", where, types.size(), layers);
  std::vector<bool> sliding;
  for (int64_t i = 0; i < layers; ++i) {
    sliding.push_back(types.empty() ? slides(i)
                                    : value_of(kKinds, "layer type", types[static_cast<size_t>(i)], where));
  }
  return sliding;
}

void set_windows(int64_t window, const std::vector<bool>& sliding, ModelConfig& config) {
  if (window == 0 || std::find(sliding.begin(), sliding.end(), true) == sliding.end()) return;
  for (const bool slides : sliding) config.windows.push_back(slides ? window : 0);
}

void read_upper_windows(const Json& json, ModelConfig& config, std::string_view where) {
  const bool uses = json_get_or<bool>(json, "use_sliding_window", false, where);
  const auto first = json_get_or<int64_t>(json, "max_window_layers", 28, where);
  const int64_t window = uses ? read_sliding_window(json, 4096, where) : 0;
  const auto is_upper = [&](int64_t layer) { return layer >= first; };
  set_windows(window, read_sliding_layers(json, config.layers, is_upper, where), config);
}

}  // namespace bolide
