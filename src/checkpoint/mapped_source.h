#pragma once

#include <map>

#include "base/file.h"
#include "checkpoint/copy_box.h"
#include "checkpoint/tensor_source.h"

namespace bolide {

// Where a tensor lies inside the files of a MappedSource. add() checks that all of it is inside the file.
struct StoredTensor {
  size_t file;    // index that map() returned
  size_t offset;  // of the first element, in bytes
  DType dtype;
  Shape shape;
  ByteStrides strides;
};

// Bytes of a tensor of `dtype` and `shape`; kCorrupt naming `what` when negative or beyond 2^62.
int64_t checked_bytes(DType dtype, const Shape& shape, const std::string& what);

// Named tensors inside mapped files: what safetensors and torch files are once their headers are read.
class MappedSource final : public TensorSource {
 public:
  // Maps a file for the tensors to be added; kUnsupported when it is a Git LFS pointer instead of the real
  // file.
  size_t map(const std::filesystem::path& path);
  const MappedFile& file(size_t index) const { return files_[index]; }
  // kCorrupt naming both files when the name is there already.
  void add(const std::string& name, const StoredTensor& tensor);

  std::vector<std::string> names() const override;
  bool contains(const std::string& name) const override { return tensors_.contains(name); }
  TensorInfo info(const std::string& name) const override;
  void read(const std::string& name, const Slice& slice, void* into) const override;
  std::string where(const std::string& name) const override;

 private:
  const StoredTensor& find(const std::string& name) const;
  std::vector<MappedFile> files_;
  std::map<std::string, StoredTensor> tensors_;
};

// Reads one file's header into `source`.
using ReadTensorFile = void (*)(const std::filesystem::path& file, MappedSource& source);
// A folder of shards: every file that the index names must be there (kNotFound listing those that are not),
// and what these files hold is the checkpoint. As in transformers, which tensors the index lists, and where,
// decides nothing: whether any is missing or left over the model says.
std::unique_ptr<TensorSource> open_indexed(const std::filesystem::path& index, ReadTensorFile read);

// As open_safetensors and open_torch_bin, but null when the folder has no file of the kind.
std::unique_ptr<TensorSource> try_open_safetensors(const std::filesystem::path& folder);
std::unique_ptr<TensorSource> try_open_torch_bin(const std::filesystem::path& folder);

// One .safetensors file; kCorrupt or kUnsupported naming file and tensor.
void read_safetensors_file(const std::filesystem::path& file, MappedSource& source);
// One torch.save file holding a state dict; kCorrupt or kUnsupported naming file and tensor or call.
void read_torch_file(const std::filesystem::path& file, MappedSource& source);

}  // namespace bolide
