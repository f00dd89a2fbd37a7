#include "models/decoder.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "layers/embedding.h"
#include "layers/head.h"

namespace bolide {
namespace {

float rounded_to(DType dtype, float value) {
  return dispatch_float(dtype, [&]<class T>() { return to_float(from_float<T>(value)); });
}

class Decoder final : public Model {
 public:
  Decoder(const ModelConfig& config, const DecoderGraph& graph, const Dist& dist)
      : config_(config), graph_(graph), dist_(dist), layers_(dist.stage_layers(config.layers)) {
    embedding_.vocab_begin = dist.vocab_part(config.vocab_size).begin;
    head_.soft_cap = graph.logit_soft_cap;
    blocks_.resize(static_cast<size_t>(layers_.size()));
    for (const NamedNorm& named : norms()) {
      named.norm->eps = static_cast<float>(config.norm_eps);
      named.norm->rms = graph.rms_norm;
    }
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const size_t layer = static_cast<size_t>(layers_.begin) + i;
      blocks_[i].mlp.activation = graph.activation;
      blocks_[i].mlp.gated = config.gated_mlp;
      SelfAttention& attention = blocks_[i].attention;
      attention.heads = dist.tensor_part(config.heads).size();
      attention.kv_heads = dist.head_part(config.kv_heads).size();
      attention.head_size = config.head_size;
      attention.head_norms = graph.head_norms;
      attention.soft_cap = graph.attention_soft_cap;
      if (!config.windows.empty()) attention.window = config.windows[layer];
      if (!graph.layer_rotary.empty()) attention.rotary = graph.layer_rotary[layer];
      attention.scale = graph.attention_scales.empty()
                            ? 1.0f / std::sqrt(static_cast<float>(config.head_size))
                            : graph.attention_scales[layer];
    }
  }

  const ModelShape& shape() const override { return config_; }

  void prepare(const Context& context) override {
    for (Rotary& rotary : graph_.rotaries) rotary.prepare(context);
    make_norms(context);
    if (graph_.embedding_scale != 1 && !embedding_.table.empty())
      embedding_.scale = rounded_to(embedding_.table.dtype(), graph_.embedding_scale);
    if (graph_.alibi_slopes.empty()) return;
    const Dist::Range heads = dist_.tensor_part(config_.heads);
    const std::span<const float> slopes = graph_.alibi_slopes;
    const Tensor local = tensor_of(
        context, slopes.subspan(static_cast<size_t>(heads.begin), static_cast<size_t>(heads.size())));
    for (Block& block : blocks_) block.attention.alibi = local;
  }

  void embed(const Context& context, const BatchView& batch, View hidden) const override {
    embedding_.forward(context, batch.token_ids, batch.previous_ids, batch.positions, hidden);
  }

  void run_layers(const Context& context, const KvView& kv, View hidden) const override {
    Arena::Scope scope(*context.arena);
    std::vector<RotaryAngles> angles;
    for (const Rotary& rotary : graph_.rotaries) angles.push_back(rotary.angles(context, kv.batch()));
    run_blocks(context, blocks_, graph_.form, kv, angles, hidden);
  }

  void logits(const Context& context, const View& hidden, View logits, const Argmax& argmax) const override {
    head_.logits(context, embedding_.table, hidden, logits, argmax);
  }

  std::vector<WeightSpec> weights() override;

 private:
  void add_block(int64_t layer, Block& block, std::vector<WeightSpec>& specs);
  // A norm of the graph, and what it has.
  struct NamedNorm {
    std::string name;
    LayerNorm* norm;
    int64_t size;
    NormParameters parameters;
    std::vector<WeightPart> heads = {};  // of a norm whose elements ranks share
  };
  // One of the stream's, before or behind the blocks or in them.
  NamedNorm stream_norm(std::string name, LayerNorm& norm) const {
    return {std::move(name), &norm, config_.hidden_size, graph_.norm_parameters};
  }
  std::vector<NamedNorm> norms();
  std::vector<NamedNorm> block_norms(int64_t layer, Block& block);
  static void add_norm(const NamedNorm& named, std::vector<WeightSpec>& specs);
  void make_norms(const Context& context);

