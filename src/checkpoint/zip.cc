#include "checkpoint/zip.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "checkpoint/diagnostics.h"

namespace bolide {
namespace {

// Record sizes and signatures of PKWARE's APPNOTE.
constexpr size_t kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20, kCentralBytes = 46, kLocalBytes = 30;
constexpr uint32_t kEndMark = 0x06054b50, kEnd64Mark = 0x06064b50, kLocatorMark = 0x07064b50,
                   kCentralMark = 0x02014b50, kLocalMark = 0x04034b50;
constexpr size_t kMaxComment = 0xFFFF;
constexpr uint16_t kEncrypted = 1, kSizesFollow = 8;  // flag bits; with the second, local sizes are 0

class Reader {
 public:
  explicit Reader(const InputFile& archive) : file_(archive), where_(archive.path().string()) {}

  [[noreturn]] void corrupt(std::string_view what) const {
    fail(ErrorCode::kCorrupt, "{}: damaged zip archive: {}", where_, what);
  }
  void need(uint64_t offset, uint64_t size, std::string_view what) const {
    if (offset > this->size() || size > this->size() - offset)
      corrupt(fmt::format("{} lies outside the file, which is truncated or damaged", what));
  }
  template <class T>
  T get(uint64_t offset) {
    need(offset, sizeof(T), "a header");
    T value;
    std::memcpy(&value, at(offset, sizeof value), sizeof value);
    return value;
  }
  std::string text(uint64_t offset, uint64_t size) {
    need(offset, size, "a name");
    return {at(offset, size), static_cast<size_t>(size)};
  }
  size_t size() const { return file_.size(); }
  const std::string& where() const { return where_; }
  // Reads these bytes at once, for what is to be looked at in them.
  void load(uint64_t offset, uint64_t size) {
    window_ = file_.text(offset, size);
    begin_ = offset;
  }

 private:
  // Headers lie close together in a directory, and one by one before their data.
  const char* at(uint64_t offset, uint64_t size) {
    constexpr uint64_t kWindow = 4096;
    if (offset < begin_ || offset + size > begin_ + window_.size())
      load(offset, std::min<uint64_t>(std::max(size, kWindow), this->size() - offset));
    return window_.data() + (offset - begin_);
  }

