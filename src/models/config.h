#pragma once

// What the config files of all families have in common.
#include <filesystem>

#include "base/json.h"
#include "base/printable.h"
#include "checkpoint/ft_bin.h"
#include "models/model.h"

namespace bolide {

// Two names of one setting. Where a config.json gives both, `wins` decides, as transformers has it (by its
// attribute_map, whatever their order in the file); `usual` is the name that errors give.
struct TwinKeys {
  const char* wins;
  const char* usual;
};
// The whole number under either name; null counts as not given. Both given and unlike: a warning. kCorrupt
// when neither is there.
int64_t json_twin(const Json& config, const TwinKeys& keys, std::string_view where,
                  std::vector<std::string>& warnings);
// The same, and `fallback` when neither is there.
int64_t json_twin_or(const Json& config, const TwinKeys& keys, int64_t fallback, std::string_view where,
                     std::vector<std::string>& warnings);
// Whether the key is there, and not null.
bool json_is_given(const Json& config, const char* key, std::string_view where);

// A row of a table of words that configs use.
template <class T>
struct NamedValue {
  std::string_view name;
  T value;
};
// The value that `table` has for `name`; kUnsupported, naming `what` and listing the table, when it has none.
template <class T, size_t kRows>
T value_of(const NamedValue<T> (&table)[kRows], const char* what, const std::string& name,
           std::string_view where) {
  std::string known;
  for (const NamedValue<T>& row : table) {
    if (row.name == name) return row.value;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
  }
  fail(ErrorCode::kUnsupported, "{}: {} '{}' is not one that this version has (it has {})", where, what,
       printable(name), known);
}
// kUnsupported when the setting is on: a graph that this version does not have.
void json_must_be_off(const Json& config, const char* key, std::string_view where);
// The activation that transformers calls so; kUnsupported, with those that there are, for any other.
Activation parse_activation(const std::string& name, std::string_view where);
// sliding_window, as in transformers: `fallback` where nothing is said, 0 (no window) for null; kCorrupt for
// less than one key.
int64_t read_sliding_window(const Json& config, int64_t fallback, std::string_view where);
// A number that null switches off: 0; `fallback` where nothing is said. kCorrupt unless it is above 0.
float read_optional_number(const Json& config, const char* key, double fallback, std::string_view where);
// bos_token_id, as in transformers: `fallback` (below 0: none) where nothing is said, none for null; none,
// with a warning, for an id that the vocabulary has not.
int32_t read_bos_id(const Json& config, int32_t fallback, std::string_view where, ModelConfig& into);

// Bounds that no real model reaches keep a damaged config from asking for absurd allocations: kCorrupt beyond
// them. After it there may be arithmetic on the sizes.
void check_sizes(const ModelConfig& config, std::string_view where);
// The same for hidden_size and heads, from which head_size then follows: their quotient.
void settle_head_size(ModelConfig& config, std::string_view where);
// And for the columns of an embedding that is projected.
void check_embedding_size(int64_t size, std::string_view where);
// And for max_positions, where the model has a table of them.
void check_positions(const ModelConfig& config, std::string_view where);

// Throws kUnsupported, naming the scheme, for a config.json of quantised weights: read as plain ones they
// would be noise.
void refuse_quantized(const Json& config, std::string_view where);

// Those that the vocabulary has, once each; a warning for the others, which no model draws.
std::vector<int32_t> known_ids(const std::vector<int32_t>& ids, const char* what, int64_t vocab,
                               std::vector<std::string>& warnings);

// ini_get() of a whole number in a range.
int64_t ini_int(const Ini& ini, const std::string& section, const std::string& key, int64_t low, int64_t high,
                std::string_view where);
// Null when the key, or its section, is not there.
const std::string* ini_find(const Ini& ini, const std::string& section, const std::string& key);
// Whether the key is there and says `value`, in any case of letters; True is also 1, yes and on.
bool ini_says(const Ini& ini, const std::string& section, const std::string& key, std::string_view value);
// kCorrupt when it does not.
void ini_must_say(const Ini& ini, const std::string& section, const std::string& key, std::string_view value,
                  std::string_view where);

}  // namespace bolide
