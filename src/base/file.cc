#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace bolide {
namespace {

// Closes the descriptor when the scope ends.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

Descriptor open_regular(const std::filesystem::path& path, size_t* size) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) {
    fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kResource, "cannot open {}: {}", path.string(),
         std::strerror(errno));
  }
  struct stat info {};
  if (::fstat(file.fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    fail(ErrorCode::kNotFound, "{} is not a regular file", path.string());
  }
  *size = static_cast<size_t>(info.st_size);
  return file;
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  Descriptor file = open_regular(path, &size_);
  if (size_ == 0) return;  // mmap refuses length 0
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (mapped == MAP_FAILED)
    fail(ErrorCode::kResource, "cannot map {}: {}", path.string(), std::strerror(errno));
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(size_t offset, size_t size) const {
  if (!data_) return;
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;  // whole pages only: neighbours may still be wanted
  const size_t end = (offset + size) / page * page;
  if (begin < end && end <= size_)
    ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

std::string read_text_file(const std::filesystem::path& path, size_t max_bytes) {
  size_t size = 0;
  Descriptor file = open_regular(path, &size);
  if (size > max_bytes) {
    fail(ErrorCode::kCorrupt, "{} has {} bytes, more than the {} that such a file may have", path.string(),
         size, max_bytes);
  }
  std::string text(size, '\0');
  size_t done = 0;
  while (done < size) {
    ssize_t got = ::read(file.fd, text.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      fail(ErrorCode::kCorrupt, "cannot read {}: it ended after {} of {} bytes", path.string(), done, size);
    done += static_cast<size_t>(got);
  }
  return text;
}

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  Descriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (file.fd < 0) fail(ErrorCode::kResource, "cannot create {}: {}", path.string(), std::strerror(errno));
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t put = ::write(file.fd, bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail(ErrorCode::kResource, "cannot write {}: {}", path.string(), std::strerror(errno));
    done += static_cast<size_t>(put);
  }
  if (::close(std::exchange(file.fd, -1)) != 0) {
    fail(ErrorCode::kResource, "cannot write {}: {}", path.string(), std::strerror(errno));
  }
}

void sync_path(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  // EINVAL: a file system that has no such notion.
  if (file.fd < 0 || (::fsync(file.fd) != 0 && errno != EINVAL))
    fail(ErrorCode::kResource, "cannot write {} to the disk: {}", path.string(), std::strerror(errno));
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  write_file(path, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace bolide
