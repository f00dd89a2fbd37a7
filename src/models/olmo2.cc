#include "models/olmo2.h"

#include "models/config.h"
#include "models/gated_decoder.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"layers.*.attention_norm", "model.layers.*.post_attention_layernorm"},
    {"layers.*.mlp_norm", "model.layers.*.post_feedforward_layernorm"},
};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "model.", .base = &kGatedDecoderNames};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_gated_decoder(json,
                                          {.architecture = kOlmo2Family.architecture,
                                           .vocab_size = 50304,
                                           .hidden_size = 4096,
                                           .inter_size = 11008,
                                           .eps = 1e-5,
                                           .rope = {.positions = 2048}},
                                          where);
  json_must_be_off(json, "attention_bias", where);  // it would be added before the norm of the ranks' sum
  read.graph.form.norm_place = NormPlace::kOutput;
  read.graph.head_norms = HeadNorms::kRow;
  return settle(std::move(read));
}

}  // namespace

const Family kOlmo2Family = {"Olmo2ForCausalLM", "olmo2", read_hf_config, kHfNames, nullptr, build_decoder};

}  // namespace bolide
