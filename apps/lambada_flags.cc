#include "apps/lambada_flags.h"

#include <fmt/format.h>

#include <limits>

#include "bolide/error.h"

namespace bolide::apps {
namespace {

constexpr const char* kGroup = "FasterTransformer's bloom_lambada.py";

// A flag of FasterTransformer's script with nothing to set here. Its default changes nothing and is taken.
struct Settled {
  const char* name;
  std::optional<double> value;
  const char* why;
};
constexpr Settled kSettled[] = {
    {"--beam-width", 1, "beam search is not there yet"},
    {"--len-penalty", 0, "it is for beam search, which is not there yet"},
    {"--beam-search-diversity-rate", 0, "it is for beam search, which is not there yet"},
    {"--repetition-penalty", 1, "penalties are not there yet"},
    {"--return-cum-log-probs", 0, "'bolide generate --return-log-probs' gives log-probabilities"},
    {"--output-length", 32, "each text makes as many tokens as its last word has"},
    {"--no-remove-padding", std::nullopt, "batches are never padded"},
    {"--lib-path", std::nullopt, "there is no library to load"},
    {"--test-hf", std::nullopt,
     "it would run Hugging Face's implementation, which is not part of bolide; bolide itself reads that "
     "folder as --model"},
};

void add_settled(CLI::App& app, const Settled& flag) {
  const auto refuse = [flag](const std::string& given) {
    const std::string instead =
        flag.value ? fmt::format("leave it out, or at {}", *flag.value) : "leave it out";
    throw Error(ErrorCode::kUsage, fmt::format("{}{}: {}; {}", flag.name, given, flag.why, instead));
  };
  if (flag.value) {
    app.add_option_function<double>(
           flag.name,
           [flag, refuse](double value) {
             if (value != *flag.value) refuse(fmt::format(" {}", value));
           },
           fmt::format("only {}: {}", *flag.value, flag.why))
        ->type_name("X")
        ->check(fraction())
        ->group(kGroup);
    return;
  }
  app.add_option_function<std::string>(
         flag.name, [refuse](const std::string&) { refuse(""); }, fmt::format("refused: {}", flag.why))
      ->expected(0, 1)
      ->type_name("X")
      ->group(kGroup);
}

// "1: as --weight-scheme int8", of every scheme but the default one.
std::string int8_modes() {
  std::vector<std::string> lines;
  for (const WeightSchemeInfo& scheme : weight_schemes())
    if (scheme.int8_mode != 0)
      lines.push_back(fmt::format("{}: as --weight-scheme {}", scheme.int8_mode, scheme.name));
  return fmt::format("{}", fmt::join(lines, ", "));
}
int64_t int8_mode_of(std::string_view name) {
  for (const WeightSchemeInfo& scheme : weight_schemes())
    if (scheme.name == name) return scheme.int8_mode;
  return 0;
}

// FasterTransformer's models have one, or -1.
int64_t first_end_id(const ModelInfo& info) { return info.end_ids.empty() ? -1 : info.end_ids.front(); }

// A flag whose value the checkpoint has: its name, what was given, and where the model keeps it.
struct Stated {
  const char* name;
  std::optional<int64_t> LambadaFlags::*given;
  int64_t (*value)(const ModelInfo&);
};
constexpr Stated kStated[] = {
    {"--num-heads", &LambadaFlags::num_heads, [](const ModelInfo& info) { return info.heads; }},
    {"--size-per-head", &LambadaFlags::size_per_head, [](const ModelInfo& info) { return info.head_size; }},
    {"--inter-size", &LambadaFlags::inter_size, [](const ModelInfo& info) { return info.inter_size; }},
    {"--num-layers", &LambadaFlags::num_layers, [](const ModelInfo& info) { return info.layers; }},
    {"--vocab-size", &LambadaFlags::vocab_size, [](const ModelInfo& info) { return info.vocab_size; }},
    {"--start-id", &LambadaFlags::start_id, [](const ModelInfo& info) { return int64_t{info.bos_id}; }},
    {"--end-id", &LambadaFlags::end_id, first_end_id},
};

// "--num-heads" as the script's blocks name it.
std::string setting_name(std::string_view flag) {
  std::string name(flag.substr(2));
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
}

}  // namespace

void add_lambada_flags(CLI::App& app, LambadaFlags& flags) {
  app.add_option("--top-k", flags.top_k, "draw from the K likeliest ids (default 1: greedy; 0: off)")
      ->type_name("K")
      ->check(at_least(0))
      ->group(kGroup);
  app.add_option("--top-p", flags.top_p,
                 "draw from the likeliest ids that hold probability P (default 1; --top-k 1 stays greedy)")
      ->type_name("P")
      ->check(fraction(0, 1))
      ->group(kGroup);
  app.add_option("--temperature", flags.temperature, "divides the logits (default 1; --top-k 1 stays greedy)")
      ->type_name("T")
      ->check(fraction(0, std::numeric_limits<float>::max()))
      ->group(kGroup);
  app.add_option("--random-seed", flags.random_seed,
                 "seed of each text of a batch, in turn; one seed is for all (default 0)")
      ->type_name("S ...")
      ->expected(1, -1)
      ->check(whole_number())
      ->group(kGroup);
  app.add_option(
         "--shared-contexts-ratio", flags.shared_contexts_ratio,
         "run equal texts once where at most this share of the texts is distinct (default 1; 0: never)")
      ->type_name("X")
      ->check(fraction(0, 1))
      ->group(kGroup);
  for (const Stated& flag : kStated) {
    app.add_option(flag.name, flags.*flag.given, "only what the checkpoint says")
        ->type_name("N")
        ->check(at_least(std::numeric_limits<int32_t>::min()))
        ->group(kGroup);
  }
  app.add_option_function<int64_t>(
         "--int8_mode",
         [&flags](int64_t mode) {
           for (const WeightSchemeInfo& scheme : weight_schemes()) {
             if (scheme.int8_mode != mode) continue;
             flags.model.weight_scheme = scheme.name;
             return;
           }
           throw Error(ErrorCode::kUsage,
                       fmt::format("--int8_mode {}: activations are not quantized in this version ({})", mode,
                                   int8_modes()));
         },
         int8_modes() + " (default 0)")
      ->type_name("N")
      ->excludes("--weight-scheme")
      ->check(at_least(0))
      ->group(kGroup);
  app.add_option("--weights-data-type", flags.weights_data_type,
                 "only the type that the checkpoint has; --data-type converts")
      ->type_name("TYPE")
      ->group(kGroup);
  for (const Settled& flag : kSettled) add_settled(app, flag);
}

void check_against(const LambadaFlags& flags, const ModelInfo& info) {
  for (const Stated& flag : kStated) {
    const std::optional<int64_t>& given = flags.*flag.given;
    if (!given || *given == flag.value(info)) continue;
    throw Error(ErrorCode::kUsage, fmt::format("{} {}: the checkpoint says {}; leave it out", flag.name,
                                               *given, flag.value(info)));
  }
  const std::string& type = flags.weights_data_type;
  if (!type.empty() && type != info.checkpoint_data_type) {
    throw Error(ErrorCode::kUsage,
                fmt::format("--weights-data-type {}: the checkpoint holds {}; leave it out, and give "
                            "--data-type {} to run in that type",
                            type, info.checkpoint_data_type, type));
  }
}

SettingsBlock arguments_of(const LambadaFlags& flags) {
  SettingsBlock out("Arguments");
  const auto add_stated = [&](const Stated& flag) {
    const std::optional<int64_t>& given = flags.*flag.given;
    if (given)
      out.add(setting_name(flag.name), *given);
    else
      out.add(setting_name(flag.name), "None");
  };
  const auto add_text = [&](const char* name, const std::string& value) {
    out.add(name, value.empty() ? "None" : std::string_view(value));
  };
  for (const Stated& flag : kStated) add_stated(flag);
  out.add("tensor_para_size", flags.model.tensor_para_size);
  out.add("pipeline_para_size", flags.model.pipeline_para_size);
  out.add("shared_contexts_ratio", flags.shared_contexts_ratio);
  out.add("batch_size", flags.batch_size);
  out.add("int8_mode", int8_mode_of(flags.model.weight_scheme));
  for (const Settled& flag : kSettled)
    if (flag.value) out.add(setting_name(flag.name), *flag.value);
  out.add("top_k", flags.top_k);
  out.add("top_p", flags.top_p);
  out.add("temperature", flags.temperature);
  out.add("random_seed", std::string_view(fmt::format("{}", fmt::join(flags.random_seed, " "))));
  add_text("checkpoint_path", flags.model.model);
  add_text("dataset_path", flags.dataset_path);
  add_text("output_path", flags.output_path);
  add_text("tokenizer_path", flags.model.tokenizer_path);
  if (flags.acc_threshold)
    out.add("acc_threshold", *flags.acc_threshold);
  else
    out.add("acc_threshold", "None");
  out.add("show_progress", flags.show_progress);
  add_text("inference_data_type", flags.model.data_type);
  add_text("weights_data_type", flags.weights_data_type);
  out.add("device", std::string_view(flags.model.device));
  return out;
}

SettingsBlock model_of(const LambadaFlags& flags, const ModelInfo& info) {
  SettingsBlock out("Model");
  out.add("head_num", info.heads);
  out.add("size_per_head", info.head_size);
  out.add("inter_size", info.inter_size);
  out.add("layer_num", info.layers);
  out.add("vocab_size", info.vocab_size);
  out.add("start_id", info.bos_id);
  out.add("end_id", first_end_id(info));
  out.add("layernorm_eps", info.norm_eps);
  out.add("weights_data_type", std::string_view(info.checkpoint_data_type));
  out.add("inference_data_type", std::string_view(info.data_type));
  out.add("tensor_para_size", info.tensor_para_size);
  out.add("pipeline_para_size", info.pipeline_para_size);
  out.add("shared_contexts_ratio", flags.shared_contexts_ratio);
  out.add("int8_mode", int8_mode_of(info.weight_scheme));
  return out;
}

}  // namespace bolide::apps
