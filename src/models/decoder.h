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

// What one decoder's graph is, beside its sizes. A family's file fills it in.
struct DecoderGraph {
  bool rms_norm = false;          // all norms
  bool norm_parameters = true;    // norms have weights, and biases unless RMS; else they are 1 and 0
  bool embedding_norm = false;    // a norm after the embedding
  bool final_norm = true;         // a norm before the head
  int64_t learned_positions = 0;  // rows of a table that is added to the embedding; 0: none
  bool alibi = false;
  Rotary rotary = {};
  NormPlace norm_place = NormPlace::kPre;
  Activation activation = Activation::kGeluTanh;
  bool attention_bias = true, mlp_bias = true;
  // Of q.k, by layer; empty: 1 / sqrt(head size) in all.
  std::vector<float> attention_scales = {};
};

// The model of such a graph: embedding, blocks (norm, attention, norm, MLP), norm, head. Its weights go by
// the canonical names
//
//     embedding.weight, project_in.weight, position_embedding.weight, embedding_norm.{weight,bias}
//     layers.N.{attention_norm,attention.qkv,attention.out,mlp_norm,mlp.up,mlp.down}.{weight,bias}
//     final_norm.{weight,bias}, project_out.weight, head.weight
//
// RMS norms have no bias, and of all these there are those that the graph asks for; project_in and
// project_out come with ModelConfig::projected_embedding. The mlp.up of a gated MLP has the parts gate and
// up.
std::unique_ptr<Model> make_decoder(const ModelConfig& config, const DecoderGraph& graph, const Dist& dist);

}  // namespace bolide
