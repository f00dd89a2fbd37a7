#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace bolide {

using Json = nlohmann::json;

// Strict parsing: invalid JSON, a duplicate key, or nesting deeper than 256 throws kCorrupt naming `where`.
Json parse_json(std::string_view text, std::string_view where);
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
