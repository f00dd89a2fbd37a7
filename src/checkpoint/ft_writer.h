#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/ft_bin.h"

namespace bolide {

// One file of an FT folder being written. Not thread-safe; different files may be written from different
// threads.
class FtFile {
 public:
  explicit FtFile(const std::filesystem::path& path);
  // `<tensor>.<rank>.bin`, or `<tensor>.bin` when rank is -1.
  static std::string name(const std::string& tensor, int rank);
  FtFile(FtFile&& other) noexcept;
  FtFile& operator=(FtFile&&) = delete;
  ~FtFile();  // closes without reporting: call close() when all is written

  // kResource naming the file and the reason (disk full, ...).
  void append(std::span<const std::byte> bytes);
  // Errors as append(). FtWriter::commit() waits until the device has it.
  void close();

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

// Writes `<output_dir>/<ranks>-gpu/` all or nothing: files go to a hidden sibling folder, which commit()
// renames into place and the destructor removes otherwise. Where the target is a link to a folder, that
// folder is replaced, and the link stays.
class FtWriter {
 public:
  // kUsage when the target already holds files and `force` is false: says so and names --force. Removes what
  // killed writers have left in output_dir, and puts a folder back that one of them had moved aside.
  FtWriter(const std::filesystem::path& output_dir, int ranks, bool force);
  ~FtWriter();
  FtWriter(const FtWriter&) = delete;
  FtWriter& operator=(const FtWriter&) = delete;

  // Creates FtFile::name(name, rank). Thread-safe.
  FtFile create(const std::string& name, int rank) const;
  // config.ini, sections and keys in order, as Python's configparser writes it without spaces around '='. It
  // gets its name in commit() only, so that not even a killed run's hidden folder loads.
  using Section = IniText::value_type;
  void write_ini(const std::vector<Section>& sections) const;
  // Makes the folder appear under its final name, which is returned, once the device has all of it. With
  // force, the old one changes places with it in one step, where the file system can do that, or else is
  // moved aside, and is removed then.
  std::filesystem::path commit();
  // The folder that commit() will put in place, or would replace.
  const std::filesystem::path& target() const { return final_; }

 private:
  void replace();

  std::filesystem::path final_, partial_;
  std::vector<std::filesystem::path> made_;  // folders above that were not there, innermost first
  int lock_ = -1;  // descriptor of partial_, locked for as long as this writer lives
  int ranks_;
  bool force_;
  bool committed_ = false;
};

}  // namespace bolide
