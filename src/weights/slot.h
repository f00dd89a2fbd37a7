#pragma once

#include <string>
#include <variant>
#include <vector>

#include "checkpoint/ft_bin.h"
#include "checkpoint/tensor_source.h"
#include "comm/dist.h"
#include "ops/packed_matrix.h"

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
  kAsIs,            // [out, in], or [n]
  kTransposed,      // [in, out]; with s segments [in, s, out / s]
  kHeadInterleaved  // out = heads x segments x head_size instead of segments x heads x head_size (BLOOM's and
                    // NeoX's qkv)
};

struct SlotSource {
  std::vector<std::string> names;  // alternatives; exactly one must be there
  Layout layout = Layout::kAsIs;
};

// One weight of a model: what it is called where, how it is split, and which field of the model it fills.
struct Slot {
  Shape shape;  // canonical and whole: [out, in] or [n]
  Shard shard = Shard::kNone;
  int64_t segments = 1;   // q|k|v: 3. Each segment is split over ranks by itself
  int64_t heads = 1;      // heads per segment, for kHeadInterleaved
  SlotSource hf;          // names in a Hugging Face checkpoint
  std::string ft;         // FT's file stem without rank and ".bin"; its layout: see ft_tensor()
  bool optional = false;  // absent is fine: `into` is left as it is
  std::variant<PackedMatrix*, Tensor*> into;  // matrices are packed in the weights' dtype, vectors are fp32
};

}  // namespace bolide
