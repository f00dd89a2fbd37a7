#include "checkpoint/ft_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

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
  if (path_exists(final_) && !is_folder(final_))
    fail(ErrorCode::kUsage, "{} is in the way: it is not a folder", final_.string());
  if (!force && holds_files(final_)) {
    fail(ErrorCode::kUsage, "{} already holds files: choose another folder, or --force to replace it",
         final_.string());
  }
  fs::create_directories(output_dir, error);
  if (error) fail(ErrorCode::kResource, "cannot create {}: {}", output_dir.string(), error.message());
  // The process id is for people; the random part keeps two writers of one process apart.
  std::string partial = (output_dir / fmt::format(".{}-gpu.partial-{}-XXXXXX", ranks, ::getpid())).string();
  if (!::mkdtemp(partial.data())) cannot_write(partial);
  partial_ = partial;
  fs::permissions(partial_, fs::perms(0755), error);  // mkdtemp's 0700 would stay with the finished folder
}

FtWriter::~FtWriter() {
  std::error_code error;  // a destructor has nobody to tell
  if (!committed_) fs::remove_all(partial_, error);
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
  fs::path old;
  if (force_ && holds_files(final_)) {
    old = partial_;
    old += ".old";
    fs::rename(final_, old, error);
    if (error) fail(ErrorCode::kResource, "cannot move {} aside: {}", final_.string(), error.message());
  }
  fs::rename(partial_, final_, error);  // replaces an empty folder, refuses any other
  if (error) {
    const std::string reason = error.message();
    if (!old.empty()) fs::rename(old, final_, error);
    fail(ErrorCode::kResource, "cannot put {} in place: {}", final_.string(), reason);
  }
  committed_ = true;
  sync_path(final_.parent_path());
  if (!old.empty()) fs::remove_all(old, error);
  if (error) fail(ErrorCode::kResource, "cannot remove {}: {}", old.string(), error.message());
  return final_;
}

}  // namespace bolide
