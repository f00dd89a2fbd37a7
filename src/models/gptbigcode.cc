#include "models/gptbigcode.h"

#include "models/decoder.h"
#include "models/short_keys.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"embedding", "transformer.wte"},
    {"position_embedding", "transformer.wpe"},
    {"layers.*.attention_norm", "transformer.h.*.ln_1"},
    // With one key and value head one group, of all q.
    {"layers.*.attention.qkv", "transformer.h.*.attn.c_attn", Layout::kHeadInterleaved},
    {"layers.*.attention.out", "transformer.h.*.attn.c_proj"},
    {"layers.*.mlp_norm", "transformer.h.*.ln_2"},
    {"layers.*.mlp.up", "transformer.h.*.mlp.c_fc"},
    {"layers.*.mlp.down", "transformer.h.*.mlp.c_proj"},
    {"final_norm", "transformer.ln_f"},
    {"head", "lm_head"},
};
constexpr std::string_view kIgnored[] = {"attn.bias", "attn.masked_bias"};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "transformer.", .ignored = kIgnored};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read;
  ModelConfig& config = read.model;
  config = read_short_keys(json, {.architecture = kGptBigCodeFamily.architecture}, where);
  json_must_be_off(json, "add_cross_attention", where);
  if (json_get_or<bool>(json, "multi_query", true, where)) config.kv_heads = 1;
  DecoderGraph& graph = read.graph;
  graph.learned_positions = config.max_positions;
  graph.activation = read_activation_function(json, "gelu_pytorch_tanh", where);
  if (!json_get_or<bool>(json, "scale_attn_weights", true, where))
    graph.attention_scales.assign(static_cast<size_t>(config.layers), 1.0f);
  return settle(std::move(read));
}

}  // namespace

const Family kGptBigCodeFamily = {
    "GPTBigCodeForCausalLM", "gpt_bigcode", read_hf_config, kHfNames, nullptr, build_decoder};

}  // namespace bolide
