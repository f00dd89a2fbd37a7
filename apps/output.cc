#include "apps/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstring>
#include <utility>

#include "apps/partial.h"
#include "apps/terminal.h"
#include "bolide/error.h"

namespace bolide::apps {
namespace {

constexpr size_t kPendingBytes = 1 << 16;

[[noreturn]] void cannot_create(const std::string& path) {
  throw Error(ErrorCode::kResource,
              fmt::format("cannot create '{}': {}", printable(path), std::strerror(errno)));
}

// The descriptor that a name stands for, or -1.
int descriptor_of(std::string_view path) {
  if (path == "-" || path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(folder)) continue;
    const std::string_view number = path.substr(folder.size());
    int fd = -1;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), fd);
    if (error == std::errc() && end == number.data() + number.size()) return fd;
  }
  return -1;
}

// The file that a link leads to in the end, which need not be there.
std::string follow_links(std::string path) {
  constexpr int kMaxLinks = 40;  // as the kernel has it
  for (int i = 0; i < kMaxLinks; ++i) {
    char target[PATH_MAX];
    const ssize_t size = ::readlink(path.c_str(), target, sizeof(target));
    if (size < 0) return path;
    const std::string_view to(target, static_cast<size_t>(size));
    const size_t folder = path.rfind('/');
    path = to.starts_with('/') || folder == std::string::npos ? std::string(to)
                                                              : path.substr(0, folder + 1).append(to);
  }
  errno = ELOOP;
  cannot_create(path);
}

// Two descriptors of one file would write over each other.
void refuse_standard_stream(const std::string& path, const struct stat& output) {
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat stream {};
    if (::fstat(fd, &stream) != 0 || !S_ISREG(stream.st_mode)) continue;
    if (stream.st_dev != output.st_dev || stream.st_ino != output.st_ino) continue;
    throw Error(ErrorCode::kUsage,
                fmt::format("'{}' is where {} goes already: give another output", printable(path),
                            fd == STDOUT_FILENO ? "standard output" : "standard error"));
  }
}

}  // namespace

Output::Output(const std::string& path, Mode mode, const Inputs& inputs) : path_(path) {
  struct stat status {};
  fd_ = descriptor_of(path);
  given_ = fd_ >= 0;
  if (given_) {
    if (::fstat(fd_, &status) != 0) cannot_create(path);
    refuse_input(name(), status, inputs);
    return;
  }
  const bool there = ::stat(path.c_str(), &status) == 0;
  if (!there && errno != ENOENT) cannot_create(path);  // a name too long would be found when all is done
  if (there) {
    refuse_input(name(), status, inputs);
    refuse_standard_stream(path, status);
  }
  // A device or a pipe can only be written to, not replaced.
  if (mode == Mode::kWhole && (!there || S_ISREG(status.st_mode))) {
    if (there && ::access(path.c_str(), W_OK) != 0) cannot_create(path);
    path_ = follow_links(path);
    fd_ = create_partial(path_, there ? &status : nullptr, temporary_);
  } else {
    // Not O_TRUNC: a run that fails before it has anything to write leaves the file of an earlier one alone.
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  }
  if (fd_ < 0) cannot_create(path);
}

Output::~Output() {
  try {
    if (!pending_.empty()) flush();
  } catch (const std::exception&) {
    // The caller is already on its way out with a fault, or did not ask to know.
  }
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  if (!given_ && fd_ >= 0) ::close(fd_);
}

void Output::write(std::string_view bytes) {
  if (pending_.size() + bytes.size() > kPendingBytes) flush();
  if (bytes.size() <= kPendingBytes) {
    pending_ += bytes;
    return;
  }
  write_all(bytes);
}

void Output::flush() {
  const std::string bytes = std::exchange(pending_, {});
  write_all(bytes);
}

void Output::write_all(std::string_view bytes) {
  if (!std::exchange(begun_, true) && !given_ && ::ftruncate(fd_, 0) != 0 && errno != EINVAL) {
    failed(errno);  // EINVAL: a device or a pipe, which has no length
  }
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR) failed(errno);
    if (count > 0) bytes.remove_prefix(static_cast<size_t>(count));
  }
}

void Output::commit() {
  flush();
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) failed(errno);
  temporary_.clear();
}

bool Output::is_terminal() const { return apps::is_terminal(fd_); }

bool Output::is_standard_output() const { return fd_ == STDOUT_FILENO; }

std::string Output::name() const {
  return is_standard_output() ? "standard output" : fmt::format("'{}'", printable(path_));
}

void Output::failed(int error) const {
  if (error == EPIPE) {
    throw Error(ErrorCode::kResource,
                fmt::format("{} was closed by its reader before everything was written", name()));
  }
  throw Error(ErrorCode::kResource, fmt::format("cannot write to {}: {}", name(), std::strerror(error)));
}

}  // namespace bolide::apps
