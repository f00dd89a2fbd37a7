#include "models/bloom.h"

#include <algorithm>
#include <utility>

#include "base/printable.h"
#include "layers/block.h"
#include "layers/embedding.h"
#include "layers/head.h"
#include "models/config.h"
#include "tensor/device.h"

namespace bolide {
namespace {

class BloomModel final : public Model {
 public:
  BloomModel(const ModelConfig& config, const Dist& dist)
      : config_(config), layers_(dist.stage_layers(config.layers)) {
    embedding_.vocab_begin = dist.vocab_part(config.vocab_size).begin;
    heads_ = dist.tensor_part(config.heads);
    blocks_.resize(static_cast<size_t>(layers_.size()));
    for (Block& block : blocks_) {
      block.attention_norm.eps = block.mlp_norm.eps = static_cast<float>(config.norm_eps);
      block.attention.heads = block.attention.kv_heads = heads_.size();
      block.attention.head_size = config.head_size;
    }
    embedding_.norm.eps = final_norm_.eps = static_cast<float>(config.norm_eps);
    first_stage_ = dist.first_stage();
    last_stage_ = dist.last_stage();
  }

  const ModelConfig& config() const override { return config_; }

  void prepare(const Context& context) override {
    const std::vector<float> slopes = alibi_slopes(config_.heads);
    const Tensor local = Tensor::allocate({heads_.size()}, DType::kF32, context.device);
    copy_to_device(context, local.view().data, slopes.data() + heads_.begin, local.bytes());
    synchronize(context);
    for (Block& block : blocks_) block.attention.alibi = local;
  }

  void embed(const Context& context, const BatchView& batch, View hidden) const override {
    embedding_.forward(context, batch.token_ids, batch.previous_ids, hidden);
  }

  void run_layers(const Context& context, const KvView& kv, View hidden) const override {
    const ResidualFrom from =
        config_.residual_after_norm ? ResidualFrom::kAfterNorm : ResidualFrom::kBeforeNorm;
    run_blocks(context, blocks_, from, kv, 0, hidden);
  }

  void logits(const Context& context, const View& hidden, View logits, const Best& best) const override {
    head_logits(context, config_.tied_head ? embedding_.table : head_, final_norm_.norm(), hidden, logits,
                best);
  }

  std::vector<Slot> slots() override;

 private:
  void add_block_slots(int64_t layer, Block& block, std::vector<Slot>& slots);

