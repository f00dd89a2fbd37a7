#include "checkpoint/file_source.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "checkpoint/diagnostics.h"

namespace bolide {

int64_t checked_bytes(DType dtype, const Shape& shape, const std::string& what) {
  // 2^62 leaves room for a sum of two without overflow.
  constexpr int64_t kMax = int64_t{1} << 62;
  auto bytes = static_cast<int64_t>(size_of(dtype));
  bool zero = false, overflow = false;
  for (int64_t extent : shape.extents()) {
    if (extent < 0) fail(ErrorCode::kCorrupt, "{} has a negative extent in its shape {}", what, shape.str());
    zero |= extent == 0;
    overflow |= extent != 0 && __builtin_mul_overflow(bytes, extent, &bytes);
    overflow |= bytes > kMax;
    if (overflow) break;
  }
  // An overflow hidden behind a zero extent would still break the strides.
  if (overflow) fail(ErrorCode::kCorrupt, "{} has an impossible shape {}", what, shape.str());
  return zero ? 0 : bytes;
}

void fail_changed(const std::filesystem::path& path) {
  fail(ErrorCode::kCorrupt, "{} was changed or replaced while it was read: start again", path.string());
}

size_t FileSource::add_file(const InputFile& file) {
  const std::string start = file.text(0, std::min(file.size(), kStandInBytes));
  refuse_stand_in(start, file.path());
  // "Entry not found", {"error": ...}: what servers say. All formats of weights have a control byte near
  // their begin.
  const bool is_text =
      std::all_of(start.begin(), start.begin() + std::min<ptrdiff_t>(std::ssize(start), 64),
                  [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t'; });
  if (is_text) {
    fail(ErrorCode::kCorrupt, "{} is text ('{}'), not weights: fetch it again",
         printable(file.path().string()), printable(start, 64));
  }
  files_.push_back({file.path(), file.id()});
  return files_.size() - 1;
}

void FileSource::add(const std::string& name, const StoredTensor& tensor) {
  const File& file = files_[tensor.file];
  if (tensor.shape.count() > 0) {
    size_t last = tensor.offset;
    for (int i = 0; i < tensor.shape.rank(); ++i) last += (tensor.shape[i] - 1) * tensor.strides[i];
    BOLIDE_CHECK(last + size_of(tensor.dtype) <= file.id.size, "tensor {} reaches outside its file", name);
  }
  const auto [found, inserted] = tensors_.try_emplace(name, tensor);
  if (!inserted) {
    fail(ErrorCode::kCorrupt, "tensor '{}' is there twice: in {} and in {}", printable(name),
         files_[found->second.file].path.string(), file.path.string());
  }
}

void FileSource::add_alias(const std::string& alias, const std::string& name) {
  if (tensors_.contains(name)) aliases_.emplace(alias, name);
}

std::string FileSource::stored_name(const std::string& name) const {
  const auto alias = aliases_.find(name);
  return alias == aliases_.end() || tensors_.contains(name) ? name : alias->second;
}

std::vector<std::string> FileSource::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

const StoredTensor& FileSource::find(const std::string& name) const {
  const auto found = tensors_.find(stored_name(name));
  if (found == tensors_.end()) {
    fail(ErrorCode::kNotFound, "there is no tensor '{}' in {}", name,
         files_.empty() ? "an empty checkpoint" : files_.front().path.parent_path().string());
  }
  return found->second;
}

TensorInfo FileSource::info(const std::string& name) const {
  const StoredTensor& tensor = find(name);
  return {tensor.dtype, tensor.shape};
}

std::string FileSource::where(const std::string& name) const { return files_[find(name).file].path.string(); }

void FileSource::read(const std::string& name, const Slice& slice, void* into) const {
  const StoredTensor& tensor = find(name);
  const Shape extents = slice.shape(tensor.shape.rank());
  size_t offset = tensor.offset;
  for (int i = 0; i < extents.rank(); ++i) {
    BOLIDE_CHECK(slice.begin[i] >= 0 && extents[i] >= 0 && slice.end[i] <= tensor.shape[i],
                 "slice of {} leaves {}", name, tensor.shape.str());
    offset += static_cast<size_t>(slice.begin[i] * tensor.strides[i]);
  }
  const File& known = files_[tensor.file];
  const InputFile file(known.path);
  if (file.id() != known.id) fail_changed(known.path);
  strided_copy({.file = file,
                .offset = offset,
                .extents = extents,
                .src_strides = tensor.strides,
                .into = static_cast<std::byte*>(into),
                .into_strides = c_order(extents, size_of(tensor.dtype)),
                .element_bytes = size_of(tensor.dtype)});
}

std::unique_ptr<TensorSource> open_indexed(const std::filesystem::path& index, ReadTensorFile read) {
  const std::string where = index.string();
  const auto weight_map =
      json_get<std::map<std::string, std::string>>(*read_json_file(index), "weight_map", where);
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map) shards.insert(shard);
  if (shards.empty()) fail(ErrorCode::kCorrupt, "{}: its weight_map names no file", where);

  Diagnostics diagnostics(where);
  auto source = std::make_unique<FileSource>();
  for (const std::string& shard : shards) {
    // A plain file name only: an index has no business in other folders.
    if (shard.find('/') != std::string::npos || shard == "." || shard == ".." ||
        shard.find('\0') != std::string::npos) {
      fail(ErrorCode::kCorrupt, "{}: '{}' is not the name of a file in the same folder", where,
           printable(shard));
    }
    const std::filesystem::path file = index.parent_path() / shard;
    if (path_exists(file)) {
      read(file, *source);
    } else {
      diagnostics.add(fmt::format("file {} is missing", printable(shard)));
    }
  }
  diagnostics.raise_if_any(ErrorCode::kNotFound);
  return source;
}

}  // namespace bolide
