#include "worker/rank.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/parallel.h"
#include "base/threads.h"
#include "comm/launcher.h"
#include "machine/resources.h"
#include "models/load_model.h"
#include "ops/limits.h"
#include "worker/check.h"
#include "worker/gemm_config.h"
#include "worker/handshake.h"
#include "worker/memory.h"
#include "worker/prepare.h"
#include "worker/step.h"

namespace bolide {
namespace {

ModelOptions model_options(const EngineConfig& config) {
  ModelOptions options;
  options.path = config.model;
  options.dummy = config.load_format == LoadFormat::kDummy;
  if (!config.data_type.empty()) options.data_type = parse_data_type(config.data_type);
  options.weight_scheme = config.weight_scheme;
  options.on_load = config.on_load;
  return options;
}

// The ranks of this rank's machine: ranks that are threads or processes, and see the same memory and GPUs.
struct Neighbours {
  int local_rank = 0, ranks_here = 1;
  int sharing_cores = 1;  // of those, which may use the same cores
  std::vector<int> ranks = {0};
  int64_t available_bytes = 0;  // of memory, before any of them has loaded; 0: not known
};
// Every rank's text, by rank.
std::vector<std::string> tell_all(Transport& world, std::span<const std::byte> mine) {
  MessageWriter list;
  for (const auto& text : world.gather(mine, Channel::kStart))
    list.add(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()));
  const auto told = world.broadcast(list.data(), Channel::kStart);
  MessageReader reader(told, "what the ranks say of themselves");
  std::vector<std::string> texts;
  for (int rank = 0; rank < world.size(); ++rank) texts.push_back(reader.text());
  return texts;
}
Neighbours find_neighbours(Transport& world) {
  const auto [machine, cores] = this_place();
  MessageWriter mine;
  mine.add(std::string_view(machine));
  mine.add(std::string_view(cores));
  mine.add(available_memory());
  const std::vector<std::string> places = tell_all(world, mine.data());
  Neighbours found{.local_rank = 0, .ranks_here = 0, .sharing_cores = 0, .ranks = {}};
  for (int rank = 0; rank < world.size(); ++rank) {
    const std::string& place = places[static_cast<size_t>(rank)];
    MessageReader reader(std::as_bytes(std::span(place)), "a rank's machine");
    if (reader.text() != machine) continue;
    found.local_rank += rank < world.rank();
    ++found.ranks_here;
    found.sharing_cores += reader.text() == cores;
    found.ranks.push_back(rank);
    // Each sees its own control group's limit, and the lowest holds for what they have in common.
    const auto available = reader.get<int64_t>();
    if (found.available_bytes == 0 || (available > 0 && available < found.available_bytes))
      found.available_bytes = available;
  }
  return found;
}

int device_of(const EngineConfig& config, const Neighbours& neighbours) {
  const int ranks_here = neighbours.ranks_here, local_rank = neighbours.local_rank;
  if (config.devices.empty()) {
    // A launcher may show each process a GPU of its own.
    const int seen = cuda_device_count();
    if (local_rank >= seen && seen != 1) {
      fail(ErrorCode::kUsage, "{} ranks run on this machine, a GPU each, and this process sees {}",
           ranks_here, seen);
    }
    return seen == 1 ? 0 : local_rank;
  }
  if (static_cast<int>(config.devices.size()) != ranks_here) {
    fail(ErrorCode::kUsage,
         "--devices names {} GPU(s), and {} rank(s) run on this machine: name one for each, or leave it out",
         config.devices.size(), ranks_here);
  }
  return config.devices[static_cast<size_t>(local_rank)];
}

// With the same words for the same GPU only.
std::string this_gpu() {
  const DeviceProperties gpu = cuda_properties();
  return fmt::format("the {} at {} of machine {}", gpu.name, gpu.address, this_place().machine);
}

// Every rank finds the same. Rank 0 says when it is not what was asked for.
AllReduce choose_all_reduce(const EngineConfig& config, Device device, Transport* world) {
  const AllReduce wanted = parse_all_reduce(config.all_reduce);
  if (!world || device == Device::kCpu) return wanted;
  const std::string mine = this_gpu();
  std::string why;
  const AllReduce possible =
      possible_all_reduce(wanted, tell_all(*world, std::as_bytes(std::span(mine))), why);
  if (!why.empty() && world->rank() == 0) log::warn("{}", why);
  return possible;
}

StepMemory step_memory(const EngineConfig& config, const RankParts& parts) {
  const ModelConfig& model = parts.model->config();
  const int64_t sequences = padded_sequences(config.max_batch_size);
  const int64_t chunk = resolve_chunk_tokens(parse_device(config.device), config.max_chunk_tokens);
  const WeightStorage storage(parts.data_type, find_weight_scheme(config.weight_scheme));
  return step_memory(model, parts.ranks.dist, storage, chunk + sequences,
                     std::min(Worker::logit_block(model, parts.logit_block_bytes), sequences));
}

// What a rank tells the others once it has all memory but its cache.
struct Loaded {
  int64_t weight_bytes = 0;
  int64_t tokens = 0;  // on the CPU: of cache, as far as this rank's part of the memory goes
  GpuShare share;      // on a GPU
};
Loaded loaded(const EngineConfig& config, const RankParts& parts, const ModelConfig& model, Device device) {
  const int64_t each = cache_config(model, parts.ranks.dist, parts.data_type, 1, 1).page_bytes();
  Loaded mine;
  mine.weight_bytes = parts.weight_bytes;
  if (device == Device::kCuda) {
    mine.share = {
        .gpu = this_gpu(), .free_bytes = static_cast<int64_t>(cuda_memory_free()), .token_bytes = each};
  } else if (config.max_kv_tokens > 0) {
    mine.tokens = config.max_kv_tokens;
  } else {
    mine.tokens = default_kv_tokens(config.max_batch_size, config.page_size, std::max<int64_t>(each, 1),
                                    available_memory() / parts.ranks_here);
  }
  return mine;
}
// Of every rank, by rank.
std::vector<Loaded> tell_loaded(Transport& world, const Loaded& mine) {
  MessageWriter message;
  message.add(mine.weight_bytes);
  message.add(mine.tokens);
  message.add(std::string_view(mine.share.gpu));
  message.add(mine.share.free_bytes);
  message.add(mine.share.token_bytes);
  std::vector<Loaded> all;
  for (const std::string& text : tell_all(world, message.data())) {
    MessageReader reader(std::as_bytes(std::span(text)), "what a rank has loaded");
    Loaded& rank = all.emplace_back();
    rank.weight_bytes = reader.get<int64_t>();
    rank.tokens = reader.get<int64_t>();
    rank.share.gpu = reader.text();
    rank.share.free_bytes = reader.get<int64_t>();
    rank.share.token_bytes = reader.get<int64_t>();
    reader.end();
  }
  return all;
}

// Tokens of cache, the same for every rank. None takes memory for it before all know what there is, and none
// looks before all have the rest: what a rank can have then does not depend on which of them is quicker.
int64_t cache_tokens(const EngineConfig& config, const RankParts& parts, const ModelConfig& model,
                     Device device, double fraction, int64_t& total_weight_bytes) {
  std::vector<Loaded> ranks;
  if (parts.ranks.alone()) {
    ranks.push_back(loaded(config, parts, model, device));
  } else {
    parts.ranks.world->barrier(Channel::kStart);
    ranks = tell_loaded(*parts.ranks.world, loaded(config, parts, model, device));
  }
  total_weight_bytes = 0;
  int64_t tokens = ranks.front().tokens;
  std::vector<GpuShare> shares;
  for (Loaded& rank : ranks) {
    total_weight_bytes += rank.weight_bytes;
    tokens = std::min(tokens, rank.tokens);
    shares.push_back(std::move(rank.share));
  }
  if (device == Device::kCpu) return tokens;
  const int64_t fit = gpu_cache_tokens(shares, fraction, config.page_size, config.max_kv_tokens);
  return config.max_kv_tokens > 0 ? config.max_kv_tokens : fit;
}

// The pages of `tokens`, held against what the kernels can number.
int64_t cache_pages(const EngineConfig& config, const KvCacheConfig& cache, int64_t tokens) {
  const int64_t pages = pages_for(tokens, config.page_size);
  const int64_t most = most_pages(cache.device, cache.kv_heads, config.page_size);
  if (config.max_kv_tokens > 0 && pages > most) {
    fail(ErrorCode::kUsage, "max_kv_tokens is {}: with {} key heads a rank the cache has {} tokens at most",
         config.max_kv_tokens, cache.kv_heads, most * config.page_size);
  }
  return std::min(pages, most);
}

// Whether all ranks could.
bool all_could(const Ranks& ranks, bool mine) {
  if (ranks.alone()) return mine;
  const std::byte word{mine};
  const std::vector<std::string> words = tell_all(*ranks.world, {&word, 1});
  return std::all_of(words.begin(), words.end(), [](const std::string& each) { return each[0] != 0; });
}

// A size that nobody asked for is that of the memory that was free a moment ago. Where somebody else has
// taken of it meanwhile, or where it is not in one piece, all ranks look again and want a little less.
void take_cache(Worker& worker, const RankParts& parts, const EngineConfig& config,
                int64_t& total_weight_bytes) {
  const Device device = worker.context().device;
  const ModelConfig& model = worker.model().config();
  double fraction = config.kv_cache_fraction;
  constexpr int kMaxTries = 16;  // the last with 0.97^15, 63 % of the first's share
  for (int tries = 1;; ++tries) {
    KvCacheConfig cache = cache_config(model, parts.ranks.dist, parts.data_type, 0, config.page_size);
    cache.device = device;
    cache.spare_page = device == Device::kCuda;
    cache.pages =
        cache_pages(config, cache, cache_tokens(config, parts, model, device, fraction, total_weight_bytes));
    const bool may_fail = device == Device::kCuda && config.max_kv_tokens == 0 && tries < kMaxTries;
    bool could = true;
    try {
      worker.take_cache(cache);
    } catch (const Error& error) {
      if (!may_fail || error.code() != ErrorCode::kResource) throw;
      log::info("{}: looking again", error.what());
      could = false;
    }
    // A rank that finds no memory says so here, before there are steps that wait for it.
    if (all_could(parts.ranks, could)) return;
    worker.drop_cache();
    fraction *= 0.97;
  }
}

WorkerConfig worker_config(const RankParts& parts, const EngineConfig& config) {
  const Device device = parse_device(config.device);
  WorkerConfig worker{.device = device,
                      .device_index = parts.device_index,
                      .activation = activation_dtype(device, parts.data_type),
                      .threads = parts.threads,
                      .max_batch_size = config.max_batch_size,
                      .logit_block_bytes = parts.logit_block_bytes,
                      .deterministic = config.deterministic_batching,
                      .graphs = config.cuda_graphs && parts.ranks.capturable()};
  if (device == Device::kCuda) worker.scratch_bytes = step_memory(config, parts).scratch;
  return worker;
}

// Tells the other ranks of a fault before it ends this one.
template <class Body>
auto or_abort(const Ranks& ranks, const Body& body) {
  try {
    return body();
  } catch (const std::exception& fault) {
    ranks.abort(fault.what());
    throw;
  }
}

}  // namespace

