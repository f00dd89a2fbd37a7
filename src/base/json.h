#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace bolide {

using Json = nlohmann::json;

// Takes in one list or object event by event, where a tree of its values would cost too much: a vocabulary of
// 250,000 tokens parses in a fifth of the time and memory. Exceptions pass through the parser.
class JsonTable {
 public:
  virtual ~JsonTable() = default;
  virtual void begin(bool is_object) = 0;  // a list or object, the first one the table itself
  virtual void end() = 0;
  virtual void key(std::string& key) = 0;
  virtual void string(std::string& value) = 0;
  virtual void integer(int64_t value) = 0;
  virtual void real(double value) = 0;
  virtual void other(const char* type_name) = 0;  // null or a boolean
};
// The table for the list or object at `path` (the keys that lead to it, "" for a list), or null for the tree.
using JsonTables = std::function<JsonTable*(const std::vector<std::string>& path)>;

// Strict parsing: invalid JSON, a duplicate key, or nesting deeper than 256 throws kCorrupt naming `where`.
// What a table took is null in the result.
Json parse_json(std::string_view text, std::string_view where, const JsonTables& tables = nullptr);
// Reads and parses a whole file of at most `max_bytes`; kNotFound when it is not there.
Json read_json_file(const std::filesystem::path& path, size_t max_bytes = size_t{256} << 20);

// The value of `key` as a T; kCorrupt naming `where` and the key when it is missing or has another type.
template <class T>
T json_get(const Json& object, std::string_view key, std::string_view where) {
  auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end()) fail(ErrorCode::kCorrupt, "{}: key '{}' is missing", where, key);
  try {
    return found->template get<T>();
  } catch (const nlohmann::json::exception&) {
    fail(ErrorCode::kCorrupt, "{}: key '{}' has the wrong type ({})", where, key, found->type_name());
  }
}

// As json_get, but `fallback` when the key is missing or null.
template <class T>
T json_get_or(const Json& object, std::string_view key, T fallback, std::string_view where) {
  auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end() || found->is_null()) return fallback;
  return json_get<T>(object, key, where);
}

}  // namespace bolide
