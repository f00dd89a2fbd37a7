#include <algorithm>

#include "base/file.h"
#include "base/parallel.h"
#include "engine/engine.h"
#include "machine/ignored_variables.h"
#include "worker/check.h"

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

}  // namespace

std::unique_ptr<Engine> Engine::create(const EngineConfig& asked) {
  check_config(asked);
  warn_ignored_variables();
  if (const int rank = process_rank(); rank > 0)
    fail(ErrorCode::kUsage, "Engine::create() is for process 0, and this is process {}: call follow()", rank);
  const TeamScope team;
  EngineParts parts;
  parts.tokenizer = load_tokenizer(asked);  // first: it is quick, and its faults should not wait for weights
  std::vector<std::unique_ptr<Transport>> world = join_world(asked);
  const EngineConfig config = with_startable_threads(asked, std::max(static_cast<int>(world.size()), 1));
  std::vector<std::function<void()>> others;
  EngineConfig theirs = config;
  theirs.on_load = nullptr;  // two that count at once would be no use to anybody
  for (size_t rank = 1; rank < world.size(); ++rank) {
    // Shared, because a std::function is copied.
    const auto transport = std::make_shared<std::unique_ptr<Transport>>(std::move(world[rank]));
    others.push_back([theirs, transport] { serve_rank(load_rank(theirs, std::move(*transport)), theirs); });
  }
  if (!others.empty()) parts.followers = std::make_unique<Followers>(std::move(others));
  static_cast<RankParts&>(parts) = load_rank(config, world.empty() ? nullptr : std::move(world.front()));
  parts.run_ahead = parse_device(config.device) == Device::kCuda;
  return std::make_unique<LocalEngine>(std::move(parts), config);
}

}  // namespace bolide
