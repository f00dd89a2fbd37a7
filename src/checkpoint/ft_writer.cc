#include "checkpoint/ft_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;

// config.ini until commit().
constexpr const char* kPendingIni = "config.ini.pending";

[[noreturn]] void cannot_write(const fs::path& path) {
  fail(ErrorCode::kResource, "cannot write {}: {}", path.string(), std::strerror(errno));
}

bool holds_files(const fs::path& folder) { return path_exists(folder) && !list_folder(folder).empty(); }

constexpr std::string_view kPartial = "-gpu.partial-", kAside = ".old";

// A descriptor of the folder with the lock that its writer holds, or -1 while another has it. The kernel lets
// go of it when a process ends, however that happens.
int lock_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat locked {
  }, named{};
  // Whoever removed it in between had the lock then, and the name is gone or another folder's.
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0 && ::fstat(fd, &locked) == 0 &&
      ::lstat(folder.c_str(), &named) == 0 && locked.st_ino == named.st_ino)
    return fd;
  ::close(fd);
  return -1;
}

// Removes the folders of writers that are no more. One that was moved aside comes back when nothing is in its
// place: its writer ended between the two steps of replace().
void clean_up(const fs::path& output_dir) {
  std::error_code error;
  const auto is_there = [&error](const fs::path& path) {  // if only as a link
    return fs::symlink_status(path, error).type() != fs::file_type::not_found;
  };
  std::vector<fs::path> left;
  for (fs::directory_iterator item(output_dir, error), end; !error && item != end; item.increment(error)) {
    const std::string name = item->path().filename().string();
    const size_t ranks = name.find(kPartial);
    if (name.starts_with('.') && ranks != std::string::npos && ranks > 1 &&
        name.find_first_not_of("0123456789", 1) == ranks)
      left.push_back(item->path());
  }
  for (const fs::path& folder : left) {
    const std::string name = folder.filename().string();
    if (name.ends_with(kAside)) {
      const fs::path place = output_dir / (name.substr(1, name.find('-') - 1) + "-gpu");
      // Its writer may be about to put it back, or to put the new one in place.
      const fs::path writer = output_dir / name.substr(0, name.size() - kAside.size());
      const int fd = lock_folder(writer);
      const bool busy = fd < 0 && is_there(writer);
      if (!busy && !is_there(place)) {
        fs::rename(folder, place, error);
      } else if (!busy) {
        fs::remove_all(folder, error);
      }
      if (fd >= 0) ::close(fd);
    } else if (const int fd = lock_folder(folder); fd >= 0) {
      fs::remove_all(folder, error);
      ::close(fd);
    }
  }
}

// All that was written to the file system of `folder` is on the device: one wait for all files, of which a
// model of 24 layers at two ranks has hundreds, instead of one for each. (Since Linux 5.8 it reports what
// could not be written, as fsync() does.)
void flush_file_system(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) cannot_write(folder);
  const bool flushed = ::syncfs(fd) == 0;
  const int flush_error = errno;
  ::close(fd);
  errno = flush_error;
  if (!flushed) cannot_write(folder);
}

}  // namespace

std::string FtFile::name(const std::string& tensor, int rank) {
  return rank < 0 ? tensor + ".bin" : fmt::format("{}.{}.bin", tensor, rank);
}

FtFile::FtFile(const fs::path& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd_ < 0) cannot_write(path);
}

FtFile::FtFile(FtFile&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

FtFile::~FtFile() {
  if (fd_ >= 0) ::close(fd_);
}

void FtFile::append(std::span<const std::byte> bytes) {
  BOLIDE_CHECK(fd_ >= 0, "{} is closed", path_.string());
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) cannot_write(path_);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
}

void FtFile::close() {
  BOLIDE_CHECK(fd_ >= 0, "{} is closed", path_.string());
  // On its way to the device while other files are written; commit() waits for it. What the kernel cannot
  // start now it does then.
  ::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);
  if (::close(std::exchange(fd_, -1)) != 0) cannot_write(path_);  // some file systems report a full disk here
}

