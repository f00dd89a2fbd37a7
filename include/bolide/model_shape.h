#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace bolide {

/// What is known of any model, whatever its family: all that the runtime asks of one.
struct ModelShape {
  std::string architecture = {};  ///< "BloomForCausalLM"
  int64_t vocab_size = 0, hidden_size = 0, layers = 0, heads = 0, kv_heads = 0, head_size = 0;
  int64_t inter_size = 0;     ///< inner units of an MLP
  int64_t max_positions = 0;  ///< of a prompt and its new tokens together; 0: the model sets no limit
  /// By layer, how many tokens one sees, itself among them; 0: all. Empty: all in every layer.
  std::vector<int64_t> windows = {};
  double norm_eps = 1e-5;             ///< epsilon of the norms
  int32_t bos_id = -1;                ///< -1: none
  std::vector<int32_t> end_ids = {};  ///< any of them ends a text

  /// No layer sees tokens that are so many away or further; 0: some layer sees all.
  int64_t cache_window() const {
    const auto [least, most] = std::minmax_element(windows.begin(), windows.end());
    return windows.empty() || *least == 0 ? 0 : *most;
  }
};

}  // namespace bolide
