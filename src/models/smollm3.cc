#include "models/smollm3.h"

#include "models/config.h"
#include "models/gated_decoder.h"

namespace bolide {
namespace {

// By layer, whether q and k turn: 1 or 0.
std::vector<int64_t> read_turning(const Json& json, int64_t layers, std::string_view where) {
  const auto interval = json_get_or<int64_t>(json, "no_rope_layer_interval", 4, where);
  if (interval < 1)
    fail(ErrorCode::kCorrupt, "{}: no_rope_layer_interval is {}, not above 0", where, interval);
  std::vector<int64_t> turning;
  for (int64_t i = 0; i < layers; ++i) turning.push_back((i + 1) % interval != 0 ? 1 : 0);
  turning = json_get_or<std::vector<int64_t>>(json, "no_rope_layers", turning, where);
  if (std::ssize(turning) < layers) {
    fail(ErrorCode::kCorrupt, "{}: no_rope_layers has {} layers, and the model {}", where, turning.size(),
         layers);
  }
  turning.resize(static_cast<size_t>(layers));
  return turning;
}

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  DecoderConfig read = read_gated_decoder(json,
                                          {.architecture = kSmolLm3Family.architecture,
                                           .vocab_size = 128256,
                                           .hidden_size = 2048,
                                           .inter_size = 11008,
                                           .layers = 36,
                                           .heads = 16,
                                           .kv_heads = 4,
                                           .tied_head = true,
                                           .bos_id = 128000,
                                           .rope = {.positions = 32768, .theta = 2e6}},
                                          where);
  DecoderGraph& graph = read.graph;
  graph.biases.qkv = graph.biases.attention_out = json_get_or<bool>(json, "attention_bias", false, where);
  graph.biases.mlp = json_get_or<bool>(json, "mlp_bias", false, where);
  const std::vector<int64_t> turning = read_turning(json, read.model.layers, where);
  for (const int64_t turns : turning) graph.layer_rotary.push_back(turns != 0 ? 0 : -1);
  const bool uses = json_get_or<bool>(json, "use_sliding_window", false, where);
  const auto stays = [&](int64_t layer) { return turning[static_cast<size_t>(layer)] == 0; };
  set_windows(uses ? read_sliding_window(json, 0, where) : 0,
              read_sliding_layers(json, read.model.layers, stays, where), read.model);
  return settle(std::move(read));
}

}  // namespace

const Family kSmolLm3Family = {"SmolLM3ForCausalLM", "smollm3", read_hf_config,
                               kGatedDecoderNames,   nullptr,   build_decoder};

}  // namespace bolide
