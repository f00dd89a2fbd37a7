#include "worker/rank.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/parallel.h"
#include "base/threads.h"
#include "machine/resources.h"
#include "ops/limits.h"
#include "worker/cache_size.h"
#include "worker/gemm_config.h"
#include "worker/handshake.h"
#include "worker/memory.h"
#include "worker/prepare.h"
#include "worker/step.h"
#include "worker/world.h"

namespace bolide {
namespace {

// What the largest steps take.
StepMemory step_memory(const RankConfig& config, const RankParts& parts) {
  const int64_t sequences = padded_sequences(config.max_batch_size);
  return step_memory(*parts.model, parts.ranks.dist, parts.data_type,
                     {.device = config.device,
                      .threads = parts.threads,
                      .deterministic = config.deterministic,
                      .tokens = config.chunk_tokens + sequences,
                      .logit_rows = std::min(
                          Worker::logit_block(parts.model->shape(), parts.logit_block_bytes), sequences)});
}

WorkerConfig worker_config(const RankParts& parts, const RankConfig& config) {
  WorkerConfig worker{.device = config.device,
                      .device_index = parts.device_index,
                      .activation = activation_dtype(config.device, parts.data_type),
                      .threads = parts.threads,
                      .max_batch_size = config.max_batch_size,
                      .logit_block_bytes = parts.logit_block_bytes,
                      .deterministic = config.deterministic,
                      .graphs = config.graphs && parts.ranks.capturable()};
  if (config.device == Device::kCuda) worker.scratch_bytes = step_memory(config, parts).scratch;
  return worker;
}

// Tells the other ranks of a fault before it ends this one.
template <class Body>
auto or_abort(const ProcessGroup& ranks, const Body& body) {
  try {
    return body();
  } catch (const std::exception& fault) {
    ranks.abort(fault.what());
    throw;
  }
}

}  // namespace

void check_model_fits(const ModelShape& model, Device device) {
  if (model.head_size > kMaxHeadSize) {
    fail(ErrorCode::kUnsupported,
         "the model's heads have a size of {}, and attention computes with {} at most", model.head_size,
         kMaxHeadSize);
  }
  if (device == Device::kCuda && model.vocab_size > kMaxGpuVocab) {
    fail(ErrorCode::kUnsupported,
         "the model's vocabulary has {} ids, and a GPU draws from {} at most: use the CPU", model.vocab_size,
         kMaxGpuVocab);
  }
}

void check_driven(const Model& model) {
  const auto refuse = [&](const char* what) {
    fail(ErrorCode::kUnsupported, "{} {}, and this version runs decoders alone", model.shape().architecture,
         what);
  };
  const Abilities can = model.abilities();
  if (can.encode) refuse("has an encoder");
  if (can.pool) refuse("pools what it has read");
  if (!can.embed || !can.run_layers || !can.logits) refuse("gives no logits");
  const std::vector<CacheSpec> caches = model.caches();
  if (caches.size() != 1) refuse(caches.empty() ? "has no cache" : "has several caches");
  switch (caches[0].kind) {
    case CacheKind::kSelf:
      return;
    case CacheKind::kCross:
      refuse("has a cache of an encoder's rows");
      return;
    case CacheKind::kWindow:
      refuse("has a ring of its last tokens as its cache");
      return;
    case CacheKind::kState:
      refuse("has a state instead of a cache");
  }
}

RankParts load_rank(const RankConfig& config, std::unique_ptr<Transport> world) {
  const auto start = std::chrono::steady_clock::now();
  RankParts parts;
  Transport* const transport = world.get();
  parts.ranks.world = std::move(world);
  // Where they are not, all ranks know: none has to be told.
  if (transport && transport->name() != "threads") check_alike(*transport, common_settings(config));
  const Device device = config.device;
  ModelOptions options = config.model;
  or_abort(parts.ranks, [&] {
    const Neighbours neighbours = find_neighbours(transport);
    options.available_bytes = neighbours.available_bytes;
    for (const int rank : neighbours.ranks) {
      options.sharing.push_back({.tensor_size = config.tensor_size,
                                 .tensor_rank = rank % config.tensor_size,
                                 .pipeline_size = config.pipeline_size,
                                 .pipeline_rank = rank / config.tensor_size});
    }
    parts.ranks_here = neighbours.ranks_here;
    parts.threads = config.threads > 0 ? config.threads : default_threads(neighbours.sharing_cores);
    if (device == Device::kCpu) return;
    parts.device_index = choose_gpu(config.gpus, neighbours);
    use_cuda_device(parts.device_index);
  });
  // Kernels are chosen by GPU, and what the process knows of one holds for all of its threads.
  if (transport && device == Device::kCuda)
    check_alike(*transport, fmt::format("a {}\n", cuda_properties().name));
  or_abort(parts.ranks, [&] {
    Arena arena;
    const Context context{
        .device = device, .device_index = parts.device_index, .threads = parts.threads, .arena = &arena};
    std::optional<GemmConfig> gemms;
    if (config.gemm_config) gemms = read_gemm_config(*config.gemm_config);
    join_ranks(context, config.tensor_size, config.pipeline_size,
               choose_all_reduce(config.all_reduce, device, transport), parts.ranks);
    if (transport) transport->at("loading");
    std::future<void> prepared;
    const UnloadedModel unloaded = build_model(options, parts.ranks.dist);
    check_driven(*unloaded.model);
    check_model_fits(unloaded.model->shape(), device);
    if (device == Device::kCuda && !config.deterministic && options.scheme->library_gets_whole_products) {
      prepared = prepare_library(context, unloaded.model->weights(), parts.ranks.dist, unloaded.data_type,
                                 config.chunk_tokens);
    }
    LoadedModel loaded = load_model(options, context, parts.ranks.dist);
    if (prepared.valid()) prepared.get();
    if (gemms) {
      follow_gemm_config(context, *gemms, loaded.model->shape(), loaded.data_type);
      parts.tuned_gemms = static_cast<int64_t>(gemms->rows.size());
    }
    parts.model = std::move(loaded.model);
    parts.data_type = loaded.data_type;
    parts.checkpoint_dtype = loaded.checkpoint_dtype;
    parts.weight_bytes = loaded.weight_bytes;
    parts.gemm_parameters = loaded.gemm_parameters;
    parts.gemm_bytes = loaded.gemm_bytes;
    parts.head_parameters = loaded.head_parameters;
    parts.random_weights = options.dummy;
  });
  parts.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return parts;
}

std::unique_ptr<Worker> make_worker(RankParts& parts, const RankConfig& config, int64_t& total_weight_bytes) {
  return or_abort(parts.ranks, [&] {
    const WorkerConfig how = worker_config(parts, config);
    auto worker = std::make_unique<Worker>(std::move(parts.model), parts.ranks, how);
    total_weight_bytes = take_cache(*worker, parts, config);
    return worker;
  });
}

void serve_rank(RankParts&& parts, const RankConfig& config) {
  int64_t total_weight_bytes = 0;
  const std::unique_ptr<Worker> made = make_worker(parts, config, total_weight_bytes);
  Worker& worker = *made;
  Pipeline& pipeline = worker.pipeline();
  const bool reports = !worker.dist().first_stage() && worker.dist().tensor_rank == 0;
  StepResult result;
  or_abort(worker.ranks(), [&] {
    while (const StepPlan* plan = pipeline.next()) {
      launch_step(worker, *plan, result);
      if (!reports) {
        worker.ranks().check();
        continue;
      }
      // What the last stage draws is wanted at once; the others go on as soon as the work is queued.
      if (worker.dist().last_stage()) collect_step(worker, result);
      pipeline.send_result(result);
    }
    synchronize(worker.context());
  });
}

Followers::Followers(std::vector<std::function<void()>> ranks) {
  // None begins before all are there: they would wait for those that are not.
  std::promise<bool> all_there;
  const std::shared_future<bool> go = all_there.get_future().share();
  try {
    for (std::function<void()>& rank : ranks) {
      threads_.push_back(start_thread([rank = std::move(rank), go] {
        if (!go.get()) return;
        const TeamScope team;
        try {
          rank();
        } catch (const std::exception& fault) {
          log::debug("a rank has ended: {}", fault.what());
        }
      }));
    }
  } catch (...) {
    all_there.set_value(false);
    join();
    throw;
  }
  all_there.set_value(true);
}

Followers::~Followers() { join(); }

void Followers::join() {
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace bolide
