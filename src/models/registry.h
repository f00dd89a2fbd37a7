#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "base/json.h"
#include "checkpoint/ft_bin.h"
#include "comm/dist.h"
#include "models/model.h"
#include "weights/loader.h"

namespace bolide {

// One row of the table of families (registry.cc); a family is one file that fills it.
struct Family {
  std::string_view architecture;  // in config.json's "architectures"
  std::string_view model_type;    // in config.json's "model_type"
  // `where` names the file in errors. End ids and what ties the head are read by open_checkpoint().
  ModelConfig (*read_hf_config)(const Json& json, std::string_view where);
  // Whether an FT config.ini is of this family, and what it says.
  bool (*matches_ft)(const Ini& ini);
  ModelConfig (*read_ft_config)(const Ini& ini, std::string_view where);
  // The [gpt] section that FT's converter writes, keys in its order. FT takes the input folder as the model's
  // name.
  std::vector<std::pair<std::string, std::string>> (*write_ft_config)(const ModelConfig& config,
                                                                      const std::string& model_name,
                                                                      int tensor_para_size, DType dtype);
  // An unloaded model: slots() bound, nothing allocated.
  std::unique_ptr<Model> (*build)(const ModelConfig& config, const Dist& dist);
  // Buffers that old checkpoints store beside the weights and that transformers, too, does not read: patterns
  // as matches_name() has them.
  std::span<const std::string_view> ignored;
};

// The family of a config.json or config.ini; kUnsupported naming the architecture and listing those that
// Bolide has.
const Family& find_family(const Json& config, std::string_view where);
const Family& find_family(const Ini& config, std::string_view where);

// A model folder, opened: config and headers only, and held against the model (see check_complete).
struct Checkpoint {
  CheckpointFormat format;
  const Family* family;
  ModelConfig config;
  std::unique_ptr<TensorSource> source;
  int ft_ranks = 1;  // N of an FT folder
};
Checkpoint open_checkpoint(const std::filesystem::path& folder);
// Tells the user what config.warnings holds. Once a run: load_model() does, on rank 0.
void log_warnings(const ModelConfig& config);

struct ModelOptions {
  std::filesystem::path path;      // a folder; with `dummy` also a config.json
  std::optional<DType> data_type;  // default: the checkpoint's own
  bool dummy = false;              // random weights at the config's shape
  uint64_t dummy_seed = 0;
  LoadProgress on_load = {};
  // Memory of the CPU that the ranks of `sharing` (this one among them; none: it is alone) may take together;
  // 0: not known. load_model() throws kResource where their weights take more.
  int64_t available_bytes = 0;
  std::vector<Dist> sharing = {};
};
struct LoadedModel {
  std::unique_ptr<Model> model;
  DType data_type;
  int64_t weight_bytes = 0;
};
// kUsage naming what cannot be divided over so many ranks, and by what it can.
void check_divides(const ModelConfig& config, const Dist& dist);

// Throws what check_divides() throws before anything is loaded.
LoadedModel load_model(const ModelOptions& options, const Context& context, const Dist& dist = {});
// What load_model() would build, from its config alone.
ModelConfig read_model_config(const ModelOptions& options);
// Throws what load_model() would before it reads any weights: the folder's faults, and sizes that do not
// divide the model. For ranks, which all find the same before they wait for each other.
void check_model(const ModelOptions& options, const Dist& dist);

// Bytes that the slots of a rank take once loaded.
int64_t weight_bytes(std::span<const Slot> slots, const Dist& dist, DType dtype);

}  // namespace bolide
