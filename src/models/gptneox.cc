#include "models/gptneox.h"

#include "models/gated_decoder.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"embedding", "gpt_neox.embed_in"},
    {"layers.*.attention_norm", "gpt_neox.layers.*.input_layernorm"},
    {"layers.*.attention.qkv", "gpt_neox.layers.*.attention.query_key_value", Layout::kHeadInterleaved},
    {"layers.*.attention.out", "gpt_neox.layers.*.attention.dense"},
    {"layers.*.mlp_norm", "gpt_neox.layers.*.post_attention_layernorm"},
    {"layers.*.mlp.up", "gpt_neox.layers.*.mlp.dense_h_to_4h"},
    {"layers.*.mlp.down", "gpt_neox.layers.*.mlp.dense_4h_to_h"},
    {"final_norm", "gpt_neox.final_layer_norm"},
    {"head", "embed_out"},
    {"head", "lm_head"},  // as newer versions of transformers name it
};
constexpr std::string_view kIgnored[] = {"attention.bias", "attention.masked_bias", "rotary_emb.inv_freq"};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "gpt_neox.", .ignored = kIgnored};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_gated_decoder(json,
                                          {.architecture = kGptNeoxFamily.architecture,
                                           .vocab_size = 50432,
                                           .hidden_size = 6144,
                                           .inter_size = 24576,
                                           .layers = 44,
                                           .heads = 64,
                                           .reads_kv_heads = false,
                                           .reads_head_size = false,
                                           .rms_norm = false,
                                           .gated_mlp = false,
                                           .eps_key = "layer_norm_eps",
                                           .eps = 1e-5,
                                           .bos_id = 0,
                                           .activation = "gelu",
                                           .rope = {.positions = 2048,
                                                    .theta_key = "rotary_emb_base",
                                                    .partial = 0.25,
                                                    .partial_key = "rotary_pct"}},
                                          where);
  DecoderGraph& graph = read.graph;
  const bool parallel = json_get_or<bool>(json, "use_parallel_residual", true, where);
  graph.form.residual = parallel ? Residual::kParallel : Residual::kSequential;
  graph.biases.qkv = graph.biases.attention_out = json_get_or<bool>(json, "attention_bias", true, where);
  graph.biases.mlp = true;
  return settle(std::move(read));
}

}  // namespace

const Family kGptNeoxFamily = {"GPTNeoXForCausalLM", "gpt_neox", read_hf_config, kHfNames, nullptr,
                               build_decoder};

}  // namespace bolide
