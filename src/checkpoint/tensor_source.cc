#include "checkpoint/tensor_source.h"

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/file_source.h"

namespace bolide {
namespace {

constexpr std::string_view kSafetensorsFiles = "model.safetensors, model.safetensors.index.json";
constexpr std::string_view kTorchFiles =
    "pytorch_model.bin, pytorch_model.bin.index.json, pytorch_model-00001-of-0000N.bin";

void require_folder(const std::filesystem::path& folder) {
  if (!is_folder(folder)) fail(ErrorCode::kNotFound, "{} is not a folder", folder.string());
}

}  // namespace

Slice Slice::all(const Shape& shape) {
  Slice slice;
  for (int i = 0; i < shape.rank(); ++i) slice.end[i] = shape[i];
  return slice;
}

Slice Slice::along(const Shape& shape, int axis, int64_t begin, int64_t end) {
  Slice slice = all(shape);
  slice.begin[axis] = begin;
  slice.end[axis] = end;
  return slice;
}

Shape Slice::shape(int rank) const {
  Shape shape(std::span<const int64_t>(end.data(), static_cast<size_t>(rank)));
  for (int i = 0; i < rank; ++i) shape[i] -= begin[i];
  return shape;
}

std::unique_ptr<TensorSource> open_safetensors(const std::filesystem::path& folder) {
  require_folder(folder);
  if (auto source = try_open_safetensors(folder)) return source;
  fail(ErrorCode::kNotFound, "{} holds no weights: looked for {}", folder.string(), kSafetensorsFiles);
}

std::unique_ptr<TensorSource> open_torch_bin(const std::filesystem::path& folder) {
  require_folder(folder);
  if (auto source = try_open_torch_bin(folder)) return source;
  fail(ErrorCode::kNotFound, "{} holds no weights: looked for {}", folder.string(), kTorchFiles);
}

std::unique_ptr<TensorSource> open_hf_folder(const std::filesystem::path& folder) {
  require_folder(folder);
  if (auto source = try_open_safetensors(folder)) return source;
  if (auto source = try_open_torch_bin(folder)) return source;
  fail(ErrorCode::kNotFound, "{} holds no weights: looked for {}, {}", folder.string(), kSafetensorsFiles,
       kTorchFiles);
}

}  // namespace bolide
