#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace bolide {

// A whole file mapped read-only. Movable, not copyable; the span stays valid for the object's life.
// The size is taken once at open: a file that shrinks afterwards is outside what this class can report.
class MappedFile {
 public:
  // kNotFound when the path is not a readable regular file.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  size_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }
  // Tells the kernel that [offset, offset + size) will not be read again, so that it leaves this process's
  // memory.
  void release(size_t offset, size_t size) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// kNotFound when missing, kCorrupt when larger than max_bytes.
std::string read_text_file(const std::filesystem::path& path, size_t max_bytes);

// Writes `bytes` whole (creating or truncating); kResource naming the path and the reason (disk full, ...) on
// failure.
void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_text_file(const std::filesystem::path& path, std::string_view text);
// Waits until a file (or a folder's list of files) is on the disk; kResource naming it when that fails: some
// file systems report a full disk only now.
void sync_path(const std::filesystem::path& path);

}  // namespace bolide
