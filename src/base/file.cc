#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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

std::string shown(const std::filesystem::path& path) { return printable(path.string()); }

[[noreturn]] void cannot(const char* what, const std::filesystem::path& path, int error,
                         ErrorCode code = ErrorCode::kResource) {
  fail(code, "cannot {} {}: {}", what, shown(path), std::strerror(error));
}

bool means_absent(int error) { return error == ENOENT || error == ENOTDIR; }

// A link that leads nowhere is not "nothing": a snapshot of the Hugging Face hub is a folder of links, and a
// copy of it without the files that they lead to would be a model without tokens, end ids or shards.
void refuse_broken_link(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path target = std::filesystem::read_symlink(path, error);
  if (!error)
    fail(ErrorCode::kCorrupt, "{} is a link to {}, which is not there: fetch the file itself", shown(path),
         shown(target));
}

// 0 where there is nothing.
mode_t kind_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) return info.st_mode & S_IFMT;
  if (!means_absent(errno)) cannot("look at", path, errno);
  refuse_broken_link(path);
  return 0;
}

const char* name_of_kind(mode_t kind) {
  switch (kind) {
    case S_IFDIR:
      return "a folder";
    case S_IFIFO:
      return "a pipe";
    case S_IFSOCK:
      return "a socket";
    default:
      return "a device";
  }
}

Descriptor open_regular(const std::filesystem::path& path, size_t* size) {
  // O_NONBLOCK: a pipe that nobody writes to would not open otherwise; for a regular file it means nothing.
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  mode_t kind = 0;
  if (file.fd < 0) {
    const int error = errno;  // ENXIO: a socket, or a device that is absent
    if (means_absent(error)) refuse_broken_link(path);
    if (error != ENXIO || (kind = kind_of(path)) == 0)
      cannot("open", path, error, means_absent(error) ? ErrorCode::kNotFound : ErrorCode::kResource);
  } else {
    struct stat info {};
    if (::fstat(file.fd, &info) != 0) cannot("look at", path, errno);
    *size = static_cast<size_t>(info.st_size);
    kind = info.st_mode & S_IFMT;
  }
  if (kind != S_IFREG) fail(ErrorCode::kCorrupt, "{} is {}, not a file", shown(path), name_of_kind(kind));
  return file;
}

}  // namespace

bool path_exists(const std::filesystem::path& path) { return kind_of(path) != 0; }
bool is_folder(const std::filesystem::path& path) { return kind_of(path) == S_IFDIR; }
bool is_regular(const std::filesystem::path& path) { return kind_of(path) == S_IFREG; }

std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  std::filesystem::directory_iterator at(folder, error);
  for (const std::filesystem::directory_iterator end; !error && at != end; at.increment(error))
    paths.push_back(at->path());
  if (error) {
    cannot("list", folder, error.value(),
           means_absent(error.value()) ? ErrorCode::kNotFound : ErrorCode::kResource);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::filesystem::path absolute_path(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(path, error).lexically_normal();
  if (error) cannot("find the way to", path, error.value());
  return whole.has_filename() ? whole : whole.parent_path();
}

std::string stand_in(std::string_view bytes) {
  if (bytes.empty()) return "is empty: fetch it again";
  if (bytes.starts_with("version https://git-lfs.github.com/"))
    return "is a Git LFS pointer, not the file itself: fetch that with `git lfs pull`";
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF"))
    return "is text in UTF-16: save it as UTF-8";
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  bytes.remove_prefix(std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size()));
  constexpr std::string_view kOpenings[] = {"<!doctype", "<html", "<head", "<body", "<?xml", "<!--"};
  for (const std::string_view opening : kOpenings) {
    const auto same = [](char wanted, char c) {
      return wanted == (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    };
    if (bytes.size() >= opening.size() && std::equal(opening.begin(), opening.end(), bytes.begin(), same))
      return "is a web page, as a server sends for an error or a login: fetch the file again";
  }
  return {};
}

void refuse_stand_in(std::string_view bytes, const std::filesystem::path& path) {
  if (const std::string what = stand_in(bytes); !what.empty())
    fail(ErrorCode::kCorrupt, "{} {}", shown(path), what);
}

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  size_t size = 0;
  Descriptor file = open_regular(path, &size);
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) cannot("read", path, errno);
  id_ = {.device = info.st_dev, .inode = info.st_ino, .size = size};
  fd_ = std::exchange(file.fd, -1);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), id_(other.id_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(id_, other.id_);
  return *this;
}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void InputFile::read(size_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    const ssize_t got = ::pread(fd_, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ErrorCode::kResource, "cannot read {}: {}", path_.string(), std::strerror(errno));
    if (got == 0) {
      fail(ErrorCode::kCorrupt, "{} ended at byte {} while it was read: it had {} bytes when it was opened",
           path_.string(), offset, size());
    }
    offset += static_cast<size_t>(got);
    into = into.subspan(static_cast<size_t>(got));
  }
}

std::string InputFile::text(size_t offset, size_t size) const {
  std::string text(size, '\0');
  read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

std::string read_text_file(const std::filesystem::path& path, size_t max_bytes) {
  size_t size = 0;
  Descriptor file = open_regular(path, &size);
  if (size > max_bytes) {
    fail(ErrorCode::kCorrupt, "{} has {} bytes, more than the {} that such a file may have", shown(path),
         size, max_bytes);
  }
  std::string text(size, '\0');
  size_t done = 0;
  while (done < size) {
    ssize_t got = ::read(file.fd, text.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot("read", path, errno);
    if (got == 0)
      fail(ErrorCode::kCorrupt, "cannot read {}: it ended after {} of {} bytes", shown(path), done, size);
    done += static_cast<size_t>(got);
  }
  return text;
}

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  Descriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (file.fd < 0) cannot("create", path, errno);
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t put = ::write(file.fd, bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) cannot("write", path, errno);
    done += static_cast<size_t>(put);
  }
  if (::close(std::exchange(file.fd, -1)) != 0) {
    cannot("write", path, errno);
  }
}

void sync_path(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  // EINVAL: a file system that has no such notion.
  if (file.fd < 0 || (::fsync(file.fd) != 0 && errno != EINVAL)) cannot("write to the disk", path, errno);
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  write_file(path, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace bolide
