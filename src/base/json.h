#pragma once

#include <concepts>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bolide/json.h"

namespace bolide {

using Json = nlohmann::json;

// Frees a tree from its leaves up. nlohmann's destructor takes memory for a list of all nodes, and where that
// is not to be had the process ends, since a destructor cannot throw.
void dismantle(Json& tree) noexcept;

// A tree that a file decided the size of.
class JsonTree {
 public:
  explicit JsonTree(Json&& root) : root_(std::move(root)) {}
  JsonTree(JsonTree&&) = default;
  JsonTree& operator=(JsonTree&&) = delete;
  ~JsonTree() { dismantle(root_); }
  const Json& operator*() const { return root_; }
  const Json* operator->() const { return &root_; }
  Json release() { return std::exchange(root_, nullptr); }  // to somebody who dismantles it

 private:
  Json root_;
};

// Takes in one list or object event by event, where a tree of its values would cost too much: a vocabulary of
// 250,000 tokens parses in a fifth of the time and memory.
using JsonTable = JsonEvents;
// The table for the list or object at `path` (the keys that lead to it, "" for a list), or null for the tree.
using JsonTables = std::function<JsonTable*(const std::vector<std::string>& path)>;

// scan_json() into a tree, which takes at most max_json_tree_bytes(): kCorrupt beyond. What a table took is
// null in the result; that a table is given only once is checked here.
//
// Where a key is given twice, and where Python writes what JSON has no value for (NaN, Infinity), the value
// is a remark: files have such things in places that nobody reads. json_find(), json_get() and json_get_or()
// fail when they meet one, and to all others it is of a type (binary) that is none of those they know.
JsonTree parse_json(std::string_view text, std::string_view where, const JsonTables& tables = nullptr);
// Reads and parses a whole file of at most `max_bytes`; kNotFound when it is not there. (The index of the
// largest models has 9 MB.)
JsonTree read_json_file(const std::filesystem::path& path, size_t max_bytes = size_t{64} << 20);

// What there is to say of a value that is a remark ("is given twice"), or nothing.
std::string json_remark(const Json& value);

// The value of `key`, or null where `object` is no object or has no such key; kCorrupt for a remark.
const Json* json_find(const Json& object, std::string_view key, std::string_view where);

// kCorrupt: says which key is missing, or that its value, which is not `wanted`, is something else.
[[noreturn]] void json_missing(std::string_view key, std::string_view where);
[[noreturn]] void json_mismatch(const Json& value, std::string_view key, std::string_view wanted,
                                std::string_view where);

// The value of `key` as a T; kCorrupt naming `where` and the key when it is missing or has another type.
// Numbers are neither cut nor rounded to whole ones, and true is none.
template <class T>
T json_get(const Json& object, std::string_view key, std::string_view where) {
  const Json* found = json_find(object, key, where);
  if (!found) json_missing(key, where);
  if constexpr (std::integral<T> && !std::same_as<T, bool>) {
    const bool fits = found->is_number_unsigned()
                          ? std::in_range<T>(found->get<uint64_t>())
                          : found->is_number_integer() && std::in_range<T>(found->get<int64_t>());
    if (!fits)
      json_mismatch(*found, key, sizeof(T) == 8 ? "a whole number of 64 bits" : "a whole number of 32 bits",
                    where);
  } else if constexpr (std::floating_point<T>) {
    if (!found->is_number()) json_mismatch(*found, key, "a number", where);
  }
  try {
    return found->template get<T>();
  } catch (const nlohmann::json::exception&) {
    json_mismatch(*found, key, "", where);
  }
}

// As json_get, but `fallback` when the key is missing or null.
template <class T>
T json_get_or(const Json& object, std::string_view key, T fallback, std::string_view where) {
  const Json* found = json_find(object, key, where);
  if (!found || found->is_null()) return fallback;
  return json_get<T>(object, key, where);
}

}  // namespace bolide