  ModelConfig config_;
  Dist::Range layers_, heads_;
  bool first_stage_, last_stage_;
  Embedding embedding_;
  std::vector<Block> blocks_;
  LayerNorm final_norm_;
  Weight head_;  // unless tied
};

// bigscience's own files have no "transformer." prefix, those saved by transformers do.
SlotSource hf_name(const std::string& name, Layout layout = Layout::kAsIs) {
  return {{"transformer." + name, name}, layout};
}
SlotSource ft_name(const std::string& name, Layout layout = Layout::kTransposed) {
  return {{"model." + name}, layout};
}

void add_norm_slots(const std::string& hf, const std::string& ft, int64_t hidden, LayerNorm& norm,
                    std::vector<Slot>& slots) {
  slots.push_back({.shape = {hidden},
                   .hf = hf_name(hf + ".weight"),
                   .ft = ft_name(ft + ".weight"),
                   .dummy_mean = 1,
                   .into = &norm.weight});
  slots.push_back(
      {.shape = {hidden}, .hf = hf_name(hf + ".bias"), .ft = ft_name(ft + ".bias"), .into = &norm.bias});
}

// transformers takes the prefix here, too.
std::vector<std::string> head_names() { return {"lm_head.weight", "transformer.lm_head.weight"}; }

std::vector<Slot> BloomModel::slots() {
  const int64_t hidden = config_.hidden_size, vocab = config_.vocab_size;
  std::vector<Slot> slots;
  if (first_stage_ || (last_stage_ && config_.tied_head)) {
    // Of a tied pair some writers keep the head's name alone (safetensors' save_model drops an alias).
    SlotSource embedding = hf_name("word_embeddings.weight");
    if (config_.tied_head)
      for (const std::string& name : head_names()) embedding.names.push_back(name);
    slots.push_back({.shape = {vocab, hidden},
                     .shard = Shard::kVocab,
                     .hf = std::move(embedding),
                     .ft = ft_name("wte", Layout::kAsIs),
                     .into = &embedding_.table});
  }
  if (first_stage_)
    add_norm_slots("word_embeddings_layernorm", "pre_decoder_layernorm", hidden, embedding_.norm, slots);
  for (size_t i = 0; i < blocks_.size(); ++i)
    add_block_slots(layers_.begin + static_cast<int64_t>(i), blocks_[i], slots);
  if (last_stage_) {
    add_norm_slots("ln_f", "final_layernorm", hidden, final_norm_, slots);
    if (!config_.tied_head) {
      slots.push_back({.shape = {vocab, hidden},
                       .shard = Shard::kVocab,
                       .hf = {head_names(), Layout::kAsIs},
                       .ft = ft_name("lm_head.weight", Layout::kAsIs),
                       .into = &head_});
    }
  }
  return slots;
}

void BloomModel::add_block_slots(int64_t layer, Block& block, std::vector<Slot>& slots) {
  const int64_t hidden = config_.hidden_size, inter = config_.inter_size, heads = config_.heads;
  const std::string hf = fmt::format("h.{}.", layer), ft = fmt::format("layers.{}.", layer);
  add_norm_slots(hf + "input_layernorm", ft + "input_layernorm", hidden, block.attention_norm, slots);
  auto add_linear = [&](const std::string& hf_stem, const std::string& ft_stem, Shape shape, Shard shard,
                        Linear& linear) {
    const bool is_qkv = &linear == &block.attention.qkv;
    const int64_t segments = is_qkv ? 3 : 1;
    const Layout hf_layout = is_qkv ? Layout::kHeadInterleaved : Layout::kAsIs;
    slots.push_back({.shape = shape,
                     .shard = shard,
                     .segments = segments,
                     .heads = heads,
                     .hf = hf_name(hf_stem + ".weight", hf_layout),
                     .ft = ft_name(ft_stem + ".weight"),
                     .into = &linear.weight});
    slots.push_back({.shape = {shape[0]},
                     .shard = shard == Shard::kIn ? Shard::kNone : shard,  // added to the ranks' sum
                     .segments = segments,
                     .heads = heads,
                     .hf = hf_name(hf_stem + ".bias", hf_layout),
                     .ft = ft_name(ft_stem + ".bias"),
                     .as_activation = shard == Shard::kOut,  // the others are added to the residual stream
                     .into = &linear.bias});
  };
  add_linear(hf + "self_attention.query_key_value", ft + "attention.query_key_value", {3 * hidden, hidden},
             Shard::kOut, block.attention.qkv);
  add_linear(hf + "self_attention.dense", ft + "attention.dense", {hidden, hidden}, Shard::kIn,
             block.attention.out);
  add_norm_slots(hf + "post_attention_layernorm", ft + "post_attention_layernorm", hidden, block.mlp_norm,
                 slots);
  add_linear(hf + "mlp.dense_h_to_4h", ft + "mlp.dense_h_to_4h", {inter, hidden}, Shard::kOut, block.mlp.up);
  add_linear(hf + "mlp.dense_4h_to_h", ft + "mlp.dense_4h_to_h", {hidden, inter}, Shard::kIn, block.mlp.down);
}

// Bounds that no real model reaches keep a damaged config from asking for absurd allocations.
void check_between(const char* what, int64_t value, int64_t high, std::string_view where) {
  if (value < 1 || value > high)
    fail(ErrorCode::kCorrupt, "{}: {} is {}, not from 1 to {}", where, what, value, high);
}

void check_sizes(const ModelConfig& config, std::string_view where) {
  check_between("the vocabulary size", config.vocab_size, int64_t{1} << 24, where);
  check_between("the number of layers", config.layers, 1024, where);
  check_between("the number of heads", config.heads, 4096, where);
  check_between("the hidden size", config.hidden_size, int64_t{1} << 17, where);
  if (config.hidden_size % config.heads != 0) {
    fail(ErrorCode::kCorrupt, "{}: hidden size {} is not a multiple of its {} heads", where,
         config.hidden_size, config.heads);
  }
  // 0 divides by zero where all elements are alike, and 1 is beyond any use.
  if (!(config.norm_eps > 0 && config.norm_eps <= 1)) {
    fail(ErrorCode::kCorrupt, "{}: the epsilon of the layer norms is {}, not above 0 and at most 1", where,
         config.norm_eps);
  }
}

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
  config.architecture = "BloomForCausalLM";
  config.vocab_size = json_get<int64_t>(json, "vocab_size", where);
  config.hidden_size = json_twin(json, kHiddenSize, where, config.warnings);
  config.layers = json_twin(json, kLayers, where, config.warnings);
  config.heads = json_twin(json, kHeads, where, config.warnings);
  config.norm_eps = json_get_or<double>(json, "layer_norm_epsilon", 1e-5, where);
  config.tied_head = json_get_or<bool>(json, "tie_word_embeddings", true, where);
  config.residual_after_norm =
      json_get_or<bool>(json, "apply_residual_connection_post_layernorm", false, where);
  config.kv_heads = config.heads;
  check_sizes(config, where);  // before there is arithmetic on them
  config.inter_size = 4 * config.hidden_size;
  config.head_size = config.hidden_size / config.heads;
  // Absent it is 1, as in transformers' own config; null is none.
  const Json* said = json_find(json, "bos_token_id", where);
  const bool no_begin = said && said->is_null();
  const int32_t begin = json_get_or<int32_t>(json, "bos_token_id", 1, where);
  if (!no_begin && !known_ids({begin}, "begin id", config.vocab_size, config.warnings).empty())
    config.bos_id = begin;
  warn_of_unread(json, config, where, config.warnings);
  warn_of_slices(json, where, config.warnings);
  return config;
}

bool matches_ft(const Ini& ini) {
  const auto section = ini.find("gpt");
  if (section == ini.end()) return false;
  const auto variant = section->second.find("model_variant");
  return variant != section->second.end() && variant->second.starts_with("bloom");
}

// What FT's converter writes of a graph that is always BLOOM's.
std::vector<std::pair<std::string, std::string>> graph_of(bool residual_after_norm) {
  return {{"layernorm_type", residual_after_norm ? "post_layernorm" : "pre_layernorm"},
          {"activation_type", "Gelu"},
          {"has_positional_encoding", "False"},
          {"has_pre_decoder_layernorm", "True"},
          {"has_post_decoder_layernorm", "True"},
          {"use_attention_linear_bias", "True"}};
}

ModelConfig read_ft_config(const Ini& ini, std::string_view where) {
  // Bounds of the file; those of a model are check_sizes()'.
  const auto number = [&](const char* key) { return ini_int(ini, "gpt", key, 0, int64_t{1} << 24, where); };
  const auto id = [&](const char* key) {
    return static_cast<int32_t>(ini_int(ini, "gpt", key, -1, INT32_MAX, where));
  };
  ModelConfig config;
  config.architecture = "BloomForCausalLM";
  ini_get<std::string>(ini, "gpt", "model_name", where);  // has to be there, and may say anything
  config.layers = number("num_layer");
  config.heads = number("head_num");
  config.head_size = number("size_per_head");
  config.inter_size = number("inter_size");
  config.vocab_size = number("vocab_size");
  config.norm_eps = ini_get<double>(ini, "gpt", "layernorm_eps", where);
  const auto variant = ini_get<std::string>(ini, "gpt", "model_variant", where);
  if (variant != "bloom-pre" && variant != "bloom-post") {
    fail(ErrorCode::kCorrupt, "{}: [gpt] model_variant={} is neither bloom-pre nor bloom-post", where,
         printable(variant));
  }
  config.residual_after_norm = variant == "bloom-post";
  for (const auto& [key, value] : graph_of(config.residual_after_norm))
    ini_must_say(ini, "gpt", key, value, where);
  const auto type = ini_get<std::string>(ini, "gpt", "weight_data_type", where);
  if (type != "fp32" && type != "fp16" && type != "bf16") {
    fail(ErrorCode::kCorrupt, "{}: [gpt] weight_data_type={} is not fp32, fp16 or bf16", where,
         printable(type));
  }
  config.checkpoint_dtype = parse_data_type(type);
  config.hidden_size = config.heads * config.head_size;
  config.kv_heads = config.heads;
  check_sizes(config, where);
  check_between("the inner size", config.inter_size, int64_t{1} << 20, where);
  const int32_t begin = id("start_id"), end = id("end_id");  // -1: none
  if (begin >= 0 && !known_ids({begin}, "start_id", config.vocab_size, config.warnings).empty())
    config.bos_id = begin;
  if (end >= 0) config.end_ids = known_ids({end}, "end_id", config.vocab_size, config.warnings);
  return config;
}

std::vector<std::pair<std::string, std::string>> write_ft_config(const ModelConfig& config,
                                                                 const std::string& model_name,
                                                                 int tensor_para_size, DType dtype) {
  std::vector<std::pair<std::string, std::string>> keys = {
      {"model_name", model_name},
      {"num_layer", std::to_string(config.layers)},
      {"head_num", std::to_string(config.heads)},
      {"inter_size", std::to_string(config.inter_size)},
      {"size_per_head", std::to_string(config.head_size)},
      {"vocab_size", std::to_string(config.vocab_size)},
      {"tensor_para_size", std::to_string(tensor_para_size)},
      {"weight_data_type", std::string(name_of(dtype))},
      {"model_variant", config.residual_after_norm ? "bloom-post" : "bloom-pre"},
      {"layernorm_eps", fmt::format("{}", config.norm_eps)}};
  for (auto& key : graph_of(config.residual_after_norm)) keys.push_back(std::move(key));
  keys.emplace_back("start_id", std::to_string(config.bos_id));
  // FT has room for one; where there is none, its converter fails, and its runtime takes -1 for no id.
  keys.emplace_back("end_id", std::to_string(config.end_ids.empty() ? -1 : config.end_ids.front()));
  return keys;
}

std::unique_ptr<Model> build(const ModelConfig& config, const Dist& dist) {
  return std::make_unique<BloomModel>(config, dist);
}

constexpr std::string_view kIgnored[] = {"self_attention.scale_mask_softmax.causal_mask"};

}  // namespace

const Family kBloomFamily = {"BloomForCausalLM", "bloom",         read_hf_config, matches_ft,
                             read_ft_config,     write_ft_config, build,          kIgnored};

}  // namespace bolide
