#include "models/scaled_decoder.h"

#include <cmath>

#include "models/config.h"

namespace bolide {
namespace {

constexpr NameRow kCappedRows[] = {
    {"layers.*.attention_output_norm", "model.layers.*.post_attention_layernorm"},
    {"layers.*.mlp_norm", "model.layers.*.pre_feedforward_layernorm"},
    {"layers.*.mlp_output_norm", "model.layers.*.post_feedforward_layernorm"},
};

}  // namespace

constexpr NameTable kCappedDecoderNames = {
    .rows = kCappedRows, .optional_prefix = "model.", .base = &kGatedDecoderNames};

DecoderConfig read_scaled_decoder(const Json& json, GatedDecoderDefaults defaults, std::string_view where) {
  defaults.head_size = 256;
  defaults.tied_head = true;
  defaults.bos_id = 2;
  defaults.activation = "gelu_pytorch_tanh";
  DecoderConfig read = read_gated_decoder(json, defaults, where);
  json_must_be_off(json, "use_bidirectional_attention", where);
  read.graph.norm_parameters = read.graph.head_norm_parameters = NormParameters::kOnePlusWeights;
  read.graph.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(read.model.hidden_size)));
  return read;
}

DecoderConfig read_capped_decoder(const Json& json, GatedDecoderDefaults defaults, double attention_cap,
                                  double logit_cap, std::string_view where) {
  defaults.activation_key = "hidden_activation";
  DecoderConfig read = read_scaled_decoder(json, defaults, where);
  // A bias would have to be added to the ranks' sum before its norm.
  json_must_be_off(json, "attention_bias", where);
  DecoderGraph& graph = read.graph;
  graph.form.norm_place = NormPlace::kPreAndOutput;
  const auto scalar = json_get_or<double>(json, "query_pre_attn_scalar", 256, where);
  if (!(scalar > 0 && scalar < 1e9))
    fail(ErrorCode::kCorrupt, "{}: query_pre_attn_scalar is {}, not above 0", where, scalar);
  graph.attention_scales.assign(static_cast<size_t>(read.model.layers),
                                static_cast<float>(1 / std::sqrt(scalar)));
  graph.attention_soft_cap = read_optional_number(json, "attn_logit_softcapping", attention_cap, where);
  graph.logit_soft_cap = read_optional_number(json, "final_logit_softcapping", logit_cap, where);
  return read;
}

}  // namespace bolide