  const InputFile& file_;
  const std::string where_;
  std::string window_;  // bytes of the file from begin_ on
  uint64_t begin_ = 0;
};

struct Directory {
  uint64_t offset, size, count;
};

Directory find_directory(Reader& zip) {
  if (zip.size() < kEndBytes) zip.corrupt("it is too short");
  const size_t lowest = zip.size() - std::min(zip.size(), kEndBytes + kMaxComment);
  zip.load(lowest, zip.size() - lowest);
  size_t end = zip.size() - kEndBytes;
  while (zip.get<uint32_t>(end) != kEndMark || end + kEndBytes + zip.get<uint16_t>(end + 20) != zip.size()) {
    if (end == lowest) zip.corrupt("it has no directory at its end, as a truncated file");
    --end;
  }
  Directory directory{zip.get<uint32_t>(end + 16), zip.get<uint32_t>(end + 12), zip.get<uint16_t>(end + 10)};
  uint64_t limit = end;
  if (end >= kLocatorBytes && zip.get<uint32_t>(end - kLocatorBytes) == kLocatorMark) {
    const auto end64 = zip.get<uint64_t>(end - kLocatorBytes + 8);
    zip.need(end64, kEnd64Bytes, "the zip64 end record");
    if (zip.get<uint32_t>(end64) != kEnd64Mark) zip.corrupt("its zip64 end record is not where it says");
    directory = {zip.get<uint64_t>(end64 + 48), zip.get<uint64_t>(end64 + 40), zip.get<uint64_t>(end64 + 32)};
    limit = end64;
  }
  if (directory.offset > limit || directory.size > limit - directory.offset ||
      directory.count > directory.size / kCentralBytes)
    zip.corrupt("its directory lies outside the file");
  return directory;
}

struct Central {
  uint64_t stored, size, local;  // bytes in the archive, bytes unpacked, offset of the local header
};

// Replaces the fields that are all ones by those of the zip64 extra field.
void widen(Reader& zip, uint64_t extra, uint64_t extra_end, Central& entry) {
  constexpr uint32_t kInExtra = 0xFFFFFFFF;
  if (entry.size != kInExtra && entry.stored != kInExtra && entry.local != kInExtra) return;
  while (extra + 4 <= extra_end) {
    const auto id = zip.get<uint16_t>(extra), size = zip.get<uint16_t>(extra + 2);
    extra += 4;
    if (size > extra_end - extra) break;
    if (id == 1) {
      const uint64_t field_end = extra + size;
      for (uint64_t* field : {&entry.size, &entry.stored, &entry.local}) {
        if (*field != kInExtra) continue;
        if (extra + 8 > field_end) zip.corrupt("a zip64 field is too short");
        *field = zip.get<uint64_t>(extra);
        extra += 8;
      }
      return;
    }
    extra += size;
  }
  zip.corrupt("a zip64 field is missing");
}

// Checks the local header against the directory and returns where the data is.
ZipEntry locate(Reader& zip, const Central& entry, std::string_view name, uint64_t data_limit) {
  zip.need(entry.local, kLocalBytes, "a local header");
  const auto name_size = zip.get<uint16_t>(entry.local + 26),
             extra_size = zip.get<uint16_t>(entry.local + 28);
  const auto flags = zip.get<uint16_t>(entry.local + 6);
  const auto local_size = zip.get<uint32_t>(entry.local + 22);
  if (zip.get<uint32_t>(entry.local) != kLocalMark || zip.get<uint16_t>(entry.local + 8) != 0 ||
      zip.text(entry.local + kLocalBytes, name_size) != name ||
      (local_size != 0xFFFFFFFF && local_size != entry.size && !((flags & kSizesFollow) && local_size == 0)))
    zip.corrupt(fmt::format("the local header of '{}' differs from the directory", printable(name)));
  const uint64_t offset = entry.local + kLocalBytes + name_size + extra_size;
  if (offset > data_limit || entry.size > data_limit - offset)
    zip.corrupt(fmt::format("entry '{}' reaches outside the file", printable(name)));
  return {static_cast<size_t>(offset), static_cast<size_t>(entry.size)};
}

}  // namespace

std::map<std::string, ZipEntry> read_zip(const InputFile& archive) {
  Reader zip(archive);
  const std::string& where = zip.where();
  const Directory directory = find_directory(zip);
  std::map<std::string, ZipEntry> entries;
  uint64_t at = directory.offset;
  const uint64_t end = directory.offset + directory.size;
  for (uint64_t i = 0; i < directory.count; ++i) {
    if (at > end || end - at < kCentralBytes || zip.get<uint32_t>(at) != kCentralMark)
      zip.corrupt("its directory ends early");
    const auto flags = zip.get<uint16_t>(at + 8), method = zip.get<uint16_t>(at + 10);
    const auto name_size = zip.get<uint16_t>(at + 28), extra_size = zip.get<uint16_t>(at + 30),
               comment_size = zip.get<uint16_t>(at + 32);
    const std::string name(zip.text(at + kCentralBytes, name_size));
    Central entry{zip.get<uint32_t>(at + 20), zip.get<uint32_t>(at + 24), zip.get<uint32_t>(at + 42)};
    const uint64_t extra = at + kCentralBytes + name_size;
    zip.need(extra, extra_size, "a directory field");
    widen(zip, extra, extra + extra_size, entry);
    at = extra + extra_size + comment_size;
    if (method != 0) {
      fail(ErrorCode::kCorrupt,
           "{}: entry '{}' is compressed ({} bytes from {}): torch.save stores entries as they are, so this "
           "is "
           "no checkpoint of its making; re-save it with torch.save",
           where, printable(name), entry.size, entry.stored);
    }
    if (flags & kEncrypted) fail(ErrorCode::kCorrupt, "{}: entry '{}' is encrypted", where, printable(name));
    if (entry.size != entry.stored)
      zip.corrupt(fmt::format("entry '{}' is stored, but with two sizes", printable(name)));
    if (!entries.emplace(name, locate(zip, entry, name, directory.offset)).second)
      zip.corrupt(fmt::format("entry '{}' is there twice", printable(name)));
  }
  return entries;
}

}  // namespace bolide
