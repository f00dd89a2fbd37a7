#include "models/load_model.h"

#include <algorithm>

#include "models/decoder.h"
#include "models/open_checkpoint.h"

namespace bolide {

void check_divides(const ModelConfig& config, const Dist& dist) {
  // Fewer key and value heads than ranks are replicated.
  const auto kv_divides = [&](int64_t size) {
    return config.kv_heads % size == 0 || size % config.kv_heads == 0;
  };
  const auto check = [&](const char* what, int64_t count, bool divides) {
    if (divides) return;
    std::string good;
    for (int64_t size = 1; size <= std::min<int64_t>(config.heads, 64); ++size)
      if (config.heads % size == 0 && kv_divides(size) && config.inter_size % size == 0)
        good += fmt::format("{}{}", good.empty() ? "" : ", ", size);
    fail(ErrorCode::kUsage, "--tensor-para-size {} does not divide the model's {} {}: use one of {}",
         dist.tensor_size, count, what, good);
  };
  const int64_t size = dist.tensor_size;
  check("heads", config.heads, config.heads % size == 0);
  check("key and value heads", config.kv_heads, kv_divides(size));
  check("inner units", config.inter_size, config.inter_size % size == 0);
  if (config.layers < dist.pipeline_size) {
    fail(ErrorCode::kUsage, "--pipeline-para-size {} is more than the model's {} layers: use at most {}",
         dist.pipeline_size, config.layers, config.layers);
  }
}

ModelConfig read_model_config(const ModelOptions& options) {
  return options.dummy ? read_model_settings(options.path).config : open_checkpoint(options.path).config;
}

UnloadedModel build_model(const ModelOptions& options, const Dist& dist) {
  const auto build = [&](const auto& from) -> UnloadedModel {
    check_divides(from.config, dist);
    return {from.family->build(from.config, dist), options.data_type.value_or(from.config.checkpoint_dtype)};
  };
  return options.dummy ? build(read_model_settings(options.path)) : build(open_checkpoint(options.path));
}

void check_model(const ModelOptions& options, const Dist& dist) {
  check_divides(read_model_config(options), dist);
}

namespace {

// The kernel ends a process that takes more memory than there is, without a word: say it before.
void check_memory(const Family& family, const ModelConfig& config, const ModelOptions& options,
                  const Context& context, const Dist& dist, const WeightStorage& storage) {
  if (context.device != Device::kCpu || options.available_bytes <= 0) return;
  const std::vector<Dist> alone = {dist}, &ranks = options.sharing.empty() ? alone : options.sharing;
  int64_t wanted = 0;
  for (const Dist& rank : ranks) {
    const auto model = family.build(config, rank);
    const std::vector<WeightSpec> specs = model->weights();
    const int64_t weights = weight_bytes(specs, rank, storage);
    const int64_t loading = loading_bytes(specs, rank, storage, context.device, context.threads);
    wanted += weights + std::min(weight_bytes(specs, rank, DType::kF32), loading);
  }
  if (wanted <= options.available_bytes) return;
  std::vector<std::string_view> others;
  for (const WeightScheme* scheme : all_weight_schemes())
    if (scheme != storage.scheme) others.push_back(scheme->name);
  fail(ErrorCode::kResource,
       "the model needs {} bytes of memory to load as {}{}, and {} are available: use a smaller --data-type, "
       "another --weight-scheme ({}), or more "
       "ranks (--tensor-para-size, --pipeline-para-size) on several machines",
       wanted, name_of(storage.dtype),
       ranks.size() > 1 ? fmt::format(" in {} ranks on this machine", ranks.size()) : "",
       options.available_bytes, fmt::join(others, ", "));
}

}  // namespace

LoadedModel load_model(const ModelOptions& options, const Context& context, const Dist& dist) {
  const auto build = [&](const Family& family, const ModelConfig& config, const auto& load) {
    check_divides(config, dist);
    if (dist.tensor_rank == 0 && dist.pipeline_rank == 0) log_warnings(config);
    LoadedModel loaded;
    loaded.checkpoint_dtype = config.checkpoint_dtype;
    loaded.data_type = options.data_type.value_or(config.checkpoint_dtype);
    const WeightStorage storage(loaded.data_type, *options.scheme);
    check_memory(family, config, options, context, dist, storage);
    loaded.model = family.build(config, dist);
    const std::vector<WeightSpec> specs = loaded.model->weights();
    Context typed = context;
    typed.activation = activation_dtype(context.device, loaded.data_type);
    load(typed, specs, storage);
    loaded.model->prepare(typed);
    loaded.weight_bytes = weight_bytes(specs, dist, storage);
    const auto whole = family.build(config, {});
    std::vector<WeightSpec> gemms = whole->weights();
    std::erase_if(gemms, [&](const WeightSpec& spec) {
      return !spec.is_matrix() || spec.dense || (spec.name == kEmbeddingName && !config.tied_head);
    });
    for (const WeightSpec& spec : gemms) {
      loaded.gemm_parameters += spec.shape.count();
      if (spec.name == kHeadName || spec.name == kEmbeddingName || spec.name == kHeadProjectionName)
        loaded.head_parameters += spec.shape.count();
    }
    loaded.gemm_bytes = weight_bytes(gemms, {}, storage);
    return loaded;
  };
  if (options.dummy) {
    const ModelSettings settings = read_model_settings(options.path);
    return build(
        *settings.family, settings.config,
        [&](const Context& typed, const std::vector<WeightSpec>& specs, const WeightStorage& storage) {
          load_dummy_weights(typed, specs, dist, storage, options.dummy_seed, options.on_load);
        });
  }
  const Checkpoint checkpoint = open_checkpoint(options.path);
  return build(*checkpoint.family, checkpoint.config,
               [&](const Context& typed, const std::vector<WeightSpec>& specs, const WeightStorage& storage) {
                 load_weights(typed, *checkpoint.source, checkpoint.names(), specs, dist, storage,
                              options.on_load);
               });
}

}  // namespace bolide
