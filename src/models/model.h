#pragma once

#include <algorithm>
#include <any>
#include <memory>
#include <string>
#include <vector>

#include "cache/kv_cache.h"
#include "ops/matmul.h"
#include "tensor/context.h"
#include "weights/weight_spec.h"

namespace bolide {

// What the runtime must know of a model, whatever its family.
struct ModelConfig {
  std::string architecture;  // "BloomForCausalLM"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_size = 0;
  int64_t inter_size = 0;
  // Columns of the token embedding and the head, where projections lead to hidden_size and back; 0: these are
  // hidden_size.
  int64_t projected_embedding = 0;
  bool gated_mlp = false;             // activation(gate) * up, each of inter_size
  int64_t rotary_dims = 0;            // of each head, that rotary positions turn
  int64_t max_positions = 0;          // 0: no limit of the model's own (ALiBi, rotary)
  std::vector<int64_t> windows = {};  // by layer, see AttentionMask::window; empty: none
  double norm_eps = 1e-5;
  int32_t bos_id = -1;           // -1: none
  std::vector<int32_t> end_ids;  // any of them ends a text
  DType checkpoint_dtype = DType::kF32;
  bool tied_head = true;   // the head is the token embedding
  std::any family_config;  // what only the family's own file reads
  // What the files say and the model does not follow, a line each; who loads it tells the user once.
  std::vector<std::string> warnings;

  // No layer sees keys that are so many away or further; 0: some layer sees all.
  int64_t cache_window() const {
    const auto [least, most] = std::minmax_element(windows.begin(), windows.end());
    return windows.empty() || *least == 0 ? 0 : *most;
  }
};

// The part of a model that this rank holds: some layers, and a tensor-parallel slice of each. Immutable after
// loading; the methods may be called by one thread at a time.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelConfig& config() const = 0;
  // hidden [T, hidden] = embedded (and, where the family has it, normalised) tokens. First stage only.
  virtual void embed(const Context& context, const BatchView& batch, View hidden) const = 0;
  // This rank's layers, in place; writes the tokens' keys and values into the cache.
  virtual void run_layers(const Context& context, const KvView& kv, View hidden) const = 0;
  // logits [n, local vocab] of n hidden rows: final norm and head, this tensor rank's ids (see
  // Dist::vocab_part). Last stage only. With `argmax` (see ops/matmul.h; else it is empty) no more is wanted
  // than each row's largest logit, and `logits` is scratch.
  virtual void logits(const Context& context, const View& hidden, View logits,
                      const Argmax& argmax) const = 0;
  // Makes what is computed rather than loaded, on context.device. Once, after the weights are loaded.
  virtual void prepare(const Context& context) = 0;
  // Every weight of this rank, bound to the field that it fills: the one list that loading, writing and all
  // counts follow from.
  virtual std::vector<WeightSpec> weights() = 0;
};

}  // namespace bolide
