#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/command.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/terminal.h"
#include "bolide/checkpoint.h"
#include "bolide/generation_config.h"

namespace bolide::apps {
namespace {

using nlohmann::ordered_json;

struct Flags {
  std::string model, data_type, weight_scheme = default_weight_scheme();
  int64_t batch_size = 8, length = 1024;
  int tensor_para_size = 1, pipeline_para_size = 1;
  bool json = false;
};

// All ranks together.
CheckpointSummary::RankMemory sum_of(const CheckpointSummary& summary, const Flags& flags) {
  CheckpointSummary::RankMemory all;
  for (const auto& stage : summary.stages) {
    all.weight_bytes += flags.tensor_para_size * stage.weight_bytes;
    all.kv_bytes += flags.tensor_para_size * stage.kv_bytes;
    all.activation_bytes += flags.tensor_para_size * stage.activation_bytes;
    all.gpu_step_bytes += flags.tensor_para_size * stage.gpu_step_bytes;
  }
  return all;
}

// As config.json would say it: an id, a list, or null.
ordered_json end_ids(const CheckpointSummary& summary) {
  if (summary.end_ids.empty()) return nullptr;
  return summary.end_ids.size() == 1 ? ordered_json(summary.end_ids.front()) : ordered_json(summary.end_ids);
}

// What the makers recommend, and `generate` follows; empty where they recommend nothing.
ordered_json recommended(const GenerationConfig& made) {
  ordered_json object = ordered_json::object();
  if (made.file.empty()) return object;
  object["file"] = made.file;
  const auto add = [&](const char* key, const auto& value) {
    if (value) object[key] = *value;
  };
  add("temperature", made.temperature);
  add("top_k", made.top_k);
  add("top_p", made.top_p);
  add("max_new_tokens", made.max_new_tokens);
  object["left_out"] = made.left_out;
  return object;
}

// The same as a row of a table.
std::string recommended_row(const GenerationConfig& made) {
  const ordered_json object = recommended(made);
  std::vector<std::string> parts;
  for (const auto& [key, value] : object.items())
    if (key != "file" && key != "left_out") parts.push_back(fmt::format("{} {}", key, value.dump()));
  if (parts.empty()) parts.push_back("greedy");
  for (const std::string& setting : made.left_out) parts.push_back(fmt::format("({} is left out)", setting));
  return fmt::format("{}, as {} says", fmt::join(parts, ", "),
                     std::filesystem::path(made.file).filename().string());
}

std::string as_json(const CheckpointSummary& summary, const GenerationConfig& made, const Flags& flags) {
  ordered_json object = {{"model", flags.model},
                         {"format", summary.format},
                         {"architecture", summary.architecture},
                         {"vocab_size", summary.vocab_size},
                         {"hidden_size", summary.hidden_size},
                         {"layers", summary.layers},
                         {"heads", summary.heads},
                         {"kv_heads", summary.kv_heads},
                         {"head_size", summary.head_size},
                         {"inter_size", summary.inter_size},
                         {"parameters", summary.parameters},
                         {"max_positions", summary.max_positions},
                         {"bos_id", summary.bos_id},
                         {"eos_id", end_ids(summary)},
                         {"generation_config", recommended(made)},
                         {"file_bytes", summary.file_bytes}};
  const CheckpointSummary::RankMemory all = sum_of(summary, flags);
  object["memory"] = {{"batch_size", flags.batch_size},
                      {"length", flags.length},
                      {"data_type", flags.data_type.empty() ? "checkpoint" : flags.data_type},
                      {"weight_scheme", flags.weight_scheme},
                      {"weight_bytes", all.weight_bytes},
                      {"kv_bytes", all.kv_bytes},
                      {"activation_bytes", all.activation_bytes},
                      {"gpu_step_bytes", all.gpu_step_bytes},
                      {"total_bytes", all.total()}};
  object["memory"]["ranks"] = ordered_json::array();
  for (const auto& stage : summary.stages) {
    object["memory"]["ranks"].push_back({{"count", flags.tensor_para_size},
                                         {"first_layer", stage.first_layer},
                                         {"layers", stage.layers},
                                         {"weight_bytes", stage.weight_bytes},
                                         {"kv_bytes", stage.kv_bytes},
                                         {"activation_bytes", stage.activation_bytes},
                                         {"gpu_step_bytes", stage.gpu_step_bytes},
                                         {"total_bytes", stage.total()}});
  }
  object["warnings"] = summary.warnings;
  object["tensors"] = ordered_json::array();
  for (const TensorSummary& tensor : summary.tensors) {
    object["tensors"].push_back({{"name", tensor.name},
                                 {"data_type", tensor.data_type},
                                 {"shape", tensor.shape},
                                 {"bytes", tensor.bytes},
                                 {"file", tensor.file}});
  }
  return object.dump(2, ' ', true, ordered_json::error_handler_t::replace) + "\n";
}

std::string as_tables(const CheckpointSummary& summary, const GenerationConfig& made, const Flags& flags,
                      int fd) {
  Table tensors({"tensor", "type", "shape", "bytes", "file"}, true);
  for (const TensorSummary& tensor : summary.tensors) {
    tensors.add({tensor.name, tensor.data_type, fmt::format("{}", fmt::join(tensor.shape, " x ")),
                 grouped(tensor.bytes), std::filesystem::path(tensor.file).filename().string()});
  }
  Table config({"model", flags.model}, true);
  config.add({"format", summary.format});
  config.add({"architecture", summary.architecture});
  config.add({"layers", grouped(summary.layers)});
  config.add({"hidden size", grouped(summary.hidden_size)});
  config.add({"heads", fmt::format("{} of {}{}", summary.heads, summary.head_size,
                                   summary.kv_heads == summary.heads
                                       ? std::string()
                                       : fmt::format(", {} of keys and values", summary.kv_heads))});
  config.add({"inner size", grouped(summary.inter_size)});
  if (summary.max_positions > 0) config.add({"positions", grouped(summary.max_positions)});
  config.add(
      {"vocabulary",
       fmt::format("{} (begin {}, end {})", grouped(summary.vocab_size),
                   summary.bos_id < 0 ? "none" : std::to_string(summary.bos_id),
                   summary.end_ids.empty() ? "none" : fmt::format("{}", fmt::join(summary.end_ids, ", ")))});
  if (!made.file.empty()) config.add({"generation", recommended_row(made)});
  config.add({"parameters", grouped(summary.parameters)});
  config.add({"files", fmt::format("{} tensors, {}", summary.tensors.size(),
                                   human_bytes(static_cast<double>(summary.file_bytes)))});
  const auto bytes = [](int64_t count) { return human_bytes(static_cast<double>(count)); };
  Table memory(
      {"memory",
       fmt::format("batch {} of {} tokens{}", flags.batch_size, grouped(flags.length),
                   (flags.data_type.empty() ? "" : ", " + flags.data_type) +
                       (flags.weight_scheme == default_weight_scheme() ? "" : ", " + flags.weight_scheme))},
      true);
  const CheckpointSummary::RankMemory all = sum_of(summary, flags);
  memory.add({"weights", bytes(all.weight_bytes)});
  memory.add({"keys and values", bytes(all.kv_bytes)});
  memory.add({"activations", bytes(all.activation_bytes)});
  memory.add({"together", bytes(all.total())});
  memory.add({"on a GPU: steps", bytes(all.gpu_step_bytes)});
  memory.add({"on a GPU: together", bytes(all.gpu_total())});
  std::string text = tensors.text(fd) + "\n" + config.text(fd) + "\n" + memory.text(fd);
  if (!summary.warnings.empty()) {
    Table warnings({"warning"}, true);
    for (const std::string& warning : summary.warnings) warnings.add({warning});
    text += "\n" + warnings.text(fd);
  }
  if (flags.tensor_para_size * flags.pipeline_para_size == 1) return text;
  Table ranks(
      {"each rank of stage", "layers", "weights", "keys and values", "activations", "together", "on a GPU"});
  for (size_t s = 0; s < summary.stages.size(); ++s) {
    const auto& stage = summary.stages[s];
    ranks.add({fmt::format("{}, {} rank(s)", s, flags.tensor_para_size),
               fmt::format("{} to {}", stage.first_layer, stage.first_layer + stage.layers - 1),
               bytes(stage.weight_bytes), bytes(stage.kv_bytes), bytes(stage.activation_bytes),
               bytes(stage.total()), bytes(stage.gpu_total())});
  }
  return text + "\n" + ranks.text(fd);
}

}  // namespace

Action add_inspect(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  add_model_folder(app, flags->model);
  add_data_type(app, flags->data_type, "to predict the memory at (default: as in the checkpoint)");
  add_weight_scheme(app, flags->weight_scheme);
  app.add_option("--batch-size", flags->batch_size, "to predict the memory at (default 8)")
      ->type_name("B")
      ->check(at_least(1, std::numeric_limits<int64_t>::max()));
  app.add_option("--length", flags->length, "prompt and output tokens of a sequence (default 1024)")
      ->type_name("N")
      ->check(at_least(1, std::numeric_limits<int64_t>::max()));
  add_tensor_ranks(app, flags->tensor_para_size, "-tp N: to predict the memory of each rank (default 1)");
  add_pipeline_stages(app, flags->pipeline_para_size,
                      "-pp M: to predict the memory of each rank (default 1)");
  app.add_flag("--json", flags->json, "one JSON object instead of tables");
  add_log_level(app);
  return [flags] {
    Output out("-", Output::Mode::kDirect, {flags->model});
    const CheckpointSummary summary = bolide::inspect({.model = flags->model,
                                                       .data_type = flags->data_type,
                                                       .weight_scheme = flags->weight_scheme,
                                                       .batch_size = flags->batch_size,
                                                       .length = flags->length,
                                                       .tensor_para_size = flags->tensor_para_size,
                                                       .pipeline_para_size = flags->pipeline_para_size});
    const GenerationConfig made = read_generation_config(flags->model);
    out.write(flags->json ? as_json(summary, made, *flags) : as_tables(summary, made, *flags, out.fd()));
    out.commit();
    return 0;
  };
}

}  // namespace bolide::apps
