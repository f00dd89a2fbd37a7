#include "models/gemma3.h"

#include "models/config.h"
#include "models/scaled_decoder.h"

namespace bolide {
namespace {

// The table of rope_parameters for a type of layers, or null.
const Json* find_layer_rope(const Json& json, const char* type, std::string_view where) {
  const Json* tables = find_object(json, "rope_parameters", where);
  return tables ? find_object(*tables, type, where) : nullptr;
}

// That of full layers: rope_scaling, of files of transformers 4, adds to it. There only "rope_type" names a
// type, not the older "type".
Json full_layer_rope(const Json& json, std::string_view where) {
  const Json *table = find_layer_rope(json, "full_attention", where),
             *scaling = find_object(json, "rope_scaling", where);
  Json both = table ? *table : Json::object();
  if (scaling) both.update(*scaling);
  both.erase("type");
  return both;
}

ModelConfig read_hf_config(const Json& json, std::string_view where) {
  const RopeDefaults full = {.positions = 131072, .theta = 1e6},
                     local = {.positions = 131072, .theta_key = "rope_local_base_freq"};
  DecoderConfig read = read_capped_decoder(json,
                                           {.architecture = kGemma3Family.architecture,
                                            .vocab_size = 262208,
                                            .hidden_size = 2304,
                                            .inter_size = 9216,
                                            .layers = 26,
                                            .heads = 8,
                                            .kv_heads = 4,
                                            .rope = full},
                                           0, 0, where);
  ModelConfig& config = read.model;
  DecoderGraph& graph = read.graph;
  graph.head_norms = HeadNorms::kShared;
  const auto pattern = json_get_or<int64_t>(json, "sliding_window_pattern", 6, where);
  if (pattern < 1) fail(ErrorCode::kCorrupt, "{}: sliding_window_pattern is {}, not above 0", where, pattern);
  // Layers keep their kind of positions where the window is longer than any text.
  const std::vector<bool> slides = read_sliding_layers(
      json, config.layers, [&](int64_t layer) { return (layer + 1) % pattern != 0; }, where);
  set_windows(read_sliding_window(json, 4096, where), slides, config);
  // transformers has none here, whatever the file says.
  if (graph.attention_soft_cap > 0)
    config.warnings.push_back(
        fmt::format("{}: attn_logit_softcapping is left out, as in transformers", where));
  graph.attention_soft_cap = 0;
  const Json of_full_layers = full_layer_rope(json, where);
  const RopeParameters of_full = read_rope_table(&of_full_layers, json, full, config, where);
  const RopeParameters of_local =
      read_rope_table(find_layer_rope(json, "sliding_attention", where), json, local, config, where);
  graph.rotaries = {Rotary(config.head_size, of_full), Rotary(config.head_size, of_local)};
  for (const bool local_layer : slides) graph.layer_rotary.push_back(local_layer ? 1 : 0);
  return settle(std::move(read));
}

}  // namespace

const Family kGemma3Family = {"Gemma3ForCausalLM", "gemma3_text", read_hf_config,
                              kCappedDecoderNames, nullptr,       build_decoder};

}  // namespace bolide
