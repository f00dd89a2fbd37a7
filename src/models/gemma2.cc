#include "models/gemma2.h"

#include "models/config.h"
#include "models/scaled_decoder.h"

namespace bolide {
namespace {

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_capped_decoder(json,
                                           {.architecture = kGemma2Family.architecture,
                                            .vocab_size = 256000,
                                            .hidden_size = 2304,
                                            .inter_size = 9216,
                                            .layers = 26,
                                            .heads = 8,
                                            .kv_heads = 4,
                                            .rope = {.positions = 8192}},
                                           50, 30, where);
  const auto is_even = [](int64_t layer) { return layer % 2 == 0; };
  set_windows(read_sliding_window(json, 4096, where),
              read_sliding_layers(json, read.model.layers, is_even, where), read.model);
  return settle(std::move(read));
}

}  // namespace

const Family kGemma2Family = {"Gemma2ForCausalLM", "gemma2", read_hf_config,
                              kCappedDecoderNames, nullptr,  build_decoder};

}  // namespace bolide
