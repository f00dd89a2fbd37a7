#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bolide {

// What std::filesystem's functions of these kinds give, with errors in plain words (those throw "filesystem
// error: status: ..."; tools/check_ladder.py refuses them). "Not there" is an answer and no error; a folder
// that may not be entered, a name that is too long or a loop of links is one (kResource, naming the path and
// the reason), and so is a link that leads nowhere (kCorrupt).
bool path_exists(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);
bool is_regular(const std::filesystem::path& path);
// The paths of what is in a folder, sorted; kNotFound when it is not there.
std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder);
// `path` from the root on, without "." and ".." and without a slash at its end.
std::filesystem::path absolute_path(const std::filesystem::path& path);

// Which file a path led to, and its size: the same again unless the file was replaced or changed its size.
struct FileId {
  uint64_t device = 0, inode = 0, size = 0;
  bool operator==(const FileId&) const = default;
};

// A file open for reading at any place. Movable, not copyable; const methods are thread-safe.
class InputFile {
 public:
  // kNotFound when it is not there, kCorrupt when it is no regular file: a pipe or a device is named as such,
  // never waited for.
  explicit InputFile(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  const std::filesystem::path& path() const { return path_; }
  const FileId& id() const { return id_; }
  size_t size() const { return static_cast<size_t>(id_.size); }  // when it was opened
  // Fills `into` with the bytes from `offset` on; kCorrupt naming the file when it has become too short for
  // that, kResource when the disk has a fault.
  void read(size_t offset, std::span<std::byte> into) const;
  std::string text(size_t offset, size_t size) const;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  FileId id_;
};

// What the first bytes of a file show it to be, where weights, settings or a tokenizer are expected: "is a
// Git LFS pointer, ...", "is a web page, ...", "is empty, ...", each with what to do. Empty when they show
// none of these.
std::string stand_in(std::string_view bytes);
inline constexpr size_t kStandInBytes = 4096;  // of a large file are enough
// kCorrupt, naming the file, when there is such a stand_in().
void refuse_stand_in(std::string_view bytes, const std::filesystem::path& path);

// kNotFound when missing, kCorrupt when it is no regular file or larger than max_bytes.
std::string read_text_file(const std::filesystem::path& path, size_t max_bytes);

// Writes `bytes` whole (creating or truncating); kResource naming the path and the reason (disk full, ...) on
// failure.
void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_text_file(const std::filesystem::path& path, std::string_view text);
// Waits until a file (or a folder's list of files) is on the disk; kResource naming it when that fails: some
// file systems report a full disk only now.
void sync_path(const std::filesystem::path& path);

}  // namespace bolide
