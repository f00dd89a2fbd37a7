#pragma once

// Hand-made checkpoint files, so that tests can put any damage into them.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "checkpoint/tensor_source.h"

namespace bolide {

using namespace std::string_literals;  // "x"s + f(): g++ 12 sees a false -Wrestrict in "x" + f()

// A fresh folder that goes with its object.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::path(testing::TempDir()) / "bolide-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path put(const std::string& name, std::string_view text) const {
    write_text_file(path_ / name, text);
    return path_ / name;
  }
  std::vector<std::string> listing() const {
    std::vector<std::string> names;
    for (const auto& item : std::filesystem::directory_iterator(path_))
      names.push_back(item.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::filesystem::path path_;
};

inline std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(BOLIDE_SOURCE_DIR) / "tests/checkpoint/fixtures" / name;
}

template <class T>
std::string raw(T value) {
  std::string text(sizeof value, '\0');
  std::memcpy(text.data(), &value, sizeof value);
  return text;
}
template <class T>
std::string raw(const std::vector<T>& values) {
  std::string text;
  for (T value : values) text += raw(value);
  return text;
}

inline std::string safetensors_text(std::string_view header, std::string_view data) {
  return raw(uint64_t{header.size()}) + std::string(header) + std::string(data);
}

// A zip archive; every field that a test may want to be wrong can be set.
class ZipBuilder {
 public:
  struct Options {
    uint16_t method = 0, flags = 0;
    int64_t claimed_size = -1;    // in both headers; -1: the true one
    int64_t unpacked_size = -1;   // in the directory alone
    int64_t local_offset = -1;    // in the directory
    std::string local_name = {};  // when it should differ
    size_t align = 1;             // of the data, by an extra field as torch does
    bool zip64 = false;           // sizes and offset in the zip64 field
  };
  ZipBuilder& add(const std::string& name, std::string_view data) { return add(name, data, Options()); }
  ZipBuilder& add(const std::string& name, std::string_view data, const Options& o) {
    const auto size = static_cast<uint32_t>(o.claimed_size < 0 ? data.size() : o.claimed_size);
    const auto unpacked = static_cast<uint32_t>(o.unpacked_size < 0 ? size : o.unpacked_size);
    const std::string& local_name = o.local_name.empty() ? name : o.local_name;
    const auto offset = static_cast<uint32_t>(o.local_offset < 0 ? body_.size() : o.local_offset);
    std::string extra;
    if (o.align > 1) {
      const size_t end = body_.size() + 30 + local_name.size() + 4;
      extra = "FB"s + raw(static_cast<uint16_t>((o.align - end % o.align) % o.align));
      extra += std::string((o.align - end % o.align) % o.align, 'Z');
    }
    const uint32_t local_size = o.flags & 8 ? 0 : size;
    body_ += raw(uint32_t{0x04034b50}) + raw(uint16_t{0}) + raw(o.flags) + raw(o.method) + raw(uint32_t{0}) +
             raw(uint32_t{0}) + raw(local_size) + raw(local_size) +
             raw(static_cast<uint16_t>(local_name.size())) + raw(static_cast<uint16_t>(extra.size())) +
             local_name + extra + std::string(data);
    std::string wide;
    if (o.zip64) {
      wide = raw(uint16_t{1}) + raw(uint16_t{24}) + raw(uint64_t{unpacked}) + raw(uint64_t{size}) +
             raw(uint64_t{offset});
    }
    const uint32_t ones = 0xFFFFFFFF;
    directory_ += raw(uint32_t{0x02014b50}) + raw(uint16_t{0}) + raw(uint16_t{0}) + raw(o.flags) +
                  raw(o.method) + raw(uint32_t{0}) + raw(uint32_t{0}) + raw(o.zip64 ? ones : size) +
                  raw(o.zip64 ? ones : unpacked) + raw(static_cast<uint16_t>(name.size())) +
                  raw(static_cast<uint16_t>(wide.size())) + raw(uint16_t{0}) + raw(uint16_t{0}) +
                  raw(uint16_t{0}) + raw(uint32_t{0}) + raw(o.zip64 ? ones : offset) + name + wide;
    ++count_;
    return *this;
  }
  std::string text(std::string_view comment = "") const {
    return body_ + directory_ + raw(uint32_t{0x06054b50}) + raw(uint16_t{0}) + raw(uint16_t{0}) +
           raw(count_) + raw(count_) + raw(static_cast<uint32_t>(directory_.size())) +
           raw(static_cast<uint32_t>(body_.size())) + raw(static_cast<uint16_t>(comment.size())) +
           std::string(comment);
  }

 private:
  std::string body_, directory_;
  uint16_t count_ = 0;
};

// Pieces of pickles.
namespace pickle {

inline std::string text(std::string_view s) {
  return "X"s + raw(static_cast<uint32_t>(s.size())) + std::string(s);
}
inline std::string number(int64_t n) { return std::string("\x8a\x08", 2) + raw(n); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c"s + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}
inline std::string numbers(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (int64_t value : values) items.push_back(number(value));
  return tuple(items);
}
inline std::string storage(const std::string& type, const std::string& key, int64_t numel) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), number(numel)}) + "Q";
}
inline std::string tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& size,
                          const std::vector<int64_t>& stride) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({storage, number(offset), numbers(size), numbers(stride), "\x89",
                global("collections", "OrderedDict") + ")R"}) +
         "R";
}
inline std::string protocol(std::string_view body) { return "\x80\x02"s + std::string(body) + "."; }
// {name: value, ...}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [name, value] : items) out += text(name) + value;
  return out + "u";
}

}  // namespace pickle

inline std::string torch_file(std::string_view pickle, const std::vector<std::string>& storages) {
  ZipBuilder zip;
  zip.add("archive/data.pkl", pickle);
  for (size_t i = 0; i < storages.size(); ++i) zip.add("archive/data/" + std::to_string(i), storages[i]);
  return zip.text();
}

// All of a tensor, or a slice, as T.
template <class T>
std::vector<T> read_as(const TensorSource& source, const std::string& name, const Slice& slice) {
  std::vector<T> values(static_cast<size_t>(slice.shape(source.info(name).shape.rank()).count()));
  source.read(name, slice, values.data());
  return values;
}
template <class T>
std::vector<T> read_all(const TensorSource& source, const std::string& name) {
  return read_as<T>(source, name, Slice::all(source.info(name).shape));
}

// The value of element i in the fixtures of tools/make_checkpoint_fixtures.py.
inline int ramp(int64_t i) { return static_cast<int>(7 * i % 31); }

// The tensor read whole and as many slices, each element compared with what a ramp holds there.
void expect_ramp(const TensorSource& source, const std::string& name, const Shape& shape);

}  // namespace bolide
