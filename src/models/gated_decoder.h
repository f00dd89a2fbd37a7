#pragma once

// Decoders with rotary positions, and most with RMS norms and gated MLPs, whose config.json has LLaMA's keys
// and whose weights have its names.
#include <functional>

#include "models/decoder.h"
#include "models/family.h"
#include "models/rope_config.h"

namespace bolide {

// What transformers' config class of a family has where a file says nothing, and what it calls it.
struct GatedDecoderDefaults {
  std::string_view architecture;
  int64_t vocab_size = 32000;
  int64_t hidden_size = 0, inter_size = 0;
  int64_t layers = 32, heads = 32;
  int64_t kv_heads = 0;   // 0: as many as heads
  int64_t head_size = 0;  // 0: hidden_size / heads
  bool reads_kv_heads = true, reads_head_size = true;
  bool rms_norm = true, gated_mlp = true;
  const char* eps_key = "rms_norm_eps";
  double eps = 1e-6;
  bool tied_head = false;
  int32_t bos_id = -1;
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
  RopeDefaults rope = {};
};

// Reads the keys that all have, for a graph without biases and with rotary positions of one kind in all
// layers. What else a family's file may say, the family reads.
DecoderConfig read_gated_decoder(const Json& json, const GatedDecoderDefaults& defaults,
                                 std::string_view where);
// Which layers have a sliding window, by layer_types or, where a file has none, as `slides(layer)` says.
std::vector<bool> read_sliding_layers(const Json& json, int64_t layers,
                                      const std::function<bool(int64_t)>& slides, std::string_view where);
// Gives these the window; 0: none.
void set_windows(int64_t window, const std::vector<bool>& sliding, ModelConfig& config);
// The same of Qwen's: with use_sliding_window, in the layers from max_window_layers on.
void read_upper_windows(const Json& json, ModelConfig& config, std::string_view where);
extern const NameTable kGatedDecoderNames;

}  // namespace bolide