  ModelConfig config_;
  DecoderGraph graph_;
  Dist dist_;
  Dist::Range layers_;
  Embedding embedding_;
  std::vector<Block> blocks_;
  Head head_;
};

std::vector<Decoder::NamedNorm> Decoder::block_norms(int64_t layer, Block& block) {
  const std::string name = fmt::format("layers.{}.", layer);
  std::vector<NamedNorm> all;
  const auto add = [&](const char* which, LayerNorm& norm) {
    all.push_back(stream_norm(name + which, norm));
  };
  const auto add_heads = [&](const char* which, LayerNorm& norm, int64_t heads) {
    const bool shared = graph_.head_norms == HeadNorms::kShared;
    const int64_t size = shared ? config_.head_size : heads * config_.head_size;
    NamedNorm named = {name + which, &norm, size, graph_.head_norm_parameters};
    if (!shared) named.heads = {{"", size, heads}};
    all.push_back(named);
  };
  add("attention_norm", block.attention_norm);
  if (graph_.head_norms != HeadNorms::kNone) {
    add_heads("attention.q_norm", block.attention.q_norm, config_.heads);
    add_heads("attention.k_norm", block.attention.k_norm, config_.kv_heads);
  }
  if (graph_.form.has_output_norms()) add("attention_output_norm", block.attention_output_norm);
  if (graph_.form.residual != Residual::kParallelSharedNorm) add("mlp_norm", block.mlp_norm);
  if (graph_.form.has_output_norms()) add("mlp_output_norm", block.mlp_output_norm);
  return all;
}

// All of this rank's.
std::vector<Decoder::NamedNorm> Decoder::norms() {
  std::vector<NamedNorm> all;
  if (dist_.first_stage() && graph_.embedding_norm)
    all.push_back(stream_norm("embedding_norm", embedding_.norm));
  for (size_t i = 0; i < blocks_.size(); ++i)
    for (NamedNorm& named : block_norms(layers_.begin + static_cast<int64_t>(i), blocks_[i]))
      all.push_back(std::move(named));
  if (dist_.last_stage() && graph_.final_norm) all.push_back(stream_norm("final_norm", head_.norm));
  return all;
}

void Decoder::add_norm(const NamedNorm& named, std::vector<WeightSpec>& specs) {
  if (named.parameters == NormParameters::kNone) return;
  const Shard shard = named.heads.empty() ? Shard::kNone : Shard::kOut;
  const float offset = named.parameters == NormParameters::kOnePlusWeights ? 1.0f : 0.0f;
  specs.push_back({.name = named.name + ".weight",
                   .shape = {named.size},
                   .shard = shard,
                   .parts = named.heads,
                   .offset = offset,
                   .dummy_mean = 1 - offset,
                   .into = &named.norm->weight});
  if (named.norm->rms || named.parameters != NormParameters::kAll) return;
  specs.push_back({.name = named.name + ".bias",
                   .shape = {named.size},
                   .shard = shard,
                   .parts = named.heads,
                   .into = &named.norm->bias});
}

// What norms compute with and files do not hold.
void Decoder::make_norms(const Context& context) {
  std::map<std::pair<int64_t, float>, Tensor> made;
  const auto vector_of = [&](int64_t size, float value) {
    Tensor& tensor = made[{size, value}];
    if (!tensor.empty()) return tensor;
    tensor = tensor_of(context, std::vector<float>(static_cast<size_t>(size), value));
    return tensor;
  };
  for (const NamedNorm& named : norms()) {
    LayerNorm& norm = *named.norm;
    if (norm.weight.empty()) norm.weight = vector_of(named.size, 1);
    if (!norm.rms && norm.bias.empty()) norm.bias = vector_of(norm.weight.shape()[0], 0);
  }
}

void add_linear(const std::string& name, int64_t out, int64_t in, Shard shard,
                const std::vector<WeightPart>& parts, bool bias, Linear& linear,
                std::vector<WeightSpec>& specs) {
  specs.push_back(
      {.name = name + ".weight", .shape = {out, in}, .shard = shard, .parts = parts, .into = &linear.weight});
  if (!bias) return;
  specs.push_back({.name = name + ".bias",
                   .shape = {out},
                   .shard = shard == Shard::kIn ? Shard::kNone : shard,  // added to the ranks' sum
                   .parts = parts,
                   .as_activation = shard == Shard::kOut,  // the others are added to the residual stream
                   .into = &linear.bias});
}

std::vector<WeightSpec> Decoder::weights() {
  const int64_t hidden = config_.hidden_size, vocab = config_.vocab_size,
                projected = config_.projected_embedding, width = projected > 0 ? projected : hidden;
  const bool first = dist_.first_stage(), last = dist_.last_stage();
  std::vector<WeightSpec> specs;
  if (first || (last && config_.tied_head)) {
    // Of a tied pair some writers keep the head's name alone (safetensors' save_model drops an alias).
    specs.push_back({.name = std::string(kEmbeddingName),
                     .shape = {vocab, width},
                     .shard = Shard::kVocab,
                     .alias = config_.tied_head ? std::string(kHeadName) : "",
                     .into = &embedding_.table});
  }
  if (first && projected > 0)
    specs.push_back({.name = "project_in.weight", .shape = {hidden, width}, .into = &embedding_.project});
  if (first && graph_.learned_positions > 0) {
    specs.push_back({.name = "position_embedding.weight",
                     .shape = {graph_.learned_positions, hidden},
                     .dense = true,
                     .into = &embedding_.positions});
  }
  if (first && graph_.embedding_norm) add_norm(stream_norm("embedding_norm", embedding_.norm), specs);
  for (size_t i = 0; i < blocks_.size(); ++i)
    add_block(layers_.begin + static_cast<int64_t>(i), blocks_[i], specs);
  if (last && graph_.final_norm) add_norm(stream_norm("final_norm", head_.norm), specs);
  if (last && projected > 0)
    specs.push_back(
        {.name = std::string(kHeadProjectionName), .shape = {width, hidden}, .into = &head_.project});
  if (last && !config_.tied_head) {
    specs.push_back({.name = std::string(kHeadName),
                     .shape = {vocab, width},
                     .shard = Shard::kVocab,
                     .into = &head_.weight});
  }
  if (last && graph_.biases.head)
    specs.push_back({.name = "head.bias", .shape = {vocab}, .shard = Shard::kVocab, .into = &head_.bias});
  return specs;
}

void Decoder::add_block(int64_t layer, Block& block, std::vector<WeightSpec>& specs) {
  const int64_t hidden = config_.hidden_size, inter = config_.inter_size;
  const int64_t q = config_.heads * config_.head_size, kv = config_.kv_heads * config_.head_size;
  const std::string name = fmt::format("layers.{}.", layer);
  const std::vector<NamedNorm> norms = block_norms(layer, block);
  const auto mlp_norms = std::find_if(norms.begin(), norms.end(), [&](const NamedNorm& named) {
    return named.norm == &block.mlp_norm || named.norm == &block.mlp_output_norm;
  });
  std::for_each(norms.begin(), mlp_norms, [&](const NamedNorm& named) { add_norm(named, specs); });
  const std::vector<WeightPart> qkv = {
      {"q", q, config_.heads}, {"k", kv, config_.kv_heads}, {"v", kv, config_.kv_heads}};
  add_linear(name + "attention.qkv", q + 2 * kv, hidden, Shard::kOut, qkv, graph_.biases.qkv,
             block.attention.qkv, specs);
  add_linear(name + "attention.out", hidden, q, Shard::kIn, {}, graph_.biases.attention_out,
             block.attention.out, specs);
  std::for_each(mlp_norms, norms.end(), [&](const NamedNorm& named) { add_norm(named, specs); });
  std::vector<WeightPart> up;
  if (config_.gated_mlp) up = {{"gate", inter, 0}, {"up", inter, 0}};
  const size_t up_weight = specs.size();
  add_linear(name + "mlp.up", config_.gated_mlp ? 2 * inter : inter, hidden, Shard::kOut, up,
             graph_.biases.mlp, block.mlp.up, specs);
  if (!config_.gated_mlp) specs[up_weight].activation = graph_.activation;
  add_linear(name + "mlp.down", hidden, inter, Shard::kIn, {}, graph_.biases.mlp, block.mlp.down, specs);
}

}  // namespace

ModelConfig settle(DecoderConfig read) {
  read.model.family_config = std::move(read.graph);
  return std::move(read.model);
}

std::unique_ptr<Model> build_decoder(const ModelConfig& config, const Dist& dist) {
  return make_decoder(config, std::any_cast<const DecoderGraph&>(config.family_config), dist);
}

std::unique_ptr<Model> make_decoder(const ModelConfig& config, const DecoderGraph& graph, const Dist& dist) {
  return std::make_unique<Decoder>(config, graph, dist);
}

}  // namespace bolide
