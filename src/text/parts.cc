#include "text/parts.h"

#include <limits>

#include "base/printable.h"
#include "text/utf8.h"

namespace bolide::text {

std::string part_type(const Json& part, std::string_view where) {
  return json_get<std::string>(part, "type", where);
}

void fail_unsupported(std::string_view where, std::string_view kind, std::string_view type) {
  fail(ErrorCode::kUnsupported, "{}: a {} of type '{}' is not supported", where, kind, printable(type));
}

const Json& part_list(const Json& part, std::string_view key, std::string_view where) {
  const auto found = part.is_object() ? part.find(key) : part.end();
  if (found == part.end() || !found->is_array()) {
    fail(ErrorCode::kCorrupt, "{}: key '{}' must be a list", where, key);
  }
  return *found;
}

namespace {

size_t count_steps(const Json& part, std::string_view list_key) {
  const auto list = part.is_object() ? part.find(list_key) : part.end();
  if (list == part.end() || !list->is_array()) return 1;
  size_t count = 1;
  for (const Json& each : *list) count += count_steps(each, list_key);
  return count;
}

}  // namespace

void check_steps(const Json& part, std::string_view kind, std::string_view list_key, std::string_view where) {
  constexpr size_t kMax = 100;
  const size_t count = count_steps(part, list_key);
  if (count > kMax) {
    fail(ErrorCode::kUnsupported, "{}: a {} of {} steps: no more than {} are supported", where, kind, count,
         kMax);
  }
}

Regex read_pattern(const Json& part, std::string_view where) {
  const auto found = part.find("pattern");
  if (found != part.end() && found->is_object() && found->size() == 1) {
    if (found->contains("String")) {
      return Regex::literal(json_get<std::string>(*found, "String", where), where);
    }
    if (found->contains("Regex")) return Regex(json_get<std::string>(*found, "Regex", where), where);
  }
  fail(ErrorCode::kCorrupt, "{}: key 'pattern' must be {{\"String\": ...}} or {{\"Regex\": ...}}", where);
}

int32_t read_int32(const Json& value, std::string_view where) {
  if (!value.is_number_integer() || value < std::numeric_limits<int32_t>::min() ||
      value > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kCorrupt, "{}: {} is no id", where,
         printable(value.dump(-1, ' ', true, Json::error_handler_t::replace)));
  }
  return value.get<int32_t>();
}

char32_t read_char(const Json& part, std::string_view key, std::string_view where) {
  const auto text = json_get<std::string>(part, key, where);
  if (text.empty() || char_size(text[0]) != text.size()) {
    fail(ErrorCode::kCorrupt, "{}: key '{}' must hold one character", where, key);
  }
  return char_at(text, 0);
}

}  // namespace bolide::text
