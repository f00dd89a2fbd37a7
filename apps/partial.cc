#include "apps/partial.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace bolide::apps {
namespace {

constexpr size_t kDigits = 16, kLongestBase = 200;  // of the 255 bytes that a name may have

struct Place {
  std::string folder, prefix;  // "out/" and "F.partial-"
};

Place place_of(const std::string& target) {
  const size_t slash = target.rfind('/');
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  return {target.substr(0, begin), target.substr(begin, kLongestBase) + ".partial-"};
}

bool is_partial(std::string_view name, std::string_view prefix) {
  return name.size() == prefix.size() + kDigits && name.starts_with(prefix) &&
         name.find_first_not_of("0123456789abcdef", prefix.size()) == std::string_view::npos;
}

void remove_left_behind(const Place& place) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(
      ::opendir(place.folder.empty() ? "." : place.folder.c_str()), ::closedir);
  if (!folder) return;
  std::vector<std::string> found;
  while (const dirent* entry = ::readdir(folder.get()))
    if (is_partial(entry->d_name, place.prefix)) found.push_back(place.folder + entry->d_name);
  for (const std::string& path : found) {
    // Not blocking: it may be a pipe of somebody else's.
    const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat status {};
    if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && ::flock(fd, LOCK_EX | LOCK_NB) == 0)
      ::unlink(path.c_str());
    ::close(fd);
  }
}

bool take_over(int fd, const struct stat* before) {
  // Only root can give files away; where that fails the new file is the user's own.
  if (before && ::fchown(fd, before->st_uid, before->st_gid) != 0 && errno != EPERM) return false;
  return !before || ::fchmod(fd, before->st_mode & 07777) == 0;
}

}  // namespace

int create_partial(const std::string& target, const struct stat* before, std::string& name) {
  const Place place = place_of(target);
  remove_left_behind(place);
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    uint64_t random = 0;
    if (::getrandom(&random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) return -1;
    const std::string path = fmt::format("{}{}{:016x}", place.folder, place.prefix, random);
    const int fd =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, before ? 0600 : 0666);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return -1;
    // A file system without locks has files that nobody removes. Between opening and locking another run may
    // have taken it for one left behind: then it has no name any more.
    ::flock(fd, LOCK_EX);
    struct stat status {};
    if (::fstat(fd, &status) == 0 && status.st_nlink > 0 && take_over(fd, before)) {
      name = path;
      return fd;
    }
    const int error = errno;
    ::unlink(path.c_str());
    ::close(fd);
    if (status.st_nlink > 0) {
      errno = error;
      return -1;
    }
  }
  errno = EEXIST;
  return -1;
}

}  // namespace bolide::apps
