#include "models/gemma.h"

#include "models/scaled_decoder.h"

namespace bolide {
namespace {

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_scaled_decoder(json,
                                           {.architecture = kGemmaFamily.architecture,
                                            .vocab_size = 256000,
                                            .hidden_size = 3072,
                                            .inter_size = 24576,
                                            .layers = 28,
                                            .heads = 16,
                                            .kv_heads = 16,
                                            .rope = {.positions = 8192}},
                                           where);
  // The first files say "gelu", and mean this one; transformers corrects it, too.
  if (json_get_or<std::string>(json, "hidden_act", "", where) == "gelu")
    read.graph.activation = Activation::kGeluTanh;
  read.graph.biases.qkv = read.graph.biases.attention_out =
      json_get_or<bool>(json, "attention_bias", false, where);
  return settle(std::move(read));
}

}  // namespace

const Family kGemmaFamily = {"GemmaForCausalLM", "gemma", read_hf_config,
                             kGatedDecoderNames, nullptr, build_decoder};

}  // namespace bolide
