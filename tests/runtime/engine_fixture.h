#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/engine.h"
#include "runtime/fake_model.h"
#include "runtime/fake_tokenizer.h"

namespace bolide {

// A LocalEngine over a fake model, and a twin of the model that says what is right.
struct EngineUnderTest {
  EngineConfig config;
  FakeModel::Options options;
  bool with_tokenizer = true;
  int64_t logit_block_bytes = int64_t{128} << 20;
  bool run_ahead = RUN_AHEAD;  // of the executable: all cases must hold both ways

  std::unique_ptr<LocalEngine> make() {
    EngineParts parts;
    auto made = std::make_unique<FakeModel>(options);
    model = made.get();
    parts.model = std::move(made);
    if (with_tokenizer) parts.tokenizer = std::make_unique<FakeTokenizer>();
    parts.logit_block_bytes = logit_block_bytes;
    parts.run_ahead = run_ahead;
    config.threads = 1;
    if (config.max_kv_tokens == 0) config.max_kv_tokens = 4096;
    return std::make_unique<LocalEngine>(std::move(parts), config);
  }
  FakeModel twin() const { return FakeModel(options); }

  const FakeModel* model = nullptr;  // lives as long as the engine
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
