// torch.save files since PyTorch 1.6: a zip archive <prefix>/{data.pkl, data/<key>, byteorder, version}, all
// stored; the pickle describes tensors as strided views of the storages data/<key>.
#include <algorithm>
#include <cstring>
#include <regex>

#include "checkpoint/diagnostics.h"
#include "checkpoint/file_source.h"
#include "checkpoint/torch_pickle.h"
#include "checkpoint/zip.h"

namespace bolide {
namespace {

// BLOOM-176B's whole state dict pickles to under 200 kB; hostile files gain nothing beyond this.
constexpr size_t kMaxPickle = size_t{64} << 20;

void refuse_other_formats(const InputFile& file) {
  // torch.save before 1.6: a bare pickle (protocol 2) of the long integer 0x1950a86a20f9469cfc6c.
  constexpr unsigned char kLegacy[] = {0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C,
                                       0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19};
  const std::string begin = file.text(0, std::min(file.size(), sizeof kLegacy));
  if (begin.size() == sizeof kLegacy && std::memcmp(begin.data(), kLegacy, sizeof kLegacy) == 0) {
    fail(
        ErrorCode::kUnsupported,
        "{} is in torch's format from before version 1.6: re-save it with torch.save(torch.load(file), file)",
        file.path().string());
  }
  if (begin.size() < 4 || !begin.starts_with("PK")) {
    fail(ErrorCode::kCorrupt, "{} is not a zip archive, so not a file that torch.save wrote",
         file.path().string());
  }
}

// The archive's one top folder with its slash: the prefix of data.pkl.
std::string find_prefix(const std::map<std::string, ZipEntry>& entries, const std::string& where) {
  constexpr std::string_view kPickle = "data.pkl";
  std::string prefix;
  int found = 0;
  for (const auto& [name, entry] : entries) {
    const size_t slash = name.find('/');
    const size_t begin = slash == std::string::npos ? 0 : slash + 1;
    if (std::string_view(name).substr(begin) != kPickle) continue;
    prefix = name.substr(0, begin);
    ++found;
  }
  if (found != 1) fail(ErrorCode::kCorrupt, "{}: the archive holds {} data.pkl instead of one", where, found);
  return prefix;
}

// Checks that all of the tensor is inside its storage and returns where it lies.
StoredTensor place(const PickledTensor& tensor, const ZipEntry& storage, size_t file,
                   const std::string& where) {
  const std::string what = fmt::format("{}: tensor '{}'", where, printable(tensor.name));
  if (storage.size != static_cast<uint64_t>(tensor.storage_bytes)) {
    fail(ErrorCode::kCorrupt, "{} should lie in a storage of {} bytes, but data/{} has {}", what,
         tensor.storage_bytes, printable(tensor.storage), storage.size);
  }
  const auto element = static_cast<int64_t>(size_of(tensor.dtype));
  const int64_t bytes = checked_bytes(tensor.dtype, tensor.shape, what);
  StoredTensor stored{file, storage.offset, tensor.dtype, tensor.shape, {}};
  if (bytes == 0) return stored;
  const int64_t numel = tensor.storage_bytes / element;
  bool inside = tensor.offset >= 0 && tensor.offset < numel;
  int64_t last = tensor.offset;  // index of the last element
  for (int i = 0; inside && i < tensor.shape.rank(); ++i) {
    int64_t reach = 0;
    inside = tensor.strides[i] >= 0 &&
             !__builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &reach) &&
             !__builtin_add_overflow(last, reach, &last) && last < numel;
    // The stride of an axis that is never stepped along may be any number.
    stored.strides[i] = tensor.shape[i] > 1 && inside ? tensor.strides[i] * element : 0;
  }
  if (!inside)
    fail(ErrorCode::kCorrupt, "{} reaches outside its storage of {} bytes", what, tensor.storage_bytes);
  if (bytes > tensor.storage_bytes) {
    fail(ErrorCode::kUnsupported,
         "{} of shape {} is an expanded view of {} bytes: save it with .contiguous()", what,
         tensor.shape.str(), tensor.storage_bytes);
  }
  stored.offset += static_cast<size_t>(tensor.offset * element);
  return stored;
}

struct NumberedFile {
  std::filesystem::path path;
  int64_t number, of;
};

// Files like pytorch_model-00001-of-00002.bin; bigscience's have an underscore before the number.
std::vector<NumberedFile> numbered_files(const std::filesystem::path& folder) {
  static const std::regex pattern("pytorch_model[-_]([0-9]{1,9})-of-([0-9]{1,9})\\.bin");
  std::vector<NumberedFile> files;
  for (const auto& path : list_folder(folder)) {
    const std::string name = path.filename().string();
    if (std::smatch match; std::regex_match(name, match, pattern))
      files.push_back({path, std::stoll(match[1]), std::stoll(match[2])});
  }
  return files;
}

// Shards without an index: numbers 1 to n, each once.
std::unique_ptr<TensorSource> open_numbered(const std::filesystem::path& folder,
                                            const std::vector<NumberedFile>& files) {
  Diagnostics diagnostics(folder.string());
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].of != files[0].of || files[i].number != static_cast<int64_t>(i) + 1) {
      diagnostics.add(fmt::format("found {} where number {} of {} was expected",
                                  files[i].path.filename().string(), i + 1, files[0].of));
      break;
    }
  }
  if (static_cast<int64_t>(files.size()) != files[0].of)
    diagnostics.add(fmt::format("{} of {} pytorch_model files are there", files.size(), files[0].of));
  diagnostics.raise_if_any(ErrorCode::kNotFound);
  auto source = std::make_unique<FileSource>();
  for (const NumberedFile& file : files) read_torch_file(file.path, *source);
  return source;
}

}  // namespace

