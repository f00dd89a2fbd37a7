#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace bolide {

// A tensor of a state dict, as the pickle describes it. Not yet checked against the storage's file.
struct PickledTensor {
  std::string name;
  std::string storage;    // key of the storage: the entry "<prefix>/data/<key>" of the archive
  int64_t storage_bytes;  // that the entry must have
  DType dtype;
  int64_t offset;  // of the first element, in elements of the storage
  Shape shape;
  std::array<int64_t, Shape::kMaxRank> strides;  // in elements
};

// The tensors of a pickled {name: tensor} in file order. kCorrupt or kUnsupported naming `where` for anything
// else, above all for any call but those that build tensors and ordered dicts.
std::vector<PickledTensor> read_state_dict(std::span<const std::byte> pickle, std::string_view where);

}  // namespace bolide
