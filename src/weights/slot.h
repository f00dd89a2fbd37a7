#pragma once

#include <string>
#include <variant>
#include <vector>

#include "checkpoint/tensor_source.h"
#include "comm/dist.h"
#include "quant/weight_format.h"

namespace bolide {

// How tensor parallelism divides a weight, in its canonical shape ([out, in], or [out] for a vector).
enum class Shard : uint8_t {
  kNone,   // every rank holds all of it
  kOut,    // rows of each segment (column-parallel in Megatron's words: qkv, FFN up)
  kIn,     // columns (row-parallel: attention out, FFN down)
  kVocab,  // rows, whole vocabulary over ranks; one plain file in an FT folder
};

// How a checkpoint lays the elements of a canonical [out, in] weight out.
enum class Layout : uint8_t {
  kAsIs,             // [out, in], or [n]
  kTransposed,       // [in, out]; with s segments [in, s, out / s], and a vector then [s, n / s]
  kHeadInterleaved,  // out = heads x segments x head_size instead of segments x heads x head_size (BLOOM's
                     // and NeoX's qkv)
};

struct SlotSource {
  std::vector<std::string> names;  // alternatives, the usual one first
  Layout layout = Layout::kAsIs;
};

// One weight of a model: what it is called where, how it is split, and which field of the model it fills.
struct Slot {
  Shape shape;  // canonical and whole: [out, in] or [n]
  Shard shard = Shard::kNone;
  int64_t segments = 1;        // q|k|v: 3. Each segment is split over ranks by itself
  int64_t heads = 1;           // heads per segment, for kHeadInterleaved
  SlotSource hf = {};          // in a Hugging Face checkpoint
  SlotSource ft = {};          // in an FT folder: file stems without rank and ".bin"
  bool as_activation = false;  // a vector of context.activation (a bias added where such a result is stored)
                               // instead of fp32
  float dummy_mean = 0;        // centre of the random values of --load-format dummy (1 for a norm's weight)
  std::variant<Weight*, Tensor*> into;  // a matrix in the weights' dtype, or a vector

  bool is_matrix() const { return shape.rank() == 2; }
};

}  // namespace bolide
