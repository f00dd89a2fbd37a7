#include "apps/lines.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "apps/interrupt.h"
#include "bolide/error.h"

namespace bolide::apps {
namespace {

constexpr size_t kMaxLineBytes = size_t{64} << 20;
constexpr size_t kReadBytes = 1 << 16;

}  // namespace

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\v\f") == std::string_view::npos; }

LineReader::LineReader(const std::string& path) : path_(path == "-" ? "standard input" : path) {
  fd_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) {
    const int error = errno;
    if (error == EINTR)
      stop_if_interrupted(fmt::format("'{}' is not read", printable(path)));  // a pipe without a writer
    throw Error(ErrorCode::kNotFound,
                fmt::format("cannot read '{}': {}", printable(path), std::strerror(error)));
  }
}

LineReader::~LineReader() {
  if (fd_ != STDIN_FILENO) ::close(fd_);
}

std::string LineReader::where() const { return fmt::format("{} line {}", printable(path_), line_number_); }

bool LineReader::fill(const std::function<bool()>& stopped) {
  buffer_.erase(0, begin_);
  begin_ = 0;
  for (;;) {
    if (stopped) {
      if (stopped()) return false;
      pollfd waiting{fd_, POLLIN, 0};
      if (::poll(&waiting, 1, 100) == 0) continue;
    }
    const size_t before = buffer_.size();
    buffer_.resize(before + kReadBytes);
    const ssize_t count = ::read(fd_, buffer_.data() + before, kReadBytes);
    const int error = errno;
    buffer_.resize(before + static_cast<size_t>(count > 0 ? count : 0));
    if (count >= 0) return count > 0;
    if (error != EINTR) {
      throw Error(ErrorCode::kNotFound,
                  fmt::format("cannot read '{}': {}", printable(path_), std::strerror(error)));
    }
  }
}

bool LineReader::next(std::string& line, const std::function<bool()>& stopped) {
  size_t searched = begin_;
  for (;;) {
    const size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      line.assign(buffer_, begin_, end - begin_);
      begin_ = end + 1;
      break;
    }
    searched = buffer_.size() - begin_;  // fill() moves the unread part to the front
    if (searched > kMaxLineBytes) {
      throw Error(ErrorCode::kCorrupt,
                  fmt::format("{} line {} is over 64 MiB, split it", printable(path_), line_number_ + 1));
    }
    if (fill(stopped)) continue;
    if (stopped && stopped()) return false;
    if (buffer_.empty()) return false;
    line = std::move(buffer_);  // a last line without its newline
    buffer_.clear();
    begin_ = 0;
    break;
  }
  ++line_number_;
  if (line.ends_with('\r')) line.pop_back();
  return true;
}

}  // namespace bolide::apps
