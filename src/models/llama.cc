#include "models/llama.h"

#include "models/config.h"
#include "models/decoder.h"
#include "models/rope_config.h"

namespace bolide {
namespace {

struct Llama {
  RopeParameters rope;
  Activation activation = Activation::kSilu;
  bool attention_bias = false, mlp_bias = false;
};

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
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "model.", .ignored = kIgnored};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  ModelConfig config;
  config.architecture = kLlamaFamily.architecture;
  config.vocab_size = json_get_or<int64_t>(json, "vocab_size", 32000, where);
  config.hidden_size = json_get_or<int64_t>(json, "hidden_size", 4096, where);
  config.inter_size = json_get_or<int64_t>(json, "intermediate_size", 11008, where);
  config.gated_mlp = true;
  config.layers = json_get_or<int64_t>(json, "num_hidden_layers", 32, where);
  config.heads = json_get_or<int64_t>(json, "num_attention_heads", 32, where);
  config.kv_heads = json_get_or<int64_t>(json, "num_key_value_heads", config.heads, where);
  config.norm_eps = json_get_or<double>(json, "rms_norm_eps", 1e-6, where);
  config.tied_head = json_get_or<bool>(json, "tie_word_embeddings", false, where);
  settle_head_size(config, where);
  config.head_size = json_get_or<int64_t>(json, "head_dim", config.head_size, where);
  check_sizes(config, where);
  config.bos_id = read_bos_id(json, 1, where, config);
  config.rotary_dims = config.head_size;
  Llama llama;
  llama.rope = read_rope_parameters(json, 2048, config, where);
  llama.activation = parse_activation(json_get_or<std::string>(json, "hidden_act", "silu", where), where);
  llama.attention_bias = json_get_or<bool>(json, "attention_bias", false, where);
  llama.mlp_bias = json_get_or<bool>(json, "mlp_bias", false, where);
  config.family_config = llama;
  return config;
}

std::unique_ptr<Model> build(const ModelConfig& config, const Dist& dist) {
  const auto& llama = std::any_cast<const Llama&>(config.family_config);
  return make_decoder(config,
                      {.rms_norm = true,
                       .rotary = {config.rotary_dims, llama.rope},
                       .activation = llama.activation,
                       .attention_bias = llama.attention_bias,
                       .mlp_bias = llama.mlp_bias},
                      dist);
}

}  // namespace

const Family kLlamaFamily = {"LlamaForCausalLM", "llama", read_hf_config, kHfNames, nullptr, build};

}  // namespace bolide
