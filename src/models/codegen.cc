#include "models/codegen.h"

#include "models/interleaved_decoder.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"embedding", "transformer.wte"},
    {"layers.*.attention_norm", "transformer.h.*.ln_1"},
    {"layers.*.attention.qkv", "transformer.h.*.attn.qkv_proj", Layout::kFourBlocks},
    {"layers.*.attention.out", "transformer.h.*.attn.out_proj"},
    {"layers.*.mlp.up", "transformer.h.*.mlp.fc_in"},
    {"layers.*.mlp.down", "transformer.h.*.mlp.fc_out"},
    {"final_norm", "transformer.ln_f"},
    {"head", "lm_head"},
};
constexpr std::string_view kIgnored[] = {"attn.causal_mask", "attn.bias", "attn.masked_bias"};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "transformer.", .ignored = kIgnored};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  ModelConfig config = read_interleaved_decoder(json, kCodegenFamily.architecture, where);
  if (config.hidden_size % 4 != 0) {
    fail(ErrorCode::kCorrupt,
         "{}: the hidden size is {}, not a multiple of the 4 blocks that q, v and k lie in", where,
         config.hidden_size);
  }
  return config;
}

}  // namespace

const Family kCodegenFamily = {"CodeGenForCausalLM", "codegen", read_hf_config, kHfNames, nullptr,
                               build_decoder};

}  // namespace bolide
