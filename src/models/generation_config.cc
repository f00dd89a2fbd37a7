#include "models/generation_config.h"

#include <algorithm>
#include <limits>

#include "base/file.h"
#include "base/printable.h"
#include "models/config.h"
#include "models/open_checkpoint.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "generation_config.json";
constexpr const char* kEndIds = "eos_token_id";

// A number, a list of numbers, or nothing.
std::vector<int32_t> end_ids_of(const Json& config, std::string_view where) {
  if (!json_is_given(config, kEndIds, where)) return {};
  const Json* found = json_find(config, kEndIds, where);
  if (!found->is_array()) return {json_get<int32_t>(config, kEndIds, where)};
  std::vector<int32_t> ids;
  for (const Json& id : *found) ids.push_back(json_get<int32_t>({{kEndIds, id}}, kEndIds, where));
  return ids;
}

void check_object(const Json& generation, const fs::path& path) {
  if (generation.is_object()) return;
  fail(ErrorCode::kCorrupt, "{}: not an object of settings, but of type {}", path.string(),
       generation.type_name());
}

// None where the file is not there or, with a warning, no JSON.
std::optional<JsonTree> find_generation(const fs::path& path, std::vector<std::string>& warnings) {
  std::optional<JsonTree> tree;
  try {
    tree.emplace(read_json_file(path));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCorrupt) {
      warnings.push_back(fmt::format("{}: it is left out", error.what()));
    } else if (error.code() != ErrorCode::kNotFound) {
      throw;
    }
    return std::nullopt;
  }
  check_object(**tree, path);
  return tree;
}

// Settings of transformers that this version does not have, each with the values that change nothing beside
// null. (Those of beams alone, of caches and of outputs say nothing about the text of one sequence.)
struct Absent {
  const char* key;
  std::vector<Json> neutral;
};
const std::vector<Absent>& absent_settings() {
  static const std::vector<Absent> settings = {{"repetition_penalty", {1}},
                                               {"encoder_repetition_penalty", {1}},
                                               {"no_repeat_ngram_size", {0}},
                                               {"encoder_no_repeat_ngram_size", {0}},
                                               {"min_length", {0}},
                                               {"min_new_tokens", {0}},
                                               {"min_p", {0}},
                                               {"typical_p", {1}},
                                               {"epsilon_cutoff", {0}},
                                               {"eta_cutoff", {0}},
                                               {"top_h", {}},
                                               {"num_beams", {1}},
                                               {"num_return_sequences", {1}},
                                               {"penalty_alpha", {0}},
                                               {"guidance_scale", {1}},
                                               {"bad_words_ids", {Json::array()}},
                                               {"sequence_bias", {Json::array(), Json::object()}},
                                               {"suppress_tokens", {Json::array()}},
                                               {"begin_suppress_tokens", {Json::array()}},
                                               {"forced_bos_token_id", {}},
                                               {"forced_eos_token_id", {}},
                                               {"exponential_decay_length_penalty", {}},
                                               {"max_time", {}},
                                               {"stop_strings", {Json::array()}}};
  return settings;
}

std::vector<std::string> left_out_of(const Json& config, std::string_view where) {
  std::vector<std::string> left_out;
  for (const Absent& setting : absent_settings()) {
    if (!json_is_given(config, setting.key, where)) continue;
    const Json& said = *json_find(config, setting.key, where);
    if (std::find(setting.neutral.begin(), setting.neutral.end(), said) == setting.neutral.end())
      left_out.push_back(fmt::format("{} {}", setting.key, printable(said.dump(), 40)));
  }
  return left_out;
}

template <class T>
std::optional<T> number(const Json& config, const char* key, double low, double high,
                        std::string_view where) {
  if (!json_is_given(config, key, where)) return std::nullopt;
  const T value = json_get<T>(config, key, where);
  if (!(static_cast<double>(value) >= low && static_cast<double>(value) <= high))
    fail(ErrorCode::kCorrupt, "{}: {} is {}, not from {} to {}", where, key, value, low, high);
  return value;
}

void read_settings(const Json& config, std::string_view where, GenerationConfig& into) {
  constexpr double kMaxFloat = std::numeric_limits<float>::max(),
                   kMaxInt = std::numeric_limits<int32_t>::max();
  const auto temperature = number<double>(config, "temperature", 0, kMaxFloat, where);
  const auto top_k = number<int32_t>(config, "top_k", 0, kMaxInt, where);
  const auto top_p = number<double>(config, "top_p", 0, 1, where);
  into.max_new_tokens = number<int32_t>(config, "max_new_tokens", 1, kMaxInt, where);
  into.left_out = left_out_of(config, where);
  if (!json_is_given(config, "do_sample", where) || !json_get<bool>(config, "do_sample", where)) return;
  into.temperature = static_cast<float>(temperature.value_or(1.0));
  into.top_k = top_k.value_or(50);
  if (top_p && *top_p < 1) into.top_p = static_cast<float>(*top_p);
}

}  // namespace

std::vector<int32_t> read_end_ids(const Json& config, const fs::path& config_path, int64_t vocab,
                                  std::vector<std::string>& warnings) {
  const fs::path path = config_path.parent_path() / kName;
  const std::vector<int32_t> ids = end_ids_of(config, config_path.string());
  const std::optional<JsonTree> generation = find_generation(path, warnings);
  if (!generation) return known_ids(ids, "end id", vocab, warnings);
  const std::vector<int32_t> winning = end_ids_of(**generation, path.string());
  if (winning.empty() && !ids.empty()) {
    warnings.push_back(
        fmt::format("{} names no end id, so that {} of config.json ends no text (as in transformers)",
                    path.string(), ids.front()));
  }
  return known_ids(winning, "end id", vocab, warnings);
}

GenerationConfig read_generation_config(const fs::path& model, const std::string& choice) {
  const fs::path folder = is_folder(model) ? model : model.parent_path();
  GenerationConfig made;
  std::vector<std::string> warnings;  // the model's own, of which loading it tells
  const fs::path path = choice == "auto"    ? folder / kName
                        : is_folder(choice) ? fs::path(choice) / kName
                                            : fs::path(choice);
  const std::optional<JsonTree> tree = [&]() -> std::optional<JsonTree> {
    if (choice == "none") return std::nullopt;
    if (choice == "auto") return find_generation(path, warnings);
    JsonTree named = read_json_file(path);
    check_object(*named, path);
    return named;
  }();
  if (tree) {
    made.file = path.string();
    read_settings(**tree, made.file, made);
  }
  if (choice == "auto") return made;
  const ModelSettings settings = read_model_settings(model);
  std::vector<int32_t> ids = settings.config.end_ids;
  if (path_exists(folder / "config.json")) {
    const JsonTree config = read_json_file(folder / "config.json");
    ids = end_ids_of(*config, (folder / "config.json").string());
  }
  if (tree && json_is_given(**tree, kEndIds, made.file)) ids = end_ids_of(**tree, made.file);
  made.end_ids = known_ids(ids, "end id", settings.config.vocab_size, warnings);
  return made;
}

}  // namespace bolide
