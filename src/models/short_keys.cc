#include "models/short_keys.h"

namespace bolide {
namespace {

constexpr TwinKeys kHiddenSize = {"hidden_size", "n_embd"};
constexpr TwinKeys kLayers = {"num_hidden_layers", "n_layer"};
constexpr TwinKeys kHeads = {"num_attention_heads", "n_head"};
constexpr TwinKeys kPositions = {"max_position_embeddings", "n_positions"};

}  // namespace

ModelConfig read_short_keys(const Json& json, const ShortKeyDefaults& defaults, std::string_view where) {
  ModelConfig config;
  config.architecture = defaults.architecture;
  config.vocab_size = json_get_or<int64_t>(json, "vocab_size", defaults.vocab_size, where);
  config.hidden_size = json_twin_or(json, kHiddenSize, defaults.hidden_size, where, config.warnings);
  config.layers = json_twin_or(json, kLayers, defaults.layers, where, config.warnings);
  config.heads = json_twin_or(json, kHeads, defaults.heads, where, config.warnings);
  if (defaults.positions > 0)
    config.max_positions = json_twin_or(json, kPositions, defaults.positions, where, config.warnings);
  config.norm_eps = json_get_or<double>(json, "layer_norm_epsilon", 1e-5, where);
  config.tied_head = json_get_or<bool>(json, "tie_word_embeddings", defaults.tied_head, where);
  config.kv_heads = config.heads;
  settle_head_size(config, where);
  config.inter_size = json_get_or<int64_t>(json, "n_inner", 4 * config.hidden_size, where);
  check_sizes(config, where);
  if (defaults.positions > 0) check_positions(config, where);
  config.bos_id = read_bos_id(json, 50256, where, config);
  return config;
}

Activation read_activation_function(const Json& json, const char* fallback, std::string_view where) {
  return parse_activation(json_get_or<std::string>(json, "activation_function", fallback, where), where);
}

}  // namespace bolide
