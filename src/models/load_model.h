#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/model.h"
#include "weights/loader.h"

namespace bolide {

struct ModelOptions {
  std::filesystem::path path = {};      // a folder; with `dummy` also a config.json
  std::optional<DType> data_type = {};  // default: the checkpoint's own
  const WeightScheme* scheme = &find_weight_scheme("");
  bool dummy = false;  // random weights at the config's shape
  uint64_t dummy_seed = 0;
  LoadProgress on_load = {};
  // Memory of the CPU that the ranks of `sharing` (this one among them; none: it is alone) may take together;
  // 0: not known. load_model() throws kResource where their weights take more.
  int64_t available_bytes = 0;
  std::vector<Dist> sharing = {};
};
struct LoadedModel {
  std::unique_ptr<Model> model;
  DType data_type, checkpoint_dtype;  // of its weights, and of what they were read from
  int64_t weight_bytes = 0;
  // Of all ranks together: see ModelInfo.
  int64_t gemm_parameters = 0, gemm_bytes = 0, head_parameters = 0;
};
// kUsage naming what cannot be divided over so many ranks, and by what it can.
void check_divides(const ModelConfig& config, const Dist& dist);

// Throws what check_divides() throws before anything is loaded.
LoadedModel load_model(const ModelOptions& options, const Context& context, const Dist& dist = {});
// What load_model() would build and load it as, without weights; and its config alone.
struct UnloadedModel {
  std::unique_ptr<Model> model;
  DType data_type;
};
UnloadedModel build_model(const ModelOptions& options, const Dist& dist);
ModelConfig read_model_config(const ModelOptions& options);
// Throws what load_model() would before it reads any weights: the folder's faults, and sizes that do not
// divide the model. For ranks, which all find the same before they wait for each other.
void check_model(const ModelOptions& options, const Dist& dist);

}  // namespace bolide
