#include "models/gptj.h"

#include "models/interleaved_decoder.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"embedding", "transformer.wte"},
    {"layers.*.attention_norm", "transformer.h.*.ln_1"},
    {"layers.*.attention.qkv/q", "transformer.h.*.attn.q_proj"},
    {"layers.*.attention.qkv/k", "transformer.h.*.attn.k_proj"},
    {"layers.*.attention.qkv/v", "transformer.h.*.attn.v_proj"},
    {"layers.*.attention.out", "transformer.h.*.attn.out_proj"},
    {"layers.*.mlp.up", "transformer.h.*.mlp.fc_in"},
    {"layers.*.mlp.down", "transformer.h.*.mlp.fc_out"},
    {"final_norm", "transformer.ln_f"},
    {"head", "lm_head"},
};
constexpr std::string_view kIgnored[] = {"attn.bias", "attn.masked_bias"};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "transformer.", .ignored = kIgnored};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  return read_interleaved_decoder(json, kGptjFamily.architecture, where);
}

}  // namespace

const Family kGptjFamily = {"GPTJForCausalLM", "gptj", read_hf_config, kHfNames, nullptr, build_decoder};

}  // namespace bolide
