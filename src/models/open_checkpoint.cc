#include "models/open_checkpoint.h"

#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "models/config.h"
#include "models/decoder.h"
#include "models/generation_config.h"
#include "models/registry.h"
#include "models/tied_head.h"
#include "weights/ft_tensors.h"
#include "weights/loader.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;

// All names that the files may have for a head.
std::vector<std::string> head_names(const NameTable& names) {
  return sources_of({.name = std::string(kHeadName), .shape = {1, 1}, .into = {}}, names).front().names;
}

Checkpoint open_ft(const fs::path& folder) {
  const Ini ini = read_ini(folder / "config.ini");
  const std::string where = (folder / "config.ini").string();
  Checkpoint checkpoint{.format = CheckpointFormat::kFasterTransformer,
                        .family = &find_family(ini, where),
                        .config = {},
                        .source = {}};
  ModelConfig& config = checkpoint.config;
  config = checkpoint.family->ft->read_config(ini, where);
  checkpoint.ft_ranks = static_cast<int>(ini_int(ini, "gpt", "tensor_para_size", 1, 4096, where));
  const std::string name = absolute_path(folder).filename().string();
  const std::string expected = std::to_string(checkpoint.ft_ranks) + "-gpu";
  if (name.ends_with("-gpu") && name != expected) {
    fail(ErrorCode::kCorrupt,
         "{} says tensor_para_size={}, but its folder is called {}: rename the folder to {} or restore its "
         "config.ini",
         where, checkpoint.ft_ranks, name, expected);
  }
  config.tied_head = !path_exists(folder / (head_names(checkpoint.names()).front() + ".bin"));
  const auto model = checkpoint.family->build(config, {});
  checkpoint.source = open_ft_folder(folder, ft_tensors(model->weights(), checkpoint.names()),
                                     checkpoint.ft_ranks, config.checkpoint_dtype);
  settle_head(checkpoint);
  return checkpoint;
}

// What the config files of a Hugging Face model say; `folder` is that of config.json.
ModelConfig read_hf_config(const Family& family, const Json& json, const fs::path& config_path) {
  refuse_quantized(json, config_path.string());
  ModelConfig config = family.read_hf_config(json, config_path.string());
  config.end_ids = read_end_ids(json, config_path, config.vocab_size, config.warnings);
  return config;
}

Checkpoint open_hf(const fs::path& folder) {
  const fs::path config_path = folder / "config.json";
  const JsonTree tree = read_json_file(config_path);
  const Json& json = *tree;
  Checkpoint checkpoint{.format = CheckpointFormat::kHuggingFace,
                        .family = &find_family(json, config_path.string()),
                        .config = {},
                        .source = {}};
  checkpoint.config = read_hf_config(*checkpoint.family, json, config_path);
  checkpoint.source = open_hf_folder(folder);
  settle_head(checkpoint);
  return checkpoint;
}

// A path that cannot be a model, with what to do about it.
[[noreturn]] void fail_no_folder(const fs::path& path) {
  const std::string name = path.string(), shown = printable(name);
  if (path_exists(path)) {
    fail(ErrorCode::kNotFound,
         "model folder not found: {} is a file: name the folder that holds its config.json", shown);
  }
  // owner/name, and neither is there as a folder.
  const auto is_word = [](std::string_view text) {
    return !text.empty() && text.front() != '.' && text.front() != '~' &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
               text.npos;
  };
  const size_t slash = name.find('/');
  if (slash != name.npos && is_word(std::string_view(name).substr(0, slash)) &&
      is_word(std::string_view(name).substr(slash + 1)) && !path_exists(name.substr(0, slash))) {
    fail(
        ErrorCode::kNotFound,
        "model folder not found: {}. That looks like a name on the Hugging Face hub: download it first, with "
        "`huggingface-cli download {} --local-dir {}` (newer versions: `hf download`), and name that folder",
        name, name, name.substr(slash + 1));
  }
  fail(ErrorCode::kNotFound, "model folder not found: {}", shown);
}

bool holds_model(const fs::path& folder) {
  return is_ft_folder(folder) || path_exists(folder / "config.json");
}

// A folder of models may have been meant: the parent of N-gpu folders, or one of the Hugging Face hub's
// cache, which has them in snapshots/.
[[noreturn]] void fail_no_model(const fs::path& folder) {
  for (const fs::path& parent : {folder, folder / "snapshots"}) {
    if (!is_folder(parent)) continue;
    for (const fs::path& path : list_folder(parent)) {
      if (holds_model(path)) {
        fail(ErrorCode::kNotFound, "{} is no model but holds some: name one of them, for example {}",
             printable(folder.string()), printable(path.string()));
      }
    }
  }
  fail(ErrorCode::kNotFound, "{} has neither config.json (Hugging Face) nor config.ini (FasterTransformer)",
       printable(folder.string()));
}

}  // namespace

Checkpoint open_checkpoint(const fs::path& folder) {
  if (!is_folder(folder)) fail_no_folder(folder);
  if (!holds_model(folder)) fail_no_model(folder);
  Checkpoint checkpoint = is_ft_folder(folder) ? open_ft(folder) : open_hf(folder);
  // A tied head may be stored a second time.
  std::vector<std::string> ignored;
  if (checkpoint.config.tied_head) ignored = head_names(checkpoint.names());
  const auto model = checkpoint.family->build(checkpoint.config, {});
  const std::vector<WeightSpec> specs = model->weights();
  check_complete(*checkpoint.source, checkpoint.names(), specs, ignored);
  const std::string first =
      find_name(*checkpoint.source, sources_of(specs.front(), checkpoint.names()).front());
  const DType stored = checkpoint.source->info(first).dtype;
  checkpoint.config.checkpoint_dtype = stored == DType::kF64 ? DType::kF32 : stored;
  return checkpoint;
}

void log_warnings(const ModelConfig& config) {
  for (const std::string& warning : config.warnings) log::warn("{}", warning);
}

ModelSettings read_model_settings(const fs::path& path) {
  if (!path_exists(path)) fail_no_folder(path);
  if (is_ft_folder(path)) {
    const Ini ini = read_ini(path / "config.ini");
    const std::string where = (path / "config.ini").string();
    const Family& family = find_family(ini, where);
    return {&family, family.ft->read_config(ini, where)};
  }
  const fs::path file = is_folder(path) ? path / "config.json" : path;
  const JsonTree tree = read_json_file(file);
  const Json& json = *tree;
  const Family& family = find_family(json, file.string());
  return {&family, read_hf_config(family, json, file)};
}

}  // namespace bolide
