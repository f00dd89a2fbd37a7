#include "apps/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "apps/terminal.h"
#include "bolide/error.h"

namespace bolide::apps {
namespace {

constexpr size_t kPendingBytes = 1 << 16;

// A device or a pipe can only be written to, not replaced.
bool is_special(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
}

}  // namespace

Output::Output(const std::string& path, Mode mode) : path_(path) {
  if (path == "-") {
    fd_ = STDOUT_FILENO;
    return;
  }
  if (mode == Mode::kWhole && !is_special(path)) temporary_ = fmt::format("{}.partial-{}", path, ::getpid());
  const std::string& opened = temporary_.empty() ? path_ : temporary_;
  // Not O_TRUNC: a run that fails before it has anything to write leaves the file of an earlier one alone.
  fd_ = ::open(opened.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) {
    throw Error(ErrorCode::kResource, fmt::format("cannot create '{}': {}", path, std::strerror(errno)));
  }
}

Output::~Output() {
  try {
    if (!pending_.empty()) flush();
  } catch (const std::exception&) {
    // The caller is already on its way out with a fault, or did not ask to know.
  }
  if (fd_ != STDOUT_FILENO && fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
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
  if (!std::exchange(begun_, true) && fd_ != STDOUT_FILENO && ::ftruncate(fd_, 0) != 0 && errno != EINVAL) {
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

void Output::failed(int error) const {
  if (error == EPIPE) {
    throw Error(ErrorCode::kResource,
                fmt::format("{} was closed by its reader before everything was written",
                            fd_ == STDOUT_FILENO ? "standard output" : "'" + path_ + "'"));
  }
  throw Error(ErrorCode::kResource, fmt::format("cannot write to {}: {}",
                                                fd_ == STDOUT_FILENO ? "standard output" : "'" + path_ + "'",
                                                std::strerror(error)));
}

}  // namespace bolide::apps