FtWriter::FtWriter(const fs::path& output_dir, int ranks, bool force)
    : final_(output_dir / fmt::format("{}-gpu", ranks)), ranks_(ranks), force_(force) {
  BOLIDE_CHECK(ranks >= 1);
  std::error_code error;
  for (int links = 0; fs::is_symlink(final_, error); ++links) {
    const fs::path to = fs::read_symlink(final_, error);
    constexpr int kMaxLinks = 40;  // as the kernel
    if (error || links == kMaxLinks) fail(ErrorCode::kResource, "cannot follow the link {}", final_.string());
    final_ = (final_.parent_path() / to).lexically_normal();
    if (!final_.has_filename()) final_ = final_.parent_path();
  }
  clean_up(final_.parent_path());
  if (path_exists(final_) && !is_folder(final_))
    fail(ErrorCode::kUsage, "{} is in the way: it is not a folder", final_.string());
  if (!force && holds_files(final_)) {
    fail(ErrorCode::kUsage, "{} already holds files: choose another folder, or --force to replace it",
         final_.string());
  }
  const fs::path parent = final_.parent_path();
  for (fs::path above = parent; !above.empty() && !path_exists(above); above = above.parent_path())
    made_.push_back(above);
  fs::create_directories(parent, error);
  if (error) fail(ErrorCode::kResource, "cannot create {}: {}", parent.string(), error.message());
  // Another writer's clean_up() may take the folder away before it is locked.
  for (int tries = 0; lock_ < 0; ++tries) {
    // The process id is for people; the random part keeps two writers of one process apart.
    std::string partial = (parent / fmt::format(".{}{}{}-XXXXXX", ranks, kPartial, ::getpid())).string();
    if (!::mkdtemp(partial.data())) cannot_write(partial);
    partial_ = partial;
    lock_ = lock_folder(partial_);
    if (lock_ < 0 && tries == 100)
      fail(ErrorCode::kResource, "cannot lock {}: {}", partial, std::strerror(errno));
  }
  fs::permissions(partial_, fs::perms(0755), error);  // mkdtemp's 0700 would stay with the finished folder
}

FtWriter::~FtWriter() {
  std::error_code error;  // a destructor has nobody to tell
  if (!committed_) {
    fs::remove_all(partial_, error);
    for (const fs::path& made : made_)
      fs::remove(made, error);  // where nobody else has put something into it
  }
  if (lock_ >= 0) ::close(lock_);
}

FtFile FtWriter::create(const std::string& name, int rank) const {
  BOLIDE_CHECK(rank >= -1 && rank < ranks_ && name.find('/') == std::string::npos && !committed_);
  return FtFile(partial_ / FtFile::name(name, rank));
}

void FtWriter::write_ini(const std::vector<Section>& sections) const {
  const std::string text = format_ini(sections);
  FtFile file(partial_ / kPendingIni);
  file.append(std::as_bytes(std::span(text)));
  file.close();
}

fs::path FtWriter::commit() {
  BOLIDE_CHECK(!committed_ && path_exists(partial_ / kPendingIni), "commit() comes once, after write_ini()");
  std::error_code error;
  fs::rename(partial_ / kPendingIni, partial_ / "config.ini", error);
  if (error) fail(ErrorCode::kResource, "cannot finish {}: {}", partial_.string(), error.message());
  flush_file_system(partial_);
  replace();
  committed_ = true;
  sync_path(final_.parent_path());
  return final_;
}

void FtWriter::replace() {
  std::error_code error;
  const auto remove = [&](const fs::path& old) {
    fs::remove_all(old, error);
    if (error) fail(ErrorCode::kResource, "cannot remove {}: {}", old.string(), error.message());
  };
  if (!force_ || !holds_files(final_)) {
    fs::rename(partial_, final_, error);  // replaces an empty folder, refuses any other
    if (error) fail(ErrorCode::kResource, "cannot put {} in place: {}", final_.string(), error.message());
    return;
  }
  if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, final_.c_str(), RENAME_EXCHANGE) == 0) {
    remove(partial_);
    return;
  }
  // Some file systems cannot do that (NFS: EINVAL). A writer that is killed between the two steps leaves the
  // old folder for clean_up().
  const fs::path old = partial_.string() + std::string(kAside);
  fs::rename(final_, old, error);
  if (error) fail(ErrorCode::kResource, "cannot move {} aside: {}", final_.string(), error.message());
  fs::rename(partial_, final_, error);
  if (error) {
    const std::string reason = error.message();
    fs::rename(old, final_, error);
    fail(ErrorCode::kResource, "cannot put {} in place: {}", final_.string(), reason);
  }
  remove(old);
}

}  // namespace bolide
