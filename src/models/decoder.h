#pragma once

#include <memory>
#include <string_view>

#include "layers/block.h"
#include "models/model.h"

namespace bolide {

// Canonical names that every decoder has.
inline constexpr std::string_view kEmbeddingName = "embedding.weight", kHeadName = "head.weight";
// Where the embedding is narrower than the model.
inline constexpr std::string_view kHeadProjectionName = "project_out.weight";

// What the norms of a graph have.
enum class NormParameters : uint8_t {
  kAll,             // weights, and biases unless they are RMS norms
  kWeights,         // weights alone; biases are 0
  kOnePlusWeights,  // the same, and 1 is added to what files hold, in fp32
  kNone,            // weights are 1, biases 0
};

// Which linear layers have a bias.
struct Biases {
  bool qkv = true, attention_out = true, mlp = true, head = false;
};

// What one decoder's graph is, beside its sizes. A family's file fills it in.
struct DecoderGraph {
  bool rms_norm = false;  // all norms
  NormParameters norm_parameters = NormParameters::kAll;
  bool embedding_norm = false;    // a norm after the embedding
  bool final_norm = true;         // a norm before the head
  float embedding_scale = 1;      // of the token embedding; rounded to the type that weights are stored as
  int64_t learned_positions = 0;  // rows of a table that is added to the embedding; 0: none
  std::vector<float> alibi_slopes = {};    // by head; empty: none
  std::vector<Rotary> rotaries = {};       // kinds of rotary positions; empty: none
  std::vector<int64_t> layer_rotary = {};  // by layer, which kind, below 0 none; empty: the first in all
  BlockForm form = {};
  Activation activation = Activation::kGeluTanh;
  Biases biases = {};
  HeadNorms head_norms = HeadNorms::kNone;  // of the kind of all norms
  NormParameters head_norm_parameters = NormParameters::kAll;
  // Of q.k, by layer; empty: 1 / sqrt(head size) in all.
  std::vector<float> attention_scales = {};
  float attention_soft_cap = 0, logit_soft_cap = 0;  // 0: none
};

// What a family that has nothing else of its own makes of a config.
struct DecoderConfig {
  ModelConfig model;
  DecoderGraph graph;
};
// The config with the graph in it, and with what the runtime must know of that.
ModelConfig settle(DecoderConfig read);
// Such a family's `build`.
std::unique_ptr<Model> build_decoder(const ModelConfig& config, const Dist& dist);

// The model of such a graph: embedding, blocks (norm, attention, norm, MLP), norm, head. Its weights go by
// the canonical names
//
//     embedding.weight, project_in.weight, position_embedding.weight, embedding_norm.{weight,bias}
//     layers.N.{attention_norm,attention.qkv,attention.q_norm,attention.k_norm,attention.out,
//               attention_output_norm,mlp_norm,mlp.up,mlp.down,mlp_output_norm}.{weight,bias}
//     final_norm.{weight,bias}, project_out.weight, head.{weight,bias}
//
// RMS norms have no bias, and of all these there are those that the graph asks for; project_in and
// project_out come with ModelConfig::projected_embedding. The mlp.up of a gated MLP has the parts gate and
// up.
std::unique_ptr<Model> make_decoder(const ModelConfig& config, const DecoderGraph& graph, const Dist& dist);

}  // namespace bolide
