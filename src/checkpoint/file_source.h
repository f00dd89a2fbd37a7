#pragma once

#include <map>

#include "base/file.h"
#include "checkpoint/strided_copy.h"
#include "checkpoint/tensor_source.h"

namespace bolide {

// Where a tensor lies inside the files of a FileSource. add() checks that all of it is inside the file.
struct StoredTensor {
  size_t file;    // index that add_file() returned
  size_t offset;  // of the first element, in bytes
  DType dtype;
  Shape shape;
  ByteStrides strides;
};

// Bytes of a tensor of `dtype` and `shape`; kCorrupt naming `what` when negative or beyond 2^62.
int64_t checked_bytes(DType dtype, const Shape& shape, const std::string& what);

// kCorrupt: a file is not what it was when its header was read.
[[noreturn]] void fail_changed(const std::filesystem::path& path);

// Named tensors inside files: what safetensors and torch files are once their headers are read. A file is
// opened for each read: eight ranks that are threads of one process and a model of 191 shards would meet the
// usual limit of 1024 open files. Each has room for a few KB of header, and per tensor some 200 bytes and its
// name.
class FileSource final : public TensorSource {
 public:
  // Makes a file known for the tensors to be added; kUnsupported when it is a Git LFS pointer instead of the
  // real file.
  size_t add_file(const InputFile& file);
  // kCorrupt naming both files when the name is there already.
  void add(const std::string& name, const StoredTensor& tensor);
  // `alias` becomes another name of `name`, unless a tensor is called so or none is called `name`.
  void add_alias(const std::string& alias, const std::string& name);

  std::vector<std::string> names() const override;
  bool contains(const std::string& name) const override { return tensors_.contains(stored_name(name)); }
  std::string stored_name(const std::string& name) const override;
  TensorInfo info(const std::string& name) const override;
  void read(const std::string& name, const Slice& slice, void* into) const override;
  std::string where(const std::string& name) const override;

 private:
  const StoredTensor& find(const std::string& name) const;
  struct File {
    std::filesystem::path path;
    FileId id;
  };
  std::vector<File> files_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> aliases_;
};

// Reads one file's header into `source`.
using ReadTensorFile = void (*)(const std::filesystem::path& file, FileSource& source);
// A folder of shards: every file that the index names must be there (kNotFound listing those that are not),
// and what these files hold is the checkpoint. As in transformers, which tensors the index lists, and where,
// decides nothing: whether any is missing or left over the model says.
std::unique_ptr<TensorSource> open_indexed(const std::filesystem::path& index, ReadTensorFile read);

// As open_safetensors and open_torch_bin, but null when the folder has no file of the kind.
std::unique_ptr<TensorSource> try_open_safetensors(const std::filesystem::path& folder);
std::unique_ptr<TensorSource> try_open_torch_bin(const std::filesystem::path& folder);

// One .safetensors file; kCorrupt or kUnsupported naming file and tensor.
void read_safetensors_file(const std::filesystem::path& file, FileSource& source);
// One torch.save file holding a state dict; kCorrupt or kUnsupported naming file and tensor or call.
void read_torch_file(const std::filesystem::path& file, FileSource& source);

}  // namespace bolide
