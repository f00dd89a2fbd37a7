#pragma once

// What the fuzz targets share.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "bolide/error.h"
#include "checkpoint/tensor_source.h"

namespace bolide {

// What a reader logs of a damaged file is not looked at, and would be most of a run's time.
inline const bool kQuiet = (log::set_level(log::level::off), true);

// The fuzzer's bytes as a file in memory, under a path that the readers can open.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (fd_ < 0 || ::write(fd_, data, size) != static_cast<ssize_t>(size)) {
      std::perror("memfd");  // a fault of the machine, not of the code under test
      std::_Exit(1);
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

// A folder in memory, removed when the process ends (a finding leaves it there). Writing is quick enough for
// thousands of inputs a second.
class MemoryFolder {
 public:
  MemoryFolder() : path_("/dev/shm/bolide-fuzz-" + std::to_string(::getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~MemoryFolder() { std::filesystem::remove_all(path_); }
  MemoryFolder(const MemoryFolder&) = delete;
  MemoryFolder& operator=(const MemoryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

  // A name that no file can have writes nothing.
  void write(const std::string& name, std::string_view bytes) const {
    if (name.find('/') != std::string::npos) return;
    const int fd = ::open((path_ / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      std::perror("/dev/shm");
      std::_Exit(1);
    }
    ::close(fd);
  }
  void clear() const {
    for (const auto& entry : std::filesystem::directory_iterator(path_)) std::filesystem::remove(entry);
  }

 private:
  std::filesystem::path path_;
};

// Whatever the bytes are, the code under test returns or throws one kind of exception with one line of text;
// anything else ends the process, which is what libFuzzer counts as a finding.
template <class F>
void only_errors(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    if (std::strchr(error.what(), '\n') || error.code() == ErrorCode::kInternal) std::abort();
  }
}

// Reads every tensor whole and its later half, as a loader does.
inline void read_everything(const TensorSource& source) {
  constexpr int64_t kMax = 1 << 20;  // a valid tensor is no larger than the input
  for (const std::string& name : source.names()) {
    const TensorInfo info = source.info(name);
    const int64_t bytes = info.shape.count() * static_cast<int64_t>(size_of(info.dtype));
    if (bytes > kMax) std::abort();
    std::vector<std::byte> into(static_cast<size_t>(bytes));
    source.read(name, Slice::all(info.shape), into.data());
    for (int axis = 0; axis < info.shape.rank(); ++axis)
      source.read(name, Slice::along(info.shape, axis, info.shape[axis] / 2, info.shape[axis]), into.data());
  }
}

}  // namespace bolide
