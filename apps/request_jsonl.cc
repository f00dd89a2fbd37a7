#include "apps/request_jsonl.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/arguments.h"
#include "apps/json_lines.h"
#include "apps/options.h"
#include "bolide/error.h"
#include "bolide/version.h"

namespace bolide::apps {
namespace {

using nlohmann::json;

[[noreturn]] void wrong_type(std::string_view where, std::string_view field, const char* expected,
                             const json& value) {
  throw Error(ErrorCode::kCorrupt,
              fmt::format("{}: '{}' must be {}, not {}", where, field, expected, shown(value)));
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

// FasterTransformer's -1 is no end id.
std::vector<int32_t> end_id(int32_t id) {
  return id == -1 ? std::vector<int32_t>() : std::vector<int32_t>{id};
}

// True when `field` is one of FasterTransformer's parameters that must keep its neutral value, and does.
bool is_neutral(const json& value, std::string_view where, std::string_view field) {
  for (const NeutralParameter& parameter : neutral_parameters()) {
    std::string name = parameter.name;
    std::replace(name.begin(), name.end(), '-', '_');
    if (name != field) continue;
    const double given = number(value, where, field);
    if (given == parameter.neutral) return true;
    throw Error(ErrorCode::kCorrupt, fmt::format("{}: {} {} is not supported by version {}, leave it at {}",
                                                 where, field, given, kVersion, parameter.neutral));
  }
  return false;
}

[[noreturn]] void exclude_each_other(std::string_view where, std::string_view one, std::string_view other) {
  throw Error(ErrorCode::kCorrupt,
              fmt::format("{}: '{}' and '{}' exclude each other, give one", where, one, other));
}

// A field's other names: those of the flag, with underscores.
constexpr std::pair<std::string_view, std::string_view> kOtherNames[] = {{"output_len", "max_new_tokens"},
                                                                         {"max_tokens", "max_new_tokens"},
                                                                         {"n_predict", "max_new_tokens"},
                                                                         {"temp", "temperature"}};

std::string_view first_name(std::string_view field) {
  for (const auto& [other, name] : kOtherNames)
    if (field == other) return name;
  return field;
}

[[noreturn]] void unknown_field(std::string_view where, std::string_view field) {
  std::vector<std::string> names = {
      "prompt", "input_ids", "max_new_tokens", "temperature",      "top_k", "top_p",
      "seed",   "stop",      "ignore_eos",     "return_log_probs", "end_id"};
  for (const auto& [other, name] : kOtherNames) names.emplace_back(other);
  const std::string near = nearest(field, names);
  throw Error(ErrorCode::kCorrupt, fmt::format("{}: unknown field '{}'{}", where, printable(field, 40),
                                               near.empty() ? ", see 'bolide generate --help' for the fields"
                                                            : fmt::format(": did you mean '{}'?", near)));
}

void set_field(Request& request, const json& value, std::string_view where, std::string_view field) {
  if (field == "prompt") {
    request.prompt = text(value, where, field);
  } else if (field == "input_ids") {
    request.input_ids = ids(value, where, field);
  } else if (field == "max_new_tokens") {
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
  } else if (field == "end_id") {
    request.end_ids =
        value.is_array() ? ids(value, where, field) : end_id(integer<int32_t>(value, where, field));
  } else if (field == "ignore_eos") {
    request.end_ids.reset();
    if (boolean(value, where, field)) request.end_ids.emplace();
  } else if (field == "return_log_probs") {
    request.return_log_probs = boolean(value, where, field);
  } else if (!is_neutral(value, where, field)) {
    unknown_field(where, field);
  }
}

}  // namespace

Request parse_request(std::string_view line, std::string_view where, const Request& defaults,
                      Warnings* idle) {
  const JsonLine parsed(line, where);
  const json& object = parsed.value();
  if (!object.is_object()) {
    throw Error(
        ErrorCode::kCorrupt,
        fmt::format("{}: expected an object like {{\"prompt\": \"...\"}}, not {}", where, shown(object)));
  }
  Request request = defaults;
  std::map<std::string_view, std::string_view> given;  // under which name
  for (const auto& item : object.items()) {
    const auto [before, first] = given.emplace(first_name(item.key()), item.key());
    if (!first) exclude_each_other(where, before->second, item.key());
    set_field(request, *parsed.find(item.key()), where, before->first);
    if (!idle || item.key() == "prompt" || item.key() == "input_ids") continue;
    idle->add([&] {
      return fmt::format("{}: '{}' does nothing here, where no prompt is continued", where, item.key());
    });
  }
  if (object.contains("prompt") == object.contains("input_ids")) {
    throw Error(ErrorCode::kCorrupt, fmt::format("{}: give either 'prompt' or 'input_ids'{}", where,
                                                 object.contains("prompt") ? ", not both" : ""));
  }
  if (given.contains("end_id") && given.contains("ignore_eos"))
    exclude_each_other(where, "end_id", "ignore_eos");
  return request;
}

}  // namespace bolide::apps
