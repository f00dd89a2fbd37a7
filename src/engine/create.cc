#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/threads.h"
#include "engine/engine.h"
#include "engine/resolve.h"
#include "machine/ignored_variables.h"
#include "machine/resources.h"
#include "worker/world.h"

// From files to an engine.
namespace bolide {
namespace {

// The tokenizer of the folder that the user named, or the model's own if it has one.
std::unique_ptr<Tokenizer> load_tokenizer(const EngineConfig& config) {
  if (!config.tokenizer.empty()) return Tokenizer::load(config.tokenizer, config.tokenizer_options);
  if (!is_folder(config.model)) return nullptr;
  try {
    return Tokenizer::load(config.model, config.tokenizer_options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return nullptr;
  }
}

// With as many threads as can be started, and a warning, where nobody asked for a number; else kResource
// where those are too few. For so many ranks of this process: a team of OpenMP each, the engine's own thread,
// and a few for who calls it and for teams that end late.
RankConfig with_startable_threads(RankConfig config, int ranks) {
  constexpr int kBeside = 4;
  const int each = config.threads > 0 ? config.threads : default_threads(ranks),
            needed = ranks * each + kBeside;
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

}  // namespace

std::unique_ptr<Engine> Engine::create(const EngineConfig& asked) {
  const RankConfig resolved = resolve(asked);
  warn_ignored_variables();
  if (const int rank = process_rank(); rank > 0)
    fail(ErrorCode::kUsage, "Engine::create() is for process 0, and this is process {}: call follow()", rank);
  const TeamScope team;
  EngineParts parts;
  parts.tokenizer = load_tokenizer(asked);  // first: it is quick, and its faults should not wait for weights
  std::vector<std::unique_ptr<Transport>> world = join_world(resolved);
  const RankConfig config = with_startable_threads(resolved, std::max(static_cast<int>(world.size()), 1));
  std::vector<std::function<void()>> others;
  RankConfig theirs = config;
  theirs.model.on_load = nullptr;  // two that count at once would be no use to anybody
  for (size_t rank = 1; rank < world.size(); ++rank) {
    // Shared, because a std::function is copied.
    const auto transport = std::make_shared<std::unique_ptr<Transport>>(std::move(world[rank]));
    others.push_back([theirs, transport] { serve_rank(load_rank(theirs, std::move(*transport)), theirs); });
  }
  if (!others.empty()) parts.followers = std::make_unique<Followers>(std::move(others));
  static_cast<RankParts&>(parts) = load_rank(config, world.empty() ? nullptr : std::move(world.front()));
  parts.run_ahead = config.device == Device::kCuda;
  parts.micro_batch_tokens = asked.micro_batch_tokens;
  return std::make_unique<LocalEngine>(std::move(parts), config);
}

void follow(const EngineConfig& asked) {
  const RankConfig resolved = resolve(asked);
  if (process_rank() == 0)
    fail(ErrorCode::kUsage, "follow() is for processes with a rank above 0: this one creates the engine");
  const TeamScope team;
  std::unique_ptr<Transport> world = std::move(join_world(resolved).front());
  const RankConfig config = with_startable_threads(resolved, 1);
  serve_rank(load_rank(config, std::move(world)), config);
}

}  // namespace bolide
