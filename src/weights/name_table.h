#pragma once

#include <span>

#include "checkpoint/tensor_source.h"
#include "weights/weight_spec.h"

namespace bolide {

// How a file lays the elements of a weight, or of some of its parts, out. Vectors have no input axis.
enum class Layout : uint8_t {
  kAsIs,             // [out, in]: one part after the other
  kTransposed,       // [in, out], the same order
  kTransposedParts,  // [in, parts, out / parts], parts of one size: FT's qkv, split over its files by part
  kHeadInterleaved,  // [out, in], by group of heads: its q heads, its k, its v; with as many of each, by head
                     // (the qkv of BLOOM, NeoX and Falcon)
  kFourBlocks,       // [out, in], in four blocks of a quarter of each part: of three the first, last, second
                     // (the q, v and k of CodeGen, as four ranks once held it)
  kTensorPerHead,    // a vector's heads in a tensor each: a second "*" stands for the number of the head
};

// One row: what a kind of file calls a weight. "*" stands for the number of a layer.
struct NameRow {
  // "layers.*.attention.qkv" is the weight and the bias, which keep their endings; with ".weight" the stored
  // name is taken as it stands. "layers.*.attention.qkv/q" is one part alone.
  std::string_view canonical;
  std::string_view stored;
  Layout layout = Layout::kAsIs;
  int64_t skipped_rows = 0;  // of a tensor of kAsIs, before the weight's own, which nobody reads
};

// What one kind of checkpoint calls the weights of a family, or of several. Rows for the same weight are
// alternatives, the usual one first.
struct NameTable {
  std::span<const NameRow> rows;
  // Stands in front of a name or not, as who saved the file had it: "transformer.".
  std::string_view optional_prefix = {};
  // Buffers that old checkpoints store beside the weights and that transformers, too, does not read: patterns
  // as matches_name() has them.
  std::span<const std::string_view> ignored = {};
  // Names the weights for which this table has no row, by its own prefix.
  const NameTable* base = nullptr;
};

// A tensor of a checkpoint that holds a weight, or some of its parts.
struct WeightSource {
  std::vector<std::string> names;  // alternatives, the usual one first
  Layout layout = Layout::kAsIs;
  size_t first_part = 0, parts = 1;
  int64_t skipped_rows = 0;
  int64_t head = -1;  // of kTensorPerHead: the head whose elements it has
};

// The tensors that hold the weight: each of its parts is in one of them. Our own fault, and a CHECK, where
// the table has no row for one.
std::vector<WeightSource> sources_of(const WeightSpec& spec, const NameTable& table);
// The shape of such a tensor, whole.
Shape stored_shape(const WeightSpec& spec, const WeightSource& source);
// Of the alternatives the one that `checkpoint` has; empty when it has none.
std::string find_name(const TensorSource& checkpoint, const WeightSource& source);

// Whether the table or one of its bases ignores it.
bool is_buffer(const NameTable& table, std::string_view name);

// Whether `pattern` is `name` or its last dotted components; "*" stands for any one component.
// "attn.bias" matches "h.0.attn.bias", and neither "h.0.attn.bias.scale" nor "h.0.crossattn.bias".
bool matches_name(std::string_view pattern, std::string_view name);

}  // namespace bolide
