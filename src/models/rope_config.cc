#include "models/rope_config.h"

#include "models/config.h"

namespace bolide {
namespace {

constexpr NamedValue<RopeType> kTypes[] = {{"default", RopeType::kDefault}, {"linear", RopeType::kLinear},
                                           {"dynamic", RopeType::kDynamic}, {"yarn", RopeType::kYarn},
                                           {"llama3", RopeType::kLlama3},   {"longrope", RopeType::kLongRope},
                                           {"su", RopeType::kLongRope}};

void check_number(const char* key, double value, double low, double high, std::string_view where) {
  if (!(value >= low && value <= high))
    fail(ErrorCode::kCorrupt, "{}: {} of the rotary positions is {}, not from {} to {}", where, key, value,
         low, high);
}

// One factor a pair.
std::vector<double> read_factors(const Json& json, const char* key, int64_t pairs, std::string_view where) {
  const auto factors = json_get<std::vector<double>>(json, key, where);
  if (std::ssize(factors) != pairs)
    fail(ErrorCode::kCorrupt, "{}: {} of the rotary positions has {} numbers, not {}", where, key,
         factors.size(), pairs);
  for (const double factor : factors) check_number(key, factor, 1e-3, 1e6, where);
  return factors;
}

void read_longrope(const Json& json, const ModelConfig& sizes, std::string_view where, RopeParameters& rope) {
  const int64_t pairs = rotary_dims(rope, sizes) / 2;
  rope.short_factor = read_factors(json, "short_factor", pairs, where);
  rope.long_factor = read_factors(json, "long_factor", pairs, where);
  rope.attention_factor = json_get_or<double>(json, "attention_factor", 0, where);
  check_number("attention_factor", rope.attention_factor, 0, 1e3, where);
}

}  // namespace

void check_plain_or_long(const RopeParameters& rope, std::string_view where) {
  if (rope.rope_type == RopeType::kDefault || rope.rope_type == RopeType::kLongRope) return;
  fail(ErrorCode::kUnsupported, "{}: this family has no other rope_type than default and longrope (or su)",
       where);
}

int64_t rotary_dims(const RopeParameters& rope, const ModelConfig& sizes) {
  return static_cast<int64_t>(static_cast<double>(sizes.head_size) * rope.partial_rotary_factor);
}

const Json* find_object(const Json& config, const char* key, std::string_view where) {
  if (!json_is_given(config, key, where)) return nullptr;
  const Json* found = json_find(config, key, where);
  if (!found->is_object())
    fail(ErrorCode::kCorrupt, "{}: key '{}' is not an object of settings, but of type {}", where, key,
         found->type_name());
  return found->empty() ? nullptr : found;
}

RopeParameters read_rope_parameters(const Json& config, const RopeDefaults& defaults,
                                    const ModelConfig& sizes, std::string_view where) {
  const Json* table = find_object(config, "rope_scaling", where);  // the older name wins, as in transformers
  if (!table) table = find_object(config, "rope_parameters", where);
  return read_rope_table(table, config, defaults, sizes, where);
}

RopeParameters read_rope_table(const Json* table, const Json& config, const RopeDefaults& defaults,
                               const ModelConfig& sizes, std::string_view where) {
  const auto positions = json_get_or<int64_t>(config, "max_position_embeddings", defaults.positions, where);
  static const Json kNone = Json::object();
  const Json& json = table ? *table : kNone;
  RopeParameters rope;
  const auto old_type = json_get_or<std::string>(json, "type", "default", where);
  rope.rope_type =
      value_of(kTypes, "rope_type", json_get_or<std::string>(json, "rope_type", old_type, where), where);
  const auto number = [&](const char* key, double fallback) {
    return json_get_or<double>(json, key, fallback, where);
  };
  const auto beside = [&](const char* key, const char* inside, double fallback) {
    return number(inside, json_get_or<double>(config, key, fallback, where));
  };
  rope.rope_theta = beside(defaults.theta_key, "rope_theta", defaults.theta);
  check_number("rope_theta", rope.rope_theta, 1 + 1e-6, 1e12, where);
  const double partial =
      beside(defaults.partial_key, "partial_rotary_factor", defaults.partial > 0 ? defaults.partial : 1);
  if (defaults.partial > 0) {
    check_number(defaults.partial_key, partial, 1e-6, 1, where);
    rope.partial_rotary_factor = partial;
  } else if (partial != 1 && rope.rope_type != RopeType::kDefault) {
    fail(ErrorCode::kUnsupported, "{}: partial_rotary_factor other than 1 is not one that this version has",
         where);
  }
  if (const int64_t dims = rotary_dims(rope, sizes); dims % 2 != 0 || dims == 0) {
    fail(ErrorCode::kCorrupt, "{}: {} of a head's {} elements turn, and rotary positions turn pairs", where,
         dims, sizes.head_size);
  }
  if (rope.rope_type == RopeType::kDefault) return rope;
  const bool stretched = rope.rope_type == RopeType::kYarn || rope.rope_type == RopeType::kLlama3 ||
                         rope.rope_type == RopeType::kLongRope;
  rope.original_max_position_embeddings = positions;
  if (stretched) {
    rope.original_max_position_embeddings =
        json_get_or<int64_t>(json, "original_max_position_embeddings", positions, where);
    const int64_t otherwise =
        defaults.original_positions > 0 ? defaults.original_positions : rope.original_max_position_embeddings;
    rope.original_max_position_embeddings =
        json_get_or<int64_t>(config, "original_max_position_embeddings", otherwise, where);
  }
  check_number("original_max_position_embeddings", static_cast<double>(rope.original_max_position_embeddings),
               1, 1 << 30, where);
  // Of yarn and longrope it may follow from the two lengths.
  const bool has_factor = json_is_given(json, "factor", where);
  const double grown =
      static_cast<double>(positions) / static_cast<double>(rope.original_max_position_embeddings);
  if (!has_factor && rope.rope_type != RopeType::kYarn && rope.rope_type != RopeType::kLongRope)
    fail(ErrorCode::kCorrupt, "{}: key 'factor' of the rotary positions is missing", where);
  rope.factor = has_factor ? json_get<double>(json, "factor", where) : grown;
  check_number("factor", rope.factor, 1e-3, 1e6, where);
  if (rope.rope_type == RopeType::kLongRope) read_longrope(json, sizes, where, rope);
  if (rope.rope_type == RopeType::kDynamic && rotary_dims(rope, sizes) <= 2)
    fail(ErrorCode::kCorrupt, "{}: rope_type 'dynamic' needs a head size above 2", where);
  if (rope.rope_type == RopeType::kLlama3) {
    rope.low_freq_factor = json_get<double>(json, "low_freq_factor", where);
    rope.high_freq_factor = json_get<double>(json, "high_freq_factor", where);
    check_number("low_freq_factor", rope.low_freq_factor, 1e-3, 1e6, where);
    // Apart in fp32, too, in which they are computed with.
    check_number("high_freq_factor", rope.high_freq_factor, rope.low_freq_factor * (1 + 1e-6), 1e6, where);
  }
  if (rope.rope_type == RopeType::kYarn) {
    // 0 counts as not given, as in transformers.
    const double fast = number("beta_fast", 0), slow = number("beta_slow", 0);
    if (fast != 0) rope.beta_fast = fast;
    if (slow != 0) rope.beta_slow = slow;
    check_number("beta_fast", rope.beta_fast, 1e-3, 1e6, where);
    check_number("beta_slow", rope.beta_slow, 1e-3, 1e6, where);
    rope.attention_factor = number("attention_factor", 0);
    check_number("attention_factor", rope.attention_factor, 0, 1e3, where);
    rope.mscale = number("mscale", 0);
    rope.mscale_all_dim = number("mscale_all_dim", 0);
    check_number("mscale", rope.mscale, 0, 1e3, where);
    check_number("mscale_all_dim", rope.mscale_all_dim, 0, 1e3, where);
    rope.truncate = json_get_or<bool>(json, "truncate", true, where);
  }
  return rope;
}

}  // namespace bolide
