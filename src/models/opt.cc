#include "models/opt.h"

#include "models/config.h"
#include "models/decoder.h"
#include "models/ft_gpt.h"

namespace bolide {
namespace {

struct Opt {
  Activation activation = Activation::kRelu;
  bool pre_norm = true;  // do_layer_norm_before; 350m's is false
  bool final_norm = true;
  bool bias = true;             // enable_bias
  bool norm_parameters = true;  // layer_norm_elementwise_affine
};

constexpr NameRow kRows[] = {
    {"embedding", "model.decoder.embed_tokens"},
    {"project_in", "model.decoder.project_in"},
    // Positions count from 2: the rows before are those of padding, which no text here has.
    {"position_embedding", "model.decoder.embed_positions", Layout::kAsIs, 2},
    {"layers.*.attention_norm", "model.decoder.layers.*.self_attn_layer_norm"},
    {"layers.*.attention.qkv/q", "model.decoder.layers.*.self_attn.q_proj"},
    {"layers.*.attention.qkv/k", "model.decoder.layers.*.self_attn.k_proj"},
    {"layers.*.attention.qkv/v", "model.decoder.layers.*.self_attn.v_proj"},
    {"layers.*.attention.out", "model.decoder.layers.*.self_attn.out_proj"},
    {"layers.*.mlp_norm", "model.decoder.layers.*.final_layer_norm"},
    {"layers.*.mlp.up", "model.decoder.layers.*.fc1"},
    {"layers.*.mlp.down", "model.decoder.layers.*.fc2"},
    {"final_norm", "model.decoder.final_layer_norm"},
    {"project_out", "model.decoder.project_out"},
    {"head", "lm_head"},
};
constexpr std::string_view kIgnored[] = {"decoder.version"};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "model.", .ignored = kIgnored};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  ModelConfig config;
  config.architecture = kOptFamily.architecture;
  // transformers' defaults are the sizes of the smallest OPT.
  config.vocab_size = json_get_or<int64_t>(json, "vocab_size", 50272, where);
  config.hidden_size = json_get_or<int64_t>(json, "hidden_size", 768, where);
  config.inter_size = json_get_or<int64_t>(json, "ffn_dim", 3072, where);
  config.layers = json_get_or<int64_t>(json, "num_hidden_layers", 12, where);
  config.heads = json_get_or<int64_t>(json, "num_attention_heads", 12, where);
  config.max_positions = json_get_or<int64_t>(json, "max_position_embeddings", 2048, where);
  config.tied_head = json_get_or<bool>(json, "tie_word_embeddings", true, where);
  config.kv_heads = config.heads;
  settle_head_size(config, where);
  check_sizes(config, where);
  check_positions(config, where);
  const auto width = json_get_or<int64_t>(json, "word_embed_proj_dim", config.hidden_size, where);
  check_embedding_size(width, where);
  if (width != config.hidden_size) config.projected_embedding = width;
  Opt opt;
  opt.activation =
      parse_activation(json_get_or<std::string>(json, "activation_function", "relu", where), where);
  opt.pre_norm = json_get_or<bool>(json, "do_layer_norm_before", true, where);
  // Post-norm blocks end with a norm, and some models were tuned without one.
  const bool removed = json_get_or<bool>(json, "_remove_final_layer_norm", false, where);
  opt.final_norm = opt.pre_norm && !removed;
  opt.bias = json_get_or<bool>(json, "enable_bias", true, where);
  opt.norm_parameters = json_get_or<bool>(json, "layer_norm_elementwise_affine", true, where);
  config.family_config = opt;
  config.bos_id = read_bos_id(json, 2, where, config);
  return config;
}

// --- FasterTransformer

// FT's converter names no variant: its pre-norm folders with a norm before the head are read as GPT-2's,
// whose graph is the same.
std::string variant_of(const Ini& ini) {
  const std::string variant = ft_gpt_variant(ini);
  return variant == "gpt-post" ? "opt-post" : variant == "gpt-bare" ? "opt-pre" : variant;
}

bool matches_ft(const Ini& ini) { return variant_of(ini).starts_with("opt"); }

FtGraph graph_of(const Opt& opt) {
  return {.post_norm = !opt.pre_norm, .activation = opt.activation, .final_norm = opt.final_norm};
}

ModelConfig read_ft_config(const Ini& ini, std::string_view where) {
  ModelConfig config = read_ft_gpt(ini, where);
  config.architecture = kOptFamily.architecture;
  read_ft_positions(ini, where, config);
  const std::string variant = variant_of(ini);
  if (variant != "opt-pre" && variant != "opt-post") {
    fail(ErrorCode::kCorrupt, "{}: [gpt] model_variant={} is neither opt-pre nor opt-post", where,
         printable(variant));
  }
  Opt opt;
  opt.pre_norm = variant == "opt-pre";
  opt.final_norm = opt.pre_norm && !ini_says(ini, "gpt", "has_post_decoder_layernorm", "False");
  if (ini_says(ini, "gpt", "activation_type", "Gelu")) opt.activation = Activation::kGeluTanh;
  check_ft_graph(ini, graph_of(opt), false, where);
  config.family_config = opt;
  return config;
}

// The key of config.json that FT's graph has no room for; null: none.
const char* beyond_ft(const ModelConfig& config, const Opt& opt) {
  if (opt.activation != Activation::kRelu && opt.activation != Activation::kGeluTanh)
    return "activation_function";
  if (config.projected_embedding > 0) return "word_embed_proj_dim";
  if (!opt.bias) return "enable_bias";
  return opt.norm_parameters ? nullptr : "layer_norm_elementwise_affine";
}

IniKeys write_ft_config(const ModelConfig& config, const std::string& model_name, int tensor_para_size,
                        DType dtype) {
  const auto& opt = std::any_cast<const Opt&>(config.family_config);
  if (const char* key = beyond_ft(config, opt)) {
    fail(ErrorCode::kUnsupported,
         "FasterTransformer's OPT has no room for the {} of this config.json: run the Hugging Face folder "
         "itself",
         key);
  }
  return write_ft_gpt(config, model_name, tensor_para_size, dtype, opt.pre_norm ? "opt-pre" : "opt-post",
                      graph_of(opt));
}

constexpr FtFormat kFt = {matches_ft, read_ft_config, write_ft_config, kFtGptNames};

std::unique_ptr<Model> build(const ModelConfig& config, const Dist& dist) {
  const auto& opt = std::any_cast<const Opt&>(config.family_config);
  return make_decoder(config,
                      {.norm_parameters = opt.norm_parameters ? NormParameters::kAll : NormParameters::kNone,
                       .final_norm = opt.final_norm,
                       .learned_positions = config.max_positions,
                       .form = {opt.pre_norm ? NormPlace::kPre : NormPlace::kPost},
                       .activation = opt.activation,
                       .biases = {.qkv = opt.bias, .attention_out = opt.bias, .mlp = opt.bias}},
                      dist);
}

}  // namespace

const Family kOptFamily = {"OPTForCausalLM", "opt", read_hf_config, kHfNames, &kFt, build};

}  // namespace bolide
