#include "models/stablelm.h"

#include "models/gated_decoder.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"layers.*.attention.q_norm", "model.layers.*.self_attn.q_layernorm.norms.*", Layout::kTensorPerHead},
    {"layers.*.attention.k_norm", "model.layers.*.self_attn.k_layernorm.norms.*", Layout::kTensorPerHead},
};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "model.", .base = &kGatedDecoderNames};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_gated_decoder(json,
                                          {.architecture = kStableLmFamily.architecture,
                                           .vocab_size = 50304,
                                           .hidden_size = 2560,
                                           .inter_size = 6912,
                                           .kv_heads = 32,
                                           .reads_head_size = false,
                                           .rms_norm = false,
                                           .eps_key = "layer_norm_eps",
                                           .eps = 1e-5,
                                           .bos_id = 0,
                                           .rope = {.positions = 4096, .partial = 0.25}},
                                          where);
  DecoderGraph& graph = read.graph;
  if (json_get_or<bool>(json, "use_parallel_residual", false, where))
    graph.form.residual = Residual::kParallelSharedNorm;
  graph.biases.qkv = json_get_or<bool>(json, "use_qkv_bias", false, where);
  if (json_get_or<bool>(json, "qk_layernorm", false, where)) {
    graph.head_norms = HeadNorms::kEachHead;
    graph.head_norm_parameters = NormParameters::kWeights;
  }
  return settle(std::move(read));
}

}  // namespace

const Family kStableLmFamily = {"StableLmForCausalLM", "stablelm", read_hf_config, kHfNames, nullptr,
                                build_decoder};

}  // namespace bolide
