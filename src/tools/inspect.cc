#include <algorithm>

#include "bolide/checkpoint.h"
#include "engine/resolve.h"
#include "models/load_model.h"
#include "models/open_checkpoint.h"
#include "weights/loader.h"
#include "worker/exact.h"
#include "worker/memory.h"
#include "worker/rank.h"
#include "worker/step.h"
#include "worker/worker.h"

namespace bolide {
namespace {

// What steps of `batch` sequences take, their prompts in chunks of the default size.
int64_t step_bytes(const Checkpoint& checkpoint, const Dist& dist, const WeightStorage& storage,
                   Device device, int64_t batch, int64_t prompt_tokens) {
  const ModelConfig& config = checkpoint.config;
  Arena arena = Arena::for_counting(device);
  const Context context = counting_context(arena, device, storage.dtype, 1);
  const std::unique_ptr<Model> model = checkpoint.family->build(config, dist);
  shape_weights(context, model->weights(), dist, storage);
  model->prepare(context);
  const int64_t sequences = padded_sequences(batch);
  return step_memory(
             *model, dist, storage.dtype,
             {.device = device,
              .tokens = sequences + std::min(prompt_tokens, default_chunk_tokens(device)),
              .logit_rows = std::min(Worker::logit_block(config, WorkerConfig::kLogitBlockBytes), sequences)})
      .total();
}

// Of tensor rank 0, whose slice of the vocabulary is the largest.
CheckpointSummary::RankMemory rank_memory(const Checkpoint& checkpoint, const Dist& dist,
                                          const WeightStorage& storage, const InspectOptions& options) {
  const ModelConfig& config = checkpoint.config;
  const Dist::Range layers = dist.stage_layers(config.layers);
  CheckpointSummary::RankMemory memory{.first_layer = layers.begin, .layers = layers.size()};
  const std::unique_ptr<Model> model = checkpoint.family->build(config, dist);
  check_driven(*model);
  memory.weight_bytes = weight_bytes(model->weights(), dist, storage);
  const KvCacheConfig cache = cache_config(*model, dist, storage.dtype, 0, KvCacheConfig().page_size);
  const Exact batch = options.batch_size, length = options.length;
  (void)(length + (cache.page_size - 1));
  const int64_t pages = pages_at_once(options.length, config.cache_window(),
                                      default_chunk_tokens(Device::kCuda), cache.page_size);
  memory.kv_bytes = (batch * pages * cache.page_bytes()).value();
  const auto bytes_on = [&](Device device) {
    return step_bytes(checkpoint, dist, storage, device, options.batch_size, (batch * length).value());
  };
  memory.activation_bytes = bytes_on(Device::kCpu);
  memory.gpu_step_bytes = bytes_on(Device::kCuda);
  // What is told is the sum of all, over all ranks.
  (void)((Exact(memory.weight_bytes) + memory.kv_bytes + memory.activation_bytes + memory.gpu_step_bytes) *
         dist.tensor_size * dist.pipeline_size);
  return memory;
}

}  // namespace

CheckpointSummary inspect(const InspectOptions& options) {
  if (options.batch_size < 1 || options.length < 1) {
    fail(ErrorCode::kUsage, "batch size {} and length {} must be 1 or more", options.batch_size,
         options.length);
  }
  const RankConfig asked = resolve({.model = options.model,
                                    .data_type = options.data_type,
                                    .weight_scheme = options.weight_scheme,
                                    .tensor_para_size = options.tensor_para_size,
                                    .pipeline_para_size = options.pipeline_para_size});
  const Checkpoint checkpoint = open_checkpoint(options.model);
  const ModelConfig& config = checkpoint.config;
  const WeightStorage storage(asked.model.data_type.value_or(config.checkpoint_dtype), *asked.model.scheme);
  CheckpointSummary summary;
  static_cast<ModelShape&>(summary) = config;
  summary.format = checkpoint.format == CheckpointFormat::kFasterTransformer
                       ? fmt::format("FasterTransformer {}-gpu", checkpoint.ft_ranks)
                       : "Hugging Face";
  summary.warnings = config.warnings;
  try {
    check_model_fits(config, Device::kCpu);
  } catch (const Error& error) {
    summary.warnings.push_back(fmt::format("it cannot be run: {}", error.what()));
  }
  for (const std::string& name : checkpoint.source->names()) {
    const TensorInfo info = checkpoint.source->info(name);
    const int64_t bytes = info.shape.count() * static_cast<int64_t>(size_of(info.dtype));
    summary.tensors.push_back({name,
                               std::string(name_of(info.dtype)),
                               checkpoint.source->where(name),
                               {info.shape.extents().begin(), info.shape.extents().end()},
                               bytes});
    summary.file_bytes += bytes;
  }
  for (const WeightSpec& spec : checkpoint.family->build(config, {})->weights())
    summary.parameters += spec.shape.count();
  Dist dist{.tensor_size = options.tensor_para_size, .pipeline_size = options.pipeline_para_size};
  check_divides(config, dist);
  for (; dist.pipeline_rank < dist.pipeline_size; ++dist.pipeline_rank)
    summary.stages.push_back(rank_memory(checkpoint, dist, storage, options));
  return summary;
}

}  // namespace bolide
