#include "checkpoint/ft_bin.h"

#include <charconv>
#include <set>

#include "base/file.h"
#include "checkpoint/diagnostics.h"
#include "checkpoint/file_source.h"
#include "checkpoint/ft_writer.h"
#include "checkpoint/strided_copy.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;

// stand_in() of a file: only its first bytes are read.
std::string stand_in_of(const fs::path& path) {
  const InputFile file(path);
  return stand_in(file.text(0, std::min(file.size(), kStandInBytes)));
}

// Opens a file for the length of one read: a folder of BLOOM-176B at 8 ranks has 7,000 of them.
class FtSource final : public TensorSource {
 public:
  FtSource(fs::path folder, int ranks, DType dtype)
      : folder_(std::move(folder)), ranks_(ranks), dtype_(dtype) {}

  void add(const FtTensor& tensor) {
    BOLIDE_CHECK(tensor.split_axis >= -1 && tensor.split_axis < tensor.shape.rank());
    BOLIDE_CHECK(tensor.split_axis < 0 || tensor.shape[tensor.split_axis] % ranks_ == 0,
                 "{} is not divisible by {} ranks", tensor.name, ranks_);
    BOLIDE_CHECK(tensors_.emplace(tensor.name, tensor).second, "{} is listed twice", tensor.name);
  }

  // Compares the folder's files with those that the tensors should have.
  void check() const {
    Diagnostics diagnostics(folder_.string());
    std::set<std::string> expected;
    for (const auto& [name, tensor] : tensors_) {
      const auto bytes =
          static_cast<uint64_t>(checked_bytes(dtype_, file_shape(tensor), "tensor '" + name + "'"));
      for (int rank = 0; rank < files_of(tensor); ++rank) {
        const std::string file = file_name(tensor, rank);
        expected.insert(file);
        std::error_code error;
        const uint64_t size = fs::file_size(folder_ / file, error);
        if (error && path_exists(folder_ / file)) {
          InputFile{folder_ / file};  // says what it is instead of a file
        } else if (error) {
          diagnostics.add(fmt::format("{} is missing", file));
        } else if (const std::string what = size == bytes ? "" : stand_in_of(folder_ / file); !what.empty()) {
          diagnostics.add(fmt::format("{} {}", file, what));
        } else if (size != bytes) {
          diagnostics.add(fmt::format("{} has {} bytes instead of {} ({} {})", file, size, bytes,
                                      file_shape(tensor).str(), name_of(dtype_)));
        }
      }
    }
    for (const fs::path& path : list_folder(folder_)) {
      const std::string file = path.filename().string();
      if (path.extension() == ".bin" && !expected.contains(file))
        diagnostics.add(fmt::format("{} belongs to no tensor of this model", printable(file)));
    }
    diagnostics.raise_if_any(ErrorCode::kCorrupt);
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors_) names.push_back(name);
    return names;
  }
  bool contains(const std::string& name) const override { return tensors_.contains(name); }
  TensorInfo info(const std::string& name) const override { return {dtype_, find(name).shape}; }
  std::string where(const std::string& name) const override {
    return (folder_ / file_name(find(name), 0)).string();
  }
  std::string where(const std::string& name, const Slice& part) const override {
    const FtTensor& tensor = find(name);
    const int axis = tensor.split_axis;
    const int64_t rank = axis < 0 ? 0 : part.begin[static_cast<size_t>(axis)] / file_shape(tensor)[axis];
    return (folder_ / file_name(tensor, static_cast<int>(rank))).string();
  }

  void read(const std::string& name, const Slice& slice, void* into) const override {
    const FtTensor& tensor = find(name);
    const Shape stored = file_shape(tensor), wanted = slice.shape(stored.rank());
    for (int i = 0; i < stored.rank(); ++i)
      BOLIDE_CHECK(slice.begin[i] >= 0 && wanted[i] >= 0 && slice.end[i] <= tensor.shape[i]);
    if (wanted.count() == 0) return;
    const ByteStrides into_strides = c_order(wanted, size_of(dtype_));
    const int axis = tensor.split_axis;
    for (int rank = 0; rank < files_of(tensor); ++rank) {
      // This file's part of the slice, in the file's own coordinates.
      Slice part = slice;
      auto* to = static_cast<std::byte*>(into);
      if (axis >= 0) {
        const int64_t begin = rank * stored[axis], end = begin + stored[axis];
        part.begin[axis] = std::max(slice.begin[axis], begin) - begin;
        part.end[axis] = std::min(slice.end[axis], end) - begin;
        if (part.begin[axis] >= part.end[axis]) continue;
        to += (part.begin[axis] + begin - slice.begin[axis]) * into_strides[axis];
      }
      read_file(tensor, rank, stored, part, to, into_strides);
    }
  }

 private:
  const FtTensor& find(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      fail(ErrorCode::kNotFound, "there is no tensor '{}' in {}", name, folder_.string());
    return found->second;
  }
  int files_of(const FtTensor& tensor) const { return tensor.split_axis < 0 ? 1 : ranks_; }
  // The shape of one of the tensor's files.
  Shape file_shape(const FtTensor& tensor) const {
    Shape shape = tensor.shape;
    if (tensor.split_axis >= 0) shape[tensor.split_axis] /= ranks_;
    return shape;
  }
  static std::string file_name(const FtTensor& tensor, int rank) {
    return FtFile::name(tensor.name, tensor.split_axis < 0 ? -1 : rank);
  }

  void read_file(const FtTensor& tensor, int rank, const Shape& stored, const Slice& part, std::byte* into,
                 const ByteStrides& into_strides) const {
    const InputFile file(folder_ / file_name(tensor, rank));
    if (file.size() != static_cast<size_t>(stored.count()) * size_of(dtype_)) fail_changed(file.path());
    const ByteStrides strides = c_order(stored, size_of(dtype_));
    size_t offset = 0;
    for (int i = 0; i < stored.rank(); ++i) offset += static_cast<size_t>(part.begin[i] * strides[i]);
    strided_copy({.file = file,
                  .offset = offset,
                  .extents = part.shape(stored.rank()),
                  .src_strides = strides,
                  .into = into,
                  .into_strides = into_strides,
                  .element_bytes = size_of(dtype_)});
  }

  fs::path folder_;
  int ranks_;
  DType dtype_;
  std::map<std::string, FtTensor> tensors_;
};

}  // namespace

