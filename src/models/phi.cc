#include "models/phi.h"

#include "models/gated_decoder.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"layers.*.attention.q_norm", "model.layers.*.self_attn.q_layernorm"},
    {"layers.*.attention.k_norm", "model.layers.*.self_attn.k_layernorm"},
    {"layers.*.attention.out", "model.layers.*.self_attn.dense"},
    {"layers.*.mlp.up", "model.layers.*.mlp.fc1"},
    {"layers.*.mlp.down", "model.layers.*.mlp.fc2"},
    {"final_norm", "model.final_layernorm"},
};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "model.", .base = &kGatedDecoderNames};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_gated_decoder(json,
                                          {.architecture = kPhiFamily.architecture,
                                           .vocab_size = 51200,
                                           .hidden_size = 2048,
                                           .inter_size = 8192,
                                           .layers = 24,
                                           .rms_norm = false,
                                           .gated_mlp = false,
                                           .eps_key = "layer_norm_eps",
                                           .eps = 1e-5,
                                           .bos_id = 1,
                                           .activation = "gelu_new",
                                           .rope = {.positions = 2048, .partial = 0.5}},
                                          where);
  DecoderGraph& graph = read.graph;
  graph.form.residual = Residual::kParallelSharedNorm;
  graph.biases = {.head = true};
  if (json_get_or<bool>(json, "qk_layernorm", false, where)) graph.head_norms = HeadNorms::kShared;
  return settle(std::move(read));
}

}  // namespace

const Family kPhiFamily = {"PhiForCausalLM", "phi", read_hf_config, kHfNames, nullptr, build_decoder};

}  // namespace bolide
