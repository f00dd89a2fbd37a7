#include "models/config.h"

#include <algorithm>
#include <set>

#include "base/printable.h"
#include "ops/limits.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxHeads = 4096, kMaxHidden = int64_t{1} << 17;

void check_between(const char* what, int64_t value, int64_t high, std::string_view where) {
  if (value < 1 || value > high)
    fail(ErrorCode::kCorrupt, "{}: {} is {}, not from 1 to {}", where, what, value, high);
}

constexpr NamedValue<Activation> kActivations[] = {{"gelu", Activation::kGeluErf},
                                                   {"gelu_fast", Activation::kGeluTanh},
                                                   {"gelu_new", Activation::kGeluTanh},
                                                   {"gelu_python", Activation::kGeluErf},
                                                   {"gelu_pytorch_tanh", Activation::kGeluTanh},
                                                   {"relu", Activation::kRelu},
                                                   {"silu", Activation::kSilu},
                                                   {"swish", Activation::kSilu}};

// The name of the scheme, as well as the config tells.
std::string scheme_of(const Json& quantization) {
  if (!quantization.is_object()) return "unnamed";
  for (const char* key : {"quant_method", "format"}) {
    const auto found = quantization.find(key);
    if (found != quantization.end() && found->is_string()) return printable(found->get<std::string>());
  }
  // Written before configs named their method.
  for (const char* key : {"load_in_8bit", "load_in_4bit"})
    if (quantization.contains(key)) return "bitsandbytes";
  return "unnamed";
}

}  // namespace

bool json_is_given(const Json& config, const char* key, std::string_view where) {
  const Json* found = json_find(config, key, where);
  return found && !found->is_null();
}

int64_t json_twin(const Json& config, const TwinKeys& keys, std::string_view where,
                  std::vector<std::string>& warnings) {
  if (!json_is_given(config, keys.wins, where) && !json_is_given(config, keys.usual, where))
    fail(ErrorCode::kCorrupt, "{}: key '{}' (or '{}') is missing", where, keys.usual, keys.wins);
  return json_twin_or(config, keys, 0, where, warnings);
}

int64_t json_twin_or(const Json& config, const TwinKeys& keys, int64_t fallback, std::string_view where,
                     std::vector<std::string>& warnings) {
  const auto given = [&](const char* key) { return json_is_given(config, key, where); };
  if (!given(keys.wins) && !given(keys.usual)) return fallback;
  if (!given(keys.wins)) return json_get<int64_t>(config, keys.usual, where);
  const int64_t value = json_get<int64_t>(config, keys.wins, where);
  if (given(keys.usual)) {
    const int64_t other = json_get<int64_t>(config, keys.usual, where);
    if (other != value) {
      warnings.push_back(
          fmt::format("{}: {} is {} and {}, its other name, is {}: {} is taken, as in transformers", where,
                      keys.wins, value, keys.usual, other, value));
    }
  }
  return value;
}

void json_must_be_off(const Json& config, const char* key, std::string_view where) {
  if (json_get_or<bool>(config, key, false, where))
    fail(ErrorCode::kUnsupported, "{}: {} is true, and this version has no such graph", where, key);
}

Activation parse_activation(const std::string& name, std::string_view where) {
  return value_of(kActivations, "activation", name, where);
}

int64_t read_sliding_window(const Json& config, int64_t fallback, std::string_view where) {
  const Json* found = json_find(config, "sliding_window", where);
  if (!found) return fallback;
  if (found->is_null()) return 0;
  const auto window = json_get<int64_t>(config, "sliding_window", where);
  if (window < 1) fail(ErrorCode::kCorrupt, "{}: sliding_window is {}, not at least 1", where, window);
  return window < kMaxSequenceTokens ? window : 0;  // no text reaches it
}

float read_optional_number(const Json& config, const char* key, double fallback, std::string_view where) {
  const Json* found = json_find(config, key, where);
  if (!found) return static_cast<float>(fallback);
  if (found->is_null()) return 0;
  const auto number = json_get<double>(config, key, where);
  if (!(number > 1e-6 && number < 1e6))
    fail(ErrorCode::kCorrupt, "{}: {} is {}, not above 0", where, key, number);
  return static_cast<float>(number);
}

int32_t read_bos_id(const Json& config, int32_t fallback, std::string_view where, ModelConfig& into) {
  constexpr const char* kKey = "bos_token_id";
  const Json* said = json_find(config, kKey, where);
  const int32_t id = json_get_or<int32_t>(config, kKey, fallback, where);
  if (said ? said->is_null() : fallback < 0) return -1;
  return known_ids({id}, "begin id", into.vocab_size, into.warnings).empty() ? -1 : id;
}

