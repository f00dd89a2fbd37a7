#include "models/decoder.h"

#include <cmath>

#include "layers/embedding.h"
#include "layers/head.h"
#include "tensor/device.h"

namespace bolide {
namespace {

class Decoder final : public Model {
 public:
  Decoder(const ModelConfig& config, const DecoderGraph& graph, const Dist& dist)
      : config_(config), graph_(graph), dist_(dist), layers_(dist.stage_layers(config.layers)) {
    const auto eps = static_cast<float>(config.norm_eps);
    embedding_.vocab_begin = dist.vocab_part(config.vocab_size).begin;
    embedding_.norm.eps = head_.norm.eps = eps;
    embedding_.norm.rms = head_.norm.rms = graph.rms_norm;
    blocks_.resize(static_cast<size_t>(layers_.size()));
    for (size_t i = 0; i < blocks_.size(); ++i) {
      Block& block = blocks_[i];
      block.attention_norm.eps = block.mlp_norm.eps = eps;
      block.attention_norm.rms = block.mlp_norm.rms = graph.rms_norm;
      block.mlp.activation = graph.activation;
      block.mlp.gated = config.gated_mlp;
      SelfAttention& attention = block.attention;
      attention.heads = dist.tensor_part(config.heads).size();
      attention.kv_heads = dist.head_part(config.kv_heads).size();
      attention.head_size = config.head_size;
      if (!config.windows.empty()) attention.window = config.windows[static_cast<size_t>(layers_.begin) + i];
      attention.scale = graph.attention_scales.empty()
                            ? 1.0f / std::sqrt(static_cast<float>(config.head_size))
                            : graph.attention_scales[static_cast<size_t>(layers_.begin) + i];
    }
  }

  const ModelShape& shape() const override { return config_; }

  void prepare(const Context& context) override {
    graph_.rotary.prepare(context);
    if (!graph_.norm_parameters) make_norms(context);
    if (!graph_.alibi) return;
    const Dist::Range heads = dist_.tensor_part(config_.heads);
    const std::vector<float> slopes = alibi_slopes(config_.heads);
    const Tensor local = tensor_of(context, std::span(slopes).subspan(static_cast<size_t>(heads.begin),
                                                                      static_cast<size_t>(heads.size())));
    for (Block& block : blocks_) block.attention.alibi = local;
  }

  void embed(const Context& context, const BatchView& batch, View hidden) const override {
    embedding_.forward(context, batch.token_ids, batch.previous_ids, batch.positions, hidden);
  }

  void run_layers(const Context& context, const KvView& kv, View hidden) const override {
    Arena::Scope scope(*context.arena);
    const RotaryAngles angles = graph_.rotary.angles(context, kv.batch());
    run_blocks(context, blocks_, graph_.norm_place, kv, angles, hidden);
  }

  void logits(const Context& context, const View& hidden, View logits, const Argmax& argmax) const override {
    head_.logits(context, embedding_.table, hidden, logits, argmax);
  }

  std::vector<WeightSpec> weights() override;

 private:
  void add_block(int64_t layer, Block& block, std::vector<WeightSpec>& specs) const;
  void add_norm(const std::string& name, LayerNorm& norm, std::vector<WeightSpec>& specs) const;
  void make_norms(const Context& context);

  ModelConfig config_;
  DecoderGraph graph_;
  Dist dist_;
  Dist::Range layers_;
  Embedding embedding_;
  std::vector<Block> blocks_;
  Head head_;
};

void Decoder::add_norm(const std::string& name, LayerNorm& norm, std::vector<WeightSpec>& specs) const {
  if (!graph_.norm_parameters) return;
  const int64_t size = config_.hidden_size;
  specs.push_back({.name = name + ".weight", .shape = {size}, .dummy_mean = 1, .into = &norm.weight});
  if (!norm.rms) specs.push_back({.name = name + ".bias", .shape = {size}, .into = &norm.bias});
}

// Of norms that have none of their own.
void Decoder::make_norms(const Context& context) {
  const auto vector_of = [&](float value) {
    return tensor_of(context, std::vector<float>(static_cast<size_t>(config_.hidden_size), value));
  };
  const Tensor ones = vector_of(1), zeros = graph_.rms_norm ? Tensor() : vector_of(0);
  const auto fill = [&](LayerNorm& norm) {
    norm.weight = ones;
    norm.bias = zeros;
  };
  if (graph_.embedding_norm) fill(embedding_.norm);
  if (graph_.final_norm) fill(head_.norm);
  for (Block& block : blocks_) {
    fill(block.attention_norm);
    fill(block.mlp_norm);
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
  if (first && graph_.embedding_norm) add_norm("embedding_norm", embedding_.norm, specs);
  for (size_t i = 0; i < blocks_.size(); ++i)
    add_block(layers_.begin + static_cast<int64_t>(i), blocks_[i], specs);
  if (last && graph_.final_norm) add_norm("final_norm", head_.norm, specs);
  if (last && projected > 0)
    specs.push_back(
        {.name = std::string(kHeadProjectionName), .shape = {width, hidden}, .into = &head_.project});
  if (last && !config_.tied_head) {
    specs.push_back({.name = std::string(kHeadName),
                     .shape = {vocab, width},
                     .shard = Shard::kVocab,
                     .into = &head_.weight});
  }
  return specs;
}

void Decoder::add_block(int64_t layer, Block& block, std::vector<WeightSpec>& specs) const {
  const int64_t hidden = config_.hidden_size, inter = config_.inter_size;
  const int64_t q = config_.heads * config_.head_size, kv = config_.kv_heads * config_.head_size;
  const std::string name = fmt::format("layers.{}.", layer);
  add_norm(name + "attention_norm", block.attention_norm, specs);
  const std::vector<WeightPart> qkv = {
      {"q", q, config_.heads}, {"k", kv, config_.kv_heads}, {"v", kv, config_.kv_heads}};
  add_linear(name + "attention.qkv", q + 2 * kv, hidden, Shard::kOut, qkv, graph_.attention_bias,
             block.attention.qkv, specs);
  add_linear(name + "attention.out", hidden, q, Shard::kIn, {}, graph_.attention_bias, block.attention.out,
             specs);
  add_norm(name + "mlp_norm", block.mlp_norm, specs);
  std::vector<WeightPart> up;
  if (config_.gated_mlp) up = {{"gate", inter, 0}, {"up", inter, 0}};
  const size_t up_weight = specs.size();
  add_linear(name + "mlp.up", config_.gated_mlp ? 2 * inter : inter, hidden, Shard::kOut, up, graph_.mlp_bias,
             block.mlp.up, specs);
  if (!config_.gated_mlp) specs[up_weight].activation = graph_.activation;
  add_linear(name + "mlp.down", hidden, inter, Shard::kIn, {}, graph_.mlp_bias, block.mlp.down, specs);
}

}  // namespace

std::unique_ptr<Model> make_decoder(const ModelConfig& config, const DecoderGraph& graph, const Dist& dist) {
  return std::make_unique<Decoder>(config, graph, dist);
}

}  // namespace bolide
