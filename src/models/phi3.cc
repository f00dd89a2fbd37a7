#include "models/phi3.h"

#include "models/config.h"
#include "models/gated_decoder.h"

namespace bolide {
namespace {

constexpr NameRow kRows[] = {
    {"layers.*.attention.qkv", "model.layers.*.self_attn.qkv_proj"},
    {"layers.*.mlp.up", "model.layers.*.mlp.gate_up_proj"},
};
constexpr NameTable kHfNames = {.rows = kRows, .optional_prefix = "model.", .base = &kGatedDecoderNames};

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read =
      read_gated_decoder(json,
                         {.architecture = kPhi3Family.architecture,
                          .vocab_size = 32064,
                          .hidden_size = 3072,
                          .inter_size = 8192,
                          .eps = 1e-5,
                          .bos_id = 1,
                          .rope = {.positions = 4096, .partial = 1, .original_positions = 4096}},
                         where);
  check_plain_or_long(read.graph.rotaries.front().parameters(), where);
  const int64_t window = read_sliding_window(json, 0, where);
  if (window > 0) read.model.windows.assign(static_cast<size_t>(read.model.layers), window);
  return settle(std::move(read));
}

}  // namespace

const Family kPhi3Family = {"Phi3ForCausalLM", "phi3", read_hf_config, kHfNames, nullptr, build_decoder};

}  // namespace bolide