bool is_ft_folder(const fs::path& folder) { return path_exists(folder / "config.ini"); }

void check_ft_ranks(const fs::path& folder, int tensor_para_size) {
  const std::string name = absolute_path(folder).filename().string();
  constexpr std::string_view kSuffix = "-gpu";
  int ranks = 0;
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), ranks);
  if (fault != std::errc() || std::string_view(end) != kSuffix) return;
  if (ranks != tensor_para_size) {
    fail(ErrorCode::kCorrupt, "{}: its config.ini says tensor_para_size={}, but the folder is named for {}",
         folder.string(), tensor_para_size, ranks);
  }
}

std::unique_ptr<TensorSource> open_ft_folder(const fs::path& folder, const std::vector<FtTensor>& tensors,
                                             int ranks, DType dtype) {
  BOLIDE_CHECK(ranks >= 1);
  if (!is_folder(folder)) fail(ErrorCode::kNotFound, "{} is not a folder", folder.string());
  Diagnostics indivisible(folder.string());
  for (const FtTensor& tensor : tensors) {
    if (tensor.split_axis >= 0 && tensor.shape[tensor.split_axis] % ranks != 0)
      indivisible.add(fmt::format("tensor {} of shape {} cannot be split over {} ranks", tensor.name,
                                  tensor.shape.str(), ranks));
  }
  indivisible.raise_if_any(ErrorCode::kCorrupt);
  auto source = std::make_unique<FtSource>(folder, ranks, dtype);
  for (const FtTensor& tensor : tensors) source->add(tensor);
  source->check();
  return source;
}

}  // namespace bolide
