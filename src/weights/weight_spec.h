#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "comm/dist.h"
#include "quant/weight_scheme.h"

namespace bolide {

// How tensor parallelism divides a weight, in its canonical shape ([out, in], or [out] for a vector).
enum class Shard : uint8_t {
  kNone,   // every rank holds all of it
  kOut,    // rows of each part (column-parallel in Megatron's words: qkv, FFN up)
  kIn,     // columns (row-parallel: attention out, FFN down)
  kVocab,  // rows, the whole vocabulary over ranks; one plain file in an FT folder
};

// Rows of a weight that belong together: q, k and v, or gate and up. Each part is split over ranks by itself.
struct WeightPart {
  std::string_view name;  // in name tables: "q"
  int64_t rows = 0;
  // Of so many heads, none of which is cut: rows / heads each. Fewer heads than ranks are replicated, see
  // Dist::head_part. 0: rows are split evenly.
  int64_t heads = 0;
};

// One weight of a model: what it is, how ranks share it, and which field of the model it fills. Files know it
// under other names and in other orders (name_table.h).
struct WeightSpec {
  std::string name;  // canonical: "layers.3.attention.qkv.weight"
  Shape shape;       // canonical and whole: [out, in] or [n]
  Shard shard = Shard::kNone;
  std::vector<WeightPart> parts = {};  // stacked along the first axis; empty: one, of all rows
  std::string alias = {};              // another canonical name of the same weight: a tied head's
  bool as_activation = false;  // a vector of context.activation (a bias added where such a result is stored)
                               // instead of fp32
  Activation activation = Activation::kNone;  // of the product with it, where that is part of the product
  bool dense = false;    // a matrix that no scheme packs: a small table, which no product reads
  float offset = 0;      // added to the values of a file, in fp32: a vector's
  float dummy_mean = 0;  // centre of the random values of --load-format dummy (1 for a norm's weight)
  std::variant<Weight*, Tensor*> into;  // a matrix as the model's are stored, or a vector

  bool is_matrix() const { return shape.rank() == 2; }
  int64_t cols() const { return is_matrix() ? shape[1] : 1; }
  bool is_split() const { return shard == Shard::kOut || shard == Shard::kIn; }
};

// The parts of a weight, at least one.
inline std::vector<WeightPart> parts_of(const WeightSpec& spec) {
  return spec.parts.empty() ? std::vector<WeightPart>{{"", spec.shape[0], 0}} : spec.parts;
}

// This rank's rows of a part, in the part.
Dist::Range local_rows(const WeightSpec& spec, const WeightPart& part, const Dist& dist);
// This rank's columns.
Dist::Range local_cols(const WeightSpec& spec, const Dist& dist);
// The canonical shape of this rank's share.
Shape local_shape(const WeightSpec& spec, const Dist& dist);
// How this matrix is stored where the model's are as `storage` says.
WeightStorage storage_of(const WeightSpec& spec, const WeightStorage& storage);
// Bytes that a rank's share of all of them takes once loaded, in a CPU's layout.
int64_t weight_bytes(std::span<const WeightSpec> specs, const Dist& dist, const WeightStorage& storage);

}  // namespace bolide