std::vector<std::unique_ptr<Transport>> join_world(const EngineConfig& config) {
  const int ranks = config.tensor_para_size * config.pipeline_para_size;
  const std::chrono::duration<double> timeout(config.comm_timeout);
  const Launch launch = read_launch();
  const auto check_layout = [&] {
    check_model(model_options(config),
                {.tensor_size = config.tensor_para_size, .pipeline_size = config.pipeline_para_size});
  };
  if (launch.size == 1) {
    if (config.transport != "auto") {
      fail(ErrorCode::kUsage,
           "--transport {} is for ranks in processes of their own, and this process is alone: start it by "
           "mpirun, torchrun or srun, or leave the flag out",
           config.transport);
    }
    if (ranks == 1) return {};
    check_layout();
    return make_thread_transports(ranks, timeout);
  }
  if (ranks == 1) {
    fail(ErrorCode::kUsage, "{} processes but 1 rank: add -tp {}, or -pp {}, or start one process",
         launch.size, launch.size, launch.size);
  }
  if (launch.size != ranks) {
    fail(ErrorCode::kUsage, "{} processes but {} ranks (-tp {} x -pp {}): start {} processes", launch.size,
         ranks, config.tensor_para_size, config.pipeline_para_size, ranks);
  }
  const bool by_mpi = launch.by == Launch::By::kMpi;
  if (config.transport == "gloo" && launch.address.empty()) {
    fail(ErrorCode::kUsage,
         "--transport gloo needs to know where the processes meet: set MASTER_ADDR and MASTER_PORT");
  }
  if (config.transport == "mpi" && !by_mpi)
    fail(ErrorCode::kUsage, "--transport mpi needs processes that mpirun or srun has started");
  check_layout();
  std::vector<std::unique_ptr<Transport>> mine;
  if (config.transport == "mpi" || (config.transport == "auto" && by_mpi)) {
    mine.push_back(make_mpi_transport(timeout));
  } else {
    mine.push_back(
        make_gloo_transport({.rank = launch.rank, .size = launch.size, .address = launch.address}, timeout));
  }
  return mine;
}