void read_torch_file(const std::filesystem::path& path, FileSource& source) {
  const std::string where = path.string();
  const InputFile file(path);
  const size_t index = source.add_file(file);
  refuse_other_formats(file);
  const auto entries = read_zip(file);
  const std::string prefix = find_prefix(entries, where);
  const auto order = entries.find(prefix + "byteorder");
  if (order != entries.end()) {
    const std::string word = file.text(order->second.offset, std::min<size_t>(order->second.size, 16));
    if (word != "little") {
      fail(ErrorCode::kUnsupported,
           "{}: its tensors are in {}-endian byte order: re-save it on a little-endian machine", where,
           printable(word));
    }
  }
  const ZipEntry& pickle = entries.at(prefix + "data.pkl");
  if (pickle.size > kMaxPickle) {
    fail(ErrorCode::kCorrupt, "{}: its data.pkl has {} bytes, more than the {} that a state dict may have",
         where, pickle.size, kMaxPickle);
  }
  const std::string bytes = file.text(pickle.offset, pickle.size);
  const auto tensors = read_state_dict(std::as_bytes(std::span(bytes)), where);
  for (const PickledTensor& tensor : tensors) {
    const auto storage = entries.find(prefix + "data/" + tensor.storage);
    if (storage == entries.end()) {
      fail(ErrorCode::kCorrupt, "{}: tensor '{}' lies in data/{}, which is not in the archive", where,
           printable(tensor.name), printable(tensor.storage));
    }
    source.add(tensor.name, place(tensor, storage->second, index, where));
  }
}

std::unique_ptr<TensorSource> try_open_torch_bin(const std::filesystem::path& folder) {
  const auto single = folder / "pytorch_model.bin", index = folder / "pytorch_model.bin.index.json";
  if (path_exists(single)) {
    auto source = std::make_unique<FileSource>();
    read_torch_file(single, *source);
    return source;
  }
  if (path_exists(index)) return open_indexed(index, read_torch_file);
  if (const auto files = numbered_files(folder); !files.empty()) return open_numbered(folder, files);
  return nullptr;
}

}  // namespace bolide
