#include "models/bloom.h"

#include "base/printable.h"
#include "models/config.h"
#include "models/decoder.h"
#include "models/ft_gpt.h"

namespace bolide {
namespace {

struct Bloom {
  bool residual_after_norm = false;  // apply_residual_connection_post_layernorm
};

constexpr NameRow kRows[] = {
    {"embedding", "transformer.word_embeddings"},
    {"embedding_norm", "transformer.word_embeddings_layernorm"},
    {"layers.*.attention_norm", "transformer.h.*.input_layernorm"},
    {"layers.*.attention.qkv", "transformer.h.*.self_attention.query_key_value", Layout::kHeadInterleaved},
    {"layers.*.attention.out", "transformer.h.*.self_attention.dense"},
    {"layers.*.mlp_norm", "transformer.h.*.post_attention_layernorm"},
    {"layers.*.mlp.up", "transformer.h.*.mlp.dense_h_to_4h"},
    {"layers.*.mlp.down", "transformer.h.*.mlp.dense_4h_to_h"},
    {"final_norm", "transformer.ln_f"},
    {"head", "lm_head"},
};
constexpr std::string_view kIgnored[] = {"self_attention.scale_mask_softmax.causal_mask"};
// bigscience's own files have no "transformer." prefix, those saved by transformers do.
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "transformer.", .ignored = kIgnored};

constexpr TwinKeys kHiddenSize = {"n_embed", "hidden_size"};
constexpr TwinKeys kLayers = {"num_hidden_layers", "n_layer"};
constexpr TwinKeys kHeads = {"num_attention_heads", "n_head"};

// Settings that transformers' BLOOM does not read, where they say what it does not do.
void warn_of_unread(const Json& json, const ModelConfig& config, std::string_view where,
                    std::vector<std::string>& warnings) {
  const auto inner = json_get_or<int64_t>(json, "n_inner", config.inter_size, where);
  if (inner != config.inter_size) {
    warnings.push_back(
        fmt::format("{}: n_inner {} is left out, as in transformers: the inner size of BLOOM is 4 x {}",
                    where, inner, config.hidden_size));
  }
  for (const char* key : {"hidden_act", "activation_function"}) {
    const auto named = json_get_or<std::string>(json, key, "gelu", where);
    if (named.find("gelu") == std::string::npos) {
      warnings.push_back(fmt::format("{}: {} '{}' is left out, as in transformers: that of BLOOM is gelu",
                                     where, key, printable(named)));
    }
  }
}

// A setting that transformers reads, and computes otherwise for: it adds a layer's slices up without the
// biases of the two products, which is not what any model was trained for.
void warn_of_slices(const Json& json, std::string_view where, std::vector<std::string>& warnings) {
  if (json_get_or<bool>(json, "slow_but_exact", false, where) &&
      json_get_or<int64_t>(json, "pretraining_tp", 1, where) > 1) {
    warnings.push_back(
        fmt::format("{}: slow_but_exact is left out: transformers leaves out two biases of each layer for "
                    "it, here they count",
                    where));
  }
}

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  ModelConfig config;
  config.architecture = kBloomFamily.architecture;
  config.vocab_size = json_get<int64_t>(json, "vocab_size", where);
  config.hidden_size = json_twin(json, kHiddenSize, where, config.warnings);
  config.layers = json_twin(json, kLayers, where, config.warnings);
  config.heads = json_twin(json, kHeads, where, config.warnings);
  config.norm_eps = json_get_or<double>(json, "layer_norm_epsilon", 1e-5, where);
  config.tied_head = json_get_or<bool>(json, "tie_word_embeddings", true, where);
  config.family_config =
      Bloom{json_get_or<bool>(json, "apply_residual_connection_post_layernorm", false, where)};
  config.kv_heads = config.heads;
  settle_head_size(config, where);
  config.inter_size = 4 * config.hidden_size;
  check_sizes(config, where);
  config.bos_id = read_bos_id(json, 1, where, config);
  warn_of_unread(json, config, where, config.warnings);
  warn_of_slices(json, where, config.warnings);
  return config;
}

// --- FasterTransformer

bool matches_ft(const Ini& ini) { return ft_gpt_variant(ini).starts_with("bloom"); }

// What FT's converter writes of a graph that is always BLOOM's.
FtGraph graph_of(const Bloom& bloom) {
  return {.post_norm = bloom.residual_after_norm,
          .learned_positions = false,
          .embedding_norm = true,
          .alibi = true};
}

ModelConfig read_ft_config(const Ini& ini, std::string_view where) {
  ini_get<double>(ini, "gpt", "layernorm_eps", where);  // FT's converter always writes it
  ModelConfig config = read_ft_gpt(ini, where);
  config.architecture = kBloomFamily.architecture;
  const std::string variant = ft_gpt_variant(ini);
  if (variant != "bloom-pre" && variant != "bloom-post") {
    fail(ErrorCode::kCorrupt, "{}: [gpt] model_variant={} is neither bloom-pre nor bloom-post", where,
         printable(variant));
  }
  const Bloom bloom = {.residual_after_norm = variant == "bloom-post"};
  check_ft_graph(ini, graph_of(bloom), true, where);
  config.family_config = bloom;
  return config;
}

IniKeys write_ft_config(const ModelConfig& config, const std::string& model_name, int tensor_para_size,
                        DType dtype) {
  const auto& bloom = std::any_cast<const Bloom&>(config.family_config);
  return write_ft_gpt(config, model_name, tensor_para_size, dtype,
                      bloom.residual_after_norm ? "bloom-post" : "bloom-pre", graph_of(bloom));
}

constexpr FtFormat kFt = {matches_ft, read_ft_config, write_ft_config, kFtGptNames};

std::unique_ptr<Model> build(const ModelConfig& config, const Dist& dist) {
  const auto& bloom = std::any_cast<const Bloom&>(config.family_config);
  return make_decoder(config,
                      {.embedding_norm = true,
                       .alibi_slopes = alibi_slopes(config.heads),
                       .form = {bloom.residual_after_norm ? NormPlace::kPreAndResidual : NormPlace::kPre}},
                      dist);
}

}  // namespace

const Family kBloomFamily = {"BloomForCausalLM", "bloom", read_hf_config, kHfNames, &kFt, build};

}  // namespace bolide