RankParts load_rank(const EngineConfig& config, std::unique_ptr<Transport> world) {
  const auto start = std::chrono::steady_clock::now();
  RankParts parts;
  Transport* const transport = world.get();
  parts.ranks.world = std::move(world);
  // Where they are not, all ranks know: none has to be told.
  if (transport && transport->name() != "threads") check_alike(*transport, common_settings(config));
  const Device device = parse_device(config.device);
  ModelOptions options = model_options(config);
  or_abort(parts.ranks, [&] {
    const Neighbours neighbours =
        transport ? find_neighbours(*transport) : Neighbours{.available_bytes = available_memory()};
    options.available_bytes = neighbours.available_bytes;
    for (const int rank : neighbours.ranks) {
      options.sharing.push_back({.tensor_size = config.tensor_para_size,
                                 .tensor_rank = rank % config.tensor_para_size,
                                 .pipeline_size = config.pipeline_para_size,
                                 .pipeline_rank = rank / config.tensor_para_size});
    }
    parts.ranks_here = neighbours.ranks_here;
    parts.threads = resolve_threads(config.threads, neighbours.sharing_cores);
    if (device == Device::kCpu) return;
    parts.device_index = device_of(config, neighbours);
    use_cuda_device(parts.device_index);
  });
  // Kernels are chosen by GPU, and what the process knows of one holds for all of its threads.
  if (transport && device == Device::kCuda)
    check_alike(*transport, fmt::format("a {}\n", cuda_properties().name));
  or_abort(parts.ranks, [&] {
    Arena arena;
    const Context context{
        .device = device, .device_index = parts.device_index, .threads = parts.threads, .arena = &arena};
    const bool dense = config.weight_scheme == kDenseScheme.name;
    // Ranks that share a layer have products of other shapes than the file was made for, and other schemes
    // than the dense one cut W as they widen it.
    const std::optional<GemmConfig> gemms =
        config.tensor_para_size == 1 && dense ? read_gemm_config(config) : std::nullopt;
    join_ranks(context, config.tensor_para_size, config.pipeline_para_size,
               choose_all_reduce(config, device, transport), parts.ranks);
    if (transport) transport->at("loading");
    std::future<void> prepared;
    const std::unique_ptr<Model> unloaded = build_model(options, parts.ranks.dist);
    check_model_fits(unloaded->config(), device);
    if (device == Device::kCuda && !config.deterministic_batching && dense) {
      prepared = prepare_library(context, unloaded->weights(), parts.ranks.dist,
                                 options.data_type.value_or(unloaded->config().checkpoint_dtype),
                                 resolve_chunk_tokens(device, config.max_chunk_tokens));
    }
    LoadedModel loaded = load_model(options, context, parts.ranks.dist);
    if (prepared.valid()) prepared.get();
    if (gemms) {
      follow_gemm_config(context, *gemms, loaded.model->config(), loaded.data_type);
      parts.tuned_gemms = static_cast<int64_t>(gemms->rows.size());
    }
    parts.model = std::move(loaded.model);
    parts.data_type = loaded.data_type;
    parts.weight_bytes = loaded.weight_bytes;
    parts.gemm_parameters = loaded.gemm_parameters;
    parts.gemm_bytes = loaded.gemm_bytes;
    parts.random_weights = options.dummy;
  });
  parts.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return parts;
}

