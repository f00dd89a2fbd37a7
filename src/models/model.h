#pragma once

#include <any>
#include <memory>
#include <string>
#include <vector>

#include "bolide/model_shape.h"
#include "cache/kv_cache.h"
#include "ops/matmul.h"
#include "tensor/context.h"
#include "weights/weight_spec.h"

namespace bolide {

// What the files in this folder know of a model: its shape, which is all that the runtime sees, and what
// several families' graphs need.
struct ModelConfig : ModelShape {
  // Columns of the token embedding and the head, where projections lead to hidden_size and back; 0: these are
  // hidden_size.
  int64_t projected_embedding = 0;
  bool gated_mlp = false;  // activation(gate) * up, each of inter_size
  DType checkpoint_dtype = DType::kF32;
  bool tied_head = true;   // the head is the token embedding
  std::any family_config;  // what only the family's own file reads
  // What the files say and the model does not follow, a line each; who loads it tells the user once.
  std::vector<std::string> warnings;
};

// Keys and values, or what else a model keeps of the tokens that it has seen, over all its layers and ranks.
enum class CacheKind : uint8_t {
  kSelf,    // a row a token of the text
  kCross,   // a row a token of an encoder's text, filled once
  kWindow,  // of the last tokens alone, in a ring
  kState,   // as much for any text
};
struct CacheSpec {
  CacheKind kind = CacheKind::kSelf;
  int64_t layers = 0, kv_heads = 0, head_size = 0;
};
// What a model can do.
struct Abilities {
  bool embed = true, encode = false, run_layers = true, logits = true, pool = false;
};

// The part of a model that this rank holds: some layers, and a tensor-parallel slice of each. Immutable after
// loading; the methods may be called by one thread at a time.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelShape& shape() const = 0;
  // What the runtime is to allocate for it, and to drive; what it cannot yet it refuses (worker/rank.h).
  // These are a decoder's.
  virtual std::vector<CacheSpec> caches() const {
    return {{.layers = shape().layers, .kv_heads = shape().kv_heads, .head_size = shape().head_size}};
  }
  virtual Abilities abilities() const { return {}; }
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
