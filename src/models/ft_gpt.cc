#include "models/ft_gpt.h"

#include "base/printable.h"
#include "models/config.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"embedding.weight", "model.wte"},
    {"position_embedding.weight", "model.wpe"},
    {"embedding_norm", "model.pre_decoder_layernorm"},
    {"layers.*.attention_norm", "model.layers.*.input_layernorm"},
    {"layers.*.attention.qkv", "model.layers.*.attention.query_key_value", Layout::kTransposedParts},
    {"layers.*.attention.out", "model.layers.*.attention.dense", Layout::kTransposed},
    {"layers.*.mlp_norm", "model.layers.*.post_attention_layernorm"},
    {"layers.*.mlp.up", "model.layers.*.mlp.dense_h_to_4h", Layout::kTransposed},
    {"layers.*.mlp.down", "model.layers.*.mlp.dense_4h_to_h", Layout::kTransposed},
    {"final_norm", "model.final_layernorm"},
    {"head.weight", "model.lm_head.weight"},
};

IniKeys keys_of(const FtGraph& graph) {
  const auto says = [](bool value) { return value ? "True" : "False"; };
  return {{"layernorm_type", graph.post_norm ? "post_layernorm" : "pre_layernorm"},
          {"activation_type", graph.activation == Activation::kRelu ? "Relu" : "Gelu"},
          {"has_positional_encoding", says(graph.learned_positions)},
          {"has_pre_decoder_layernorm", says(graph.embedding_norm)},
          {"has_post_decoder_layernorm", says(graph.final_norm)},
          {"use_attention_linear_bias", says(graph.alibi)}};
}

}  // namespace

const NameTable kFtGptNames = {.rows = kRows};

std::string ft_gpt_variant(const Ini& ini) {
  if (const std::string* variant = ini_find(ini, "gpt", "model_variant")) return *variant;
  if (!ini_find(ini, "gpt", "max_pos_seq_len")) return "";
  if (ini_says(ini, "gpt", "layernorm_type", "post_layernorm")) return "gpt-post";
  return ini_says(ini, "gpt", "has_post_decoder_layernorm", "False") ? "gpt-bare" : "gpt";
}

ModelConfig read_ft_gpt(const Ini& ini, std::string_view where) {
  // Bounds of the file; those of a model are check_sizes()'.
  const auto number = [&](const char* key) { return ini_int(ini, "gpt", key, 0, int64_t{1} << 24, where); };
  const auto id = [&](const char* key) {
    return static_cast<int32_t>(ini_int(ini, "gpt", key, -1, INT32_MAX, where));
  };
  ModelConfig config;
  ini_get<std::string>(ini, "gpt", "model_name", where);  // has to be there, and may say anything
  config.layers = number("num_layer");
  config.heads = number("head_num");
  config.head_size = number("size_per_head");
  config.inter_size = number("inter_size");
  config.vocab_size = number("vocab_size");
  const auto type = ini_get<std::string>(ini, "gpt", "weight_data_type", where);
  if (type != "fp32" && type != "fp16" && type != "bf16") {
    fail(ErrorCode::kCorrupt, "{}: [gpt] weight_data_type={} is not fp32, fp16 or bf16", where,
         printable(type));
  }
  config.checkpoint_dtype = parse_data_type(type);
  config.hidden_size = config.heads * config.head_size;
  config.kv_heads = config.heads;
  if (ini_find(ini, "gpt", "layernorm_eps"))
    config.norm_eps = ini_get<double>(ini, "gpt", "layernorm_eps", where);
  check_sizes(config, where);
  const int32_t begin = id("start_id"), end = id("end_id");  // -1: none
  if (begin >= 0 && !known_ids({begin}, "start_id", config.vocab_size, config.warnings).empty())
    config.bos_id = begin;
  if (end >= 0) config.end_ids = known_ids({end}, "end_id", config.vocab_size, config.warnings);
  return config;
}

void check_ft_graph(const Ini& ini, const FtGraph& graph, bool all, std::string_view where) {
  for (const auto& [key, value] : keys_of(graph))
    if (all || ini_find(ini, "gpt", key)) ini_must_say(ini, "gpt", key, value, where);
}

void read_ft_positions(const Ini& ini, std::string_view where, ModelConfig& config) {
  config.max_positions = ini_int(ini, "gpt", "max_pos_seq_len", 0, INT32_MAX, where);
  check_positions(config, where);
}

IniKeys write_ft_gpt(const ModelConfig& config, const std::string& model_name, int tensor_para_size,
                     DType dtype, const std::string& variant, const FtGraph& graph) {
  IniKeys keys = {{"model_name", model_name},
                  {"head_num", std::to_string(config.heads)},
                  {"size_per_head", std::to_string(config.head_size)},
                  {"inter_size", std::to_string(config.inter_size)}};
  if (graph.learned_positions) keys.emplace_back("max_pos_seq_len", std::to_string(config.max_positions));
  const IniKeys more = {{"num_layer", std::to_string(config.layers)},
                        {"vocab_size", std::to_string(config.vocab_size)},
                        {"start_id", std::to_string(config.bos_id)},
                        // FT has room for one end id; where there is none, its converter fails, and its
                        // runtime takes -1 for no id.
                        {"end_id", std::to_string(config.end_ids.empty() ? -1 : config.end_ids.front())},
                        {"weight_data_type", std::string(name_of(dtype))},
                        {"tensor_para_size", std::to_string(tensor_para_size)},
                        {"model_variant", variant},
                        {"layernorm_eps", fmt::format("{}", config.norm_eps)}};
  const IniKeys stated = keys_of(graph);
  keys.insert(keys.end(), more.begin(), more.end());
  keys.insert(keys.end(), stated.begin(), stated.end());
  return keys;
}

}  // namespace bolide