void check_sizes(const ModelConfig& config, std::string_view where) {
  check_between("the vocabulary size", config.vocab_size, int64_t{1} << 24, where);
  check_between("the number of layers", config.layers, 1024, where);
  check_between("the number of heads", config.heads, kMaxHeads, where);
  check_between("the number of key and value heads", config.kv_heads, config.heads, where);
  if (config.heads % config.kv_heads != 0) {
    fail(ErrorCode::kCorrupt, "{}: its {} heads are not a multiple of its {} key and value heads", where,
         config.heads, config.kv_heads);
  }
  check_between("the head size", config.head_size, kMaxHidden, where);
  check_between("the hidden size", config.hidden_size, kMaxHidden, where);
  check_between("the inner size", config.inter_size, int64_t{1} << 20, where);
  // 0, in fp32, divides by zero where all elements are alike, and 1 is beyond any use.
  if (!(static_cast<float>(config.norm_eps) > 0 && config.norm_eps <= 1)) {
    fail(ErrorCode::kCorrupt, "{}: the epsilon of the layer norms is {}, not above 0 and at most 1", where,
         config.norm_eps);
  }
}

void settle_head_size(ModelConfig& config, std::string_view where) {
  check_between("the number of heads", config.heads, kMaxHeads, where);
  check_between("the hidden size", config.hidden_size, kMaxHidden, where);
  if (config.hidden_size % config.heads != 0) {
    fail(ErrorCode::kCorrupt, "{}: hidden size {} is not a multiple of its {} heads", where,
         config.hidden_size, config.heads);
  }
  config.head_size = config.hidden_size / config.heads;
}

void check_embedding_size(int64_t size, std::string_view where) {
  check_between("the size of the embedding", size, kMaxHidden, where);
}

void check_positions(const ModelConfig& config, std::string_view where) {
  check_between("the number of positions", config.max_positions, int64_t{1} << 24, where);
}

void refuse_quantized(const Json& config, std::string_view where) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    const Json* found = json_find(config, key, where);
    if (!found || found->is_null()) continue;
    fail(ErrorCode::kUnsupported,
         "{}: the weights are quantised ({}: {}), which this version does not read: use the model's fp32, "
         "fp16 or "
         "bf16 files",
         where, key, scheme_of(*found));
  }
}

std::vector<int32_t> known_ids(const std::vector<int32_t>& ids, const char* what, int64_t vocab,
                               std::vector<std::string>& warnings) {
  std::vector<int32_t> known, unknown;
  std::set<int32_t> seen;
  for (const int32_t id : ids)
    if (seen.insert(id).second) (id >= 0 && id < vocab ? known : unknown).push_back(id);
  if (!unknown.empty()) {
    warnings.push_back(fmt::format(
        "{} {} is outside the vocabulary of {} ids, so it never comes{}", what, unknown.front(), vocab,
        unknown.size() == 1 ? "" : fmt::format(" (nor do {} others)", unknown.size() - 1)));
  }
  return known;
}

int64_t ini_int(const Ini& ini, const std::string& section, const std::string& key, int64_t low, int64_t high,
                std::string_view where) {
  const auto value = ini_get<int64_t>(ini, section, key, where);
  if (value < low || value > high)
    fail(ErrorCode::kCorrupt, "{}: [{}] {}={} is not from {} to {}", where, section, key, value, low, high);
  return value;
}

const std::string* ini_find(const Ini& ini, const std::string& section, const std::string& key) {
  const auto found = ini.find(section);
  if (found == ini.end()) return nullptr;
  const auto value = found->second.find(key);
  return value == found->second.end() ? nullptr : &value->second;
}

namespace {

// In small letters, and a truth in one of the ways in which FT's converters and its ini reader know it.
std::string plain_word(std::string_view word) {
  std::string small(word);
  for (char& c : small) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (small == "1" || small == "yes" || small == "on") return "true";
  if (small == "0" || small == "no" || small == "off") return "false";
  return small;
}

}  // namespace

bool ini_says(const Ini& ini, const std::string& section, const std::string& key, std::string_view value) {
  const std::string* said = ini_find(ini, section, key);
  return said && plain_word(*said) == plain_word(value);
}

void ini_must_say(const Ini& ini, const std::string& section, const std::string& key, std::string_view value,
                  std::string_view where) {
  const auto said = ini_get<std::string>(ini, section, key, where);
  if (!ini_says(ini, section, key, value)) {
    fail(ErrorCode::kCorrupt, "{}: [{}] {}={}: this version reads {} alone", where, section, key,
         printable(said), value);
  }
}

}  // namespace bolide