std::unique_ptr<Worker> make_worker(RankParts& parts, const EngineConfig& config,
                                    int64_t& total_weight_bytes) {
  return or_abort(parts.ranks, [&] {
    const WorkerConfig how = worker_config(parts, config);
    auto worker = std::make_unique<Worker>(std::move(parts.model), parts.ranks, how);
    take_cache(*worker, parts, config, total_weight_bytes);
    return worker;
  });
}

void serve_rank(RankParts&& parts, const EngineConfig& config) {
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

void follow(const EngineConfig& asked) {
  check_config(asked);
  if (process_rank() == 0)
    fail(ErrorCode::kUsage, "follow() is for processes with a rank above 0: this one creates the engine");
  const TeamScope team;
  std::unique_ptr<Transport> world = std::move(join_world(asked).front());
  const EngineConfig config = with_startable_threads(asked, 1);
  serve_rank(load_rank(config, std::move(world)), config);
}

EngineConfig with_startable_threads(EngineConfig config, int ranks) {
  constexpr int kBeside = 4;
  const int each = resolve_threads(config.threads, ranks), needed = ranks * each + kBeside;
  const int have = startable_threads(needed);
  if (have == needed) return config;
  const int can = std::max(have - kBeside, 0) / ranks;
  constexpr const char* kLimit = "ulimit -u, or the limit on pids of a control group";
  if (can < 1 || config.threads > 0) {
    fail(ErrorCode::kResource,
         "{} x {} threads need {} with those around them, and this process may start {}: {} ({})", ranks,
         each, needed, have, can < 1 ? "raise the limit" : fmt::format("lower threads to {}", can), kLimit);
  }
  log::warn("this process may start {} threads ({}): {} compute instead of {}", have, kLimit, can, each);
  config.threads = can;
  return config;
}

int process_rank() { return read_launch().rank; }

bool said_by_first_rank() {
  const Launch launch = read_launch();
  return launch.by == Launch::By::kMpi && launch.rank > 0 && !mpi_started();
}

}  // namespace bolide
