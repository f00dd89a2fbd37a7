#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace bolide {

// Values one after another, for ranks of the same build: both sides name the same types in the same order.
class MessageWriter {
 public:
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void add(const T& value) { append(&value, sizeof(T)); }
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void add(const std::vector<T>& values) {
    add(static_cast<uint64_t>(values.size()));
    append(values.data(), values.size() * sizeof(T));
  }
  void add(std::string_view text) {
    add(static_cast<uint64_t>(text.size()));
    append(text.data(), text.size());
  }
  void clear() { data_.clear(); }
  std::span<const std::byte> data() const { return data_; }

 private:
  void append(const void* from, size_t bytes) {
    if (bytes == 0) return;
    data_.resize(data_.size() + bytes);
    std::memcpy(data_.data() + data_.size() - bytes, from, bytes);
  }
  std::vector<std::byte> data_;
};

class MessageReader {
 public:
  // `what` names the message in the error for one that is too short or too long.
  MessageReader(std::span<const std::byte> data, std::string_view what) : data_(data), what_(what) {}

  template <class T>
  requires std::is_trivially_copyable_v<T> T get() {
    T value;
    take(&value, 1, sizeof(T));
    return value;
  }
  // Into vectors that keep their memory from message to message.
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void get(std::vector<T>& values) {
    values.resize(checked(get<uint64_t>(), sizeof(T)));
    take(values.data(), values.size(), sizeof(T));
  }
  std::string text() {
    std::string text(checked(get<uint64_t>(), 1), '\0');
    take(text.data(), text.size(), 1);
    return text;
  }
  // After the last value.
  void end() const {
    if (!data_.empty()) wrong();
  }

 private:
  size_t checked(uint64_t count, size_t size) const {
    if (count > data_.size() / size) wrong();
    return static_cast<size_t>(count);
  }
  void take(void* to, size_t count, size_t size) {
    const size_t bytes = checked(count, size) * size;
    if (bytes > 0) std::memcpy(to, data_.data(), bytes);
    data_ = data_.subspan(bytes);
  }
  [[noreturn]] void wrong() const {
    fail(ErrorCode::kInternal, "{} is not what this rank expects: do all ranks run the same build?", what_);
  }

  std::span<const std::byte> data_;
  std::string_view what_;
};

}  // namespace bolide
