#pragma once

#include <gmock/gmock.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/fake_model.h"
#include "engine/fake_tokenizer.h"
#include "engine/resolve.h"

namespace bolide {

// A LocalEngine over a fake model, and a twin of the model that says what is right. The executable says of
// how many ranks (TENSOR_SIZE, PIPELINE_SIZE), which are threads.
struct EngineUnderTest {
  static constexpr int kRanks = TENSOR_SIZE * PIPELINE_SIZE;

  EngineConfig config;
  FakeModel::Options options;
  std::function<void(int rank, FakeModel::Options&)> differ;  // may give a rank options of its own
  bool with_tokenizer = true;
  int64_t logit_block_bytes = int64_t{128} << 20;
  bool run_ahead = RUN_AHEAD;  // of the executable: all cases must hold both ways

  std::unique_ptr<LocalEngine> make() {
    config.threads = 1;
    if (config.max_kv_tokens == 0) config.max_kv_tokens = 4096;
    const RankConfig resolved = resolve(config);
    std::vector<std::unique_ptr<Transport>> world(1);
    if (kRanks > 1) world = make_thread_transports(kRanks, std::chrono::seconds(20));
    std::vector<std::function<void()>> others;
    for (int rank = 1; rank < kRanks; ++rank) {
      auto parts = std::make_shared<RankParts>();
      load(std::move(world[static_cast<size_t>(rank)]), *parts);
      others.push_back([parts, resolved] { serve_rank(std::move(*parts), resolved); });
    }
    EngineParts parts;
    load(std::move(world.front()), parts);
    model = static_cast<const FakeModel*>(parts.model.get());
    if (!others.empty()) parts.followers = std::make_unique<Followers>(std::move(others));
    if (with_tokenizer) parts.tokenizer = std::make_unique<FakeTokenizer>();
    parts.run_ahead = run_ahead;
    return std::make_unique<LocalEngine>(std::move(parts), resolved);
  }
  FakeModel twin() const { return FakeModel(options); }

  const FakeModel* model = nullptr;  // of rank 0; lives as long as the engine

 private:
  void load(std::unique_ptr<Transport> world, RankParts& parts) const {
    parts.ranks.world = std::move(world);
    join_ranks({}, TENSOR_SIZE, PIPELINE_SIZE, AllReduce::kOneShot, parts.ranks);
    FakeModel::Options part = options;
    part.dist = parts.ranks.dist;
    if (differ) differ(parts.ranks.rank(), part);
    parts.model = std::make_unique<FakeModel>(part);
    parts.logit_block_bytes = logit_block_bytes;
  }
};

inline Request request_of(std::vector<int32_t> ids, int32_t max_new_tokens) {
  Request request;
  request.input_ids = std::move(ids);
  request.max_new_tokens = max_new_tokens;
  return request;
}

// `count` ids that differ for different seeds.
inline std::vector<int32_t> prompt_of(uint64_t seed, int64_t count, int64_t vocab = 97) {
  std::vector<int32_t> ids;
  uint64_t state = seed * 2654435761u + 12345;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    ids.push_back(static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocab)));
  }
  return ids;
}

}  // namespace bolide
