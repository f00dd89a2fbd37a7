#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bolide/model_shape.h"

namespace bolide {

/// A tensor that convert() has written.
struct ConvertedTensor {
  std::string name;              ///< FT's
  std::vector<int64_t> shape;    ///< of one written file
  bool split = false;            ///< over ranks, in a file for each
  std::string file;              ///< that was written, without its folder (rank 0's)
  std::string source;            ///< file that it was read from
  int64_t index = 0, count = 0;  ///< its place in the list, from 0, and how many there are
};

/// `bolide convert`: a Hugging Face folder to FasterTransformer's `<output_dir>/<tensor_para_size>-gpu/`.
struct ConvertOptions {
  std::filesystem::path input_dir = {};
  std::filesystem::path output_dir = {};
  int tensor_para_size = 1;
  std::string data_type = "fp32";  ///< of the files
  int processes = 4;               ///< worker threads
  bool by_shard = false;  ///< read the input one shard file at a time (as FT's -s); less memory, same output
  bool force = false;     ///< replace an output folder that already holds files
  /// Called once per tensor in the order of the model (embedding, layers, final norm), whichever is written
  /// first, by one thread at a time. An Error that it throws ends the run.
  std::function<void(const ConvertedTensor& tensor)> on_tensor = {};
};
struct ConvertReport {
  std::filesystem::path folder;
  int64_t tensors = 0, files = 0, bytes = 0;
  double seconds = 0;
};
/// Writes into a temporary sibling and renames it at the end: an interrupted run leaves nothing that loads.
ConvertReport convert(const ConvertOptions& options);

/// `bolide inspect`: what a checkpoint holds, from headers alone, and the memory that an engine would take.
struct InspectOptions {
  std::filesystem::path model = {};
  std::string data_type = {};      ///< of weights and cache; empty: as in the checkpoint
  std::string weight_scheme = {};  ///< as EngineConfig's
  int64_t batch_size = 1, length = 1;
  int tensor_para_size = 1, pipeline_para_size = 1;
};
struct TensorSummary {
  std::string name, data_type, file;
  std::vector<int64_t> shape;
  int64_t bytes = 0;
};
struct CheckpointSummary : ModelShape {
  std::string format;  ///< "Hugging Face" or "FasterTransformer N-gpu"
  int64_t parameters = 0;
  std::vector<TensorSummary> tensors = {};
  int64_t file_bytes = 0;
  /// Predicted memory of a rank of each pipeline stage.
  struct RankMemory {
    int64_t first_layer = 0, layers = 0;
    int64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0;
    int64_t gpu_step_bytes =
        0;  ///< instead of activation_bytes on a GPU: prompts in chunks of the default size
    int64_t total() const { return weight_bytes + kv_bytes + activation_bytes; }
    int64_t gpu_total() const { return weight_bytes + kv_bytes + gpu_step_bytes; }
  };
  std::vector<RankMemory> stages = {};
  std::vector<std::string> warnings = {};  ///< where its files contradict themselves, and what is taken
};
CheckpointSummary inspect(const InspectOptions& options);

}  // namespace bolide
