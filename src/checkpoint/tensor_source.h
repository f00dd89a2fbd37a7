#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace bolide {

struct TensorInfo {
  DType dtype;
  Shape shape;
};

// A box inside a tensor: per axis the half-open range [begin, end).
struct Slice {
  std::array<int64_t, Shape::kMaxRank> begin{};
  std::array<int64_t, Shape::kMaxRank> end{};
  static Slice all(const Shape& shape);
  // all(shape), narrowed to [begin, end) on one axis.
  static Slice along(const Shape& shape, int axis, int64_t begin, int64_t end);
  Shape shape(int rank) const;
};

// A checkpoint as a set of named, shaped tensors, whatever files it lies in. Opening reads headers only;
// read() touches just the bytes of the slice. Const methods are thread-safe.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // All tensor names, sorted.
  virtual std::vector<std::string> names() const = 0;
  virtual bool contains(const std::string& name) const = 0;
  // The one of names() that holds this tensor: another than `name` where that is an alias of it.
  virtual std::string stored_name(const std::string& name) const { return name; }
  // kNotFound naming the tensor and the checkpoint when it is not there.
  virtual TensorInfo info(const std::string& name) const = 0;
  // Writes the box's elements, C order, in the tensor's own dtype, to `into`. kCorrupt when the file is not
  // any more what it was when it was opened.
  virtual void read(const std::string& name, const Slice& slice, void* into) const = 0;
  // For messages: the file (or folder) that holds the tensor.
  virtual std::string where(const std::string& name) const = 0;
  // The file with the first element of this part of it.
  virtual std::string where(const std::string& name, const Slice& part) const {
    (void)part;
    return where(name);
  }
};

// model.safetensors or model.safetensors.index.json in `folder`.
std::unique_ptr<TensorSource> open_safetensors(const std::filesystem::path& folder);
// pytorch_model.bin, pytorch_model.bin.index.json or pytorch_model-*-of-*.bin in `folder`.
std::unique_ptr<TensorSource> open_torch_bin(const std::filesystem::path& folder);
// Whichever of the two the folder has (safetensors first); kNotFound saying what was looked for.
std::unique_ptr<TensorSource> open_hf_folder(const std::filesystem::path& folder);

}  // namespace bolide
