#include "apps/request_jsonl.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/options.h"
#include "bolide/error.h"
#include "bolide/version.h"

namespace bolide::apps {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 4;  // a list in the object is all that a request has

[[noreturn]] void wrong_type(std::string_view where, std::string_view field, const char* expected,
                             const json& value) {
  std::string shown = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (shown.size() > 40) shown = shown.substr(0, 40) + "...";
  throw Error(ErrorCode::kCorrupt, fmt::format("{}: '{}' must be {}, not {}", where, field, expected, shown));
}

// A field's name for a message: escaped, so that the message stays one line whatever the name holds.
std::string shown_name(std::string_view field) {
  const std::string quoted = json(field).dump(-1, ' ', true, json::error_handler_t::replace);
  return quoted.size() > 42 ? quoted.substr(1, 40) + "..." : quoted.substr(1, quoted.size() - 2);
}

// The top-level keys, each once; nested objects have no place in a request, so that theirs need no check.
json parse_object(std::string_view line, std::string_view where) {
  std::set<std::string> seen;
  std::string twice;
  bool too_deep = false;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    // Printing a value recurses, so that a hostile nest must not become one.
    if (depth > kMaxDepth) too_deep = true;
    if (too_deep) return false;
    if (event == json::parse_event_t::key && depth == 1) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!seen.insert(key).second && twice.empty()) twice = key;
    }
    return true;
  };
  json object;
  try {
    object = json::parse(line.begin(), line.end(), watch);
  } catch (const json::parse_error& error) {
    throw Error(ErrorCode::kCorrupt,
                fmt::format("{}: not valid JSON at byte {}, expected {{\"prompt\": \"...\"}} or "
                            "{{\"input_ids\": [...]}}",
                            where, error.byte));
  } catch (const json::out_of_range&) {  // 1e999: JSON's grammar allows it, no type holds it
    throw Error(ErrorCode::kCorrupt, fmt::format("{}: holds a number too large for any field", where));
  }
  if (too_deep) throw Error(ErrorCode::kCorrupt, fmt::format("{}: nested too deeply for a request", where));
  if (!object.is_object()) {
    throw Error(ErrorCode::kCorrupt,
                fmt::format("{}: expected an object like {{\"prompt\": \"...\"}}, not {}", where,
                            object.type_name()));
  }
  if (!twice.empty())
    throw Error(ErrorCode::kCorrupt, fmt::format("{}: field '{}' is given twice", where, shown_name(twice)));
  return object;
}

// JSON keeps integers up to 2^64 apart from fractions; 1.0 is not taken for 1.
template <class T>
T integer(const json& value, std::string_view where, std::string_view field) {
  constexpr auto kLow = std::numeric_limits<T>::min();
  constexpr auto kHigh = std::numeric_limits<T>::max();
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number <= static_cast<uint64_t>(kHigh)) return static_cast<T>(number);
  } else if (value.is_number_integer()) {
    const auto number = value.get<int64_t>();  // negative
    if (kLow < 0 && number >= static_cast<int64_t>(kLow)) return static_cast<T>(number);
  }
  wrong_type(where, field, sizeof(T) == 8 ? "a whole number from 0 to 2^64 - 1" : "a whole number of 32 bits",
             value);
}

double number(const json& value, std::string_view where, std::string_view field) {
  if (!value.is_number()) wrong_type(where, field, "a number", value);
  return value.get<double>();
}

bool boolean(const json& value, std::string_view where, std::string_view field) {
  if (!value.is_boolean()) wrong_type(where, field, "true or false", value);
  return value.get<bool>();
}

std::string text(const json& value, std::string_view where, std::string_view field) {
  if (!value.is_string()) wrong_type(where, field, "a string", value);
  return value.get<std::string>();
}

std::vector<int32_t> ids(const json& value, std::string_view where, std::string_view field) {
  if (!value.is_array()) wrong_type(where, field, "a list of ids", value);
  std::vector<int32_t> out;
  for (const json& id : value) out.push_back(integer<int32_t>(id, where, field));
  return out;
}

std::vector<std::string> texts(const json& value, std::string_view where, std::string_view field) {
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array()) wrong_type(where, field, "a string or a list of strings", value);
  std::vector<std::string> out;
  for (const json& entry : value) out.push_back(text(entry, where, field));
  return out;
}

// True when `field` is one of FasterTransformer's parameters that must keep its neutral value, and does.
bool is_neutral(const json& value, std::string_view where, std::string_view field) {
  for (const NeutralParameter& parameter : neutral_parameters()) {
    std::string name = parameter.name;
    std::replace(name.begin(), name.end(), '-', '_');
    if (name != field) continue;
    const double given = number(value, where, field);
    if (given == parameter.neutral) return true;
    throw Error(ErrorCode::kUsage, fmt::format("{}: {} {} is not supported by version {}, leave it at {}",
                                               where, field, given, kVersion, parameter.neutral));
  }
  return false;
}

void set_field(Request& request, const json& value, std::string_view where, std::string_view field) {
  if (field == "prompt") {
    request.prompt = text(value, where, field);
  } else if (field == "input_ids") {
    request.input_ids = ids(value, where, field);
  } else if (field == "max_new_tokens" || field == "output_len") {
    request.max_new_tokens = integer<int32_t>(value, where, field);
  } else if (field == "temperature") {
    request.sampling.temperature = static_cast<float>(number(value, where, field));
  } else if (field == "top_k") {
    request.sampling.top_k = integer<int32_t>(value, where, field);
  } else if (field == "top_p") {
    request.sampling.top_p = static_cast<float>(number(value, where, field));
  } else if (field == "seed") {
    request.sampling.seed = integer<uint64_t>(value, where, field);
  } else if (field == "stop") {
    request.stop = texts(value, where, field);
  } else if (field == "ignore_eos") {
    request.end_id = boolean(value, where, field) ? std::optional<int32_t>(-1) : std::nullopt;
  } else if (field == "return_log_probs") {
    request.return_log_probs = boolean(value, where, field);
  } else if (!is_neutral(value, where, field)) {
    throw Error(ErrorCode::kUsage,
                fmt::format("{}: unknown field '{}', see 'bolide generate --help' for the fields", where,
                            shown_name(field)));
  }
}

}  // namespace

Request parse_request(std::string_view line, std::string_view where, const Request& defaults) {
  const json object = parse_object(line, where);
  Request request = defaults;
  for (const auto& item : object.items()) set_field(request, item.value(), where, item.key());
  if (object.contains("prompt") == object.contains("input_ids")) {
    throw Error(ErrorCode::kCorrupt, fmt::format("{}: give either 'prompt' or 'input_ids'{}", where,
                                                 object.contains("prompt") ? ", not both" : ""));
  }
  if (object.contains("max_new_tokens") && object.contains("output_len")) {
    throw Error(ErrorCode::kCorrupt,
                fmt::format("{}: 'max_new_tokens' and 'output_len' mean the same, give one", where));
  }
  return request;
}

}  // namespace bolide::apps
