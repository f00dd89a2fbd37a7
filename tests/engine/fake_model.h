#pragma once

// A model whose next id is an exact integer hash of everything that the cache holds for the sequence, layer
// by layer. A token that is missing, misplaced, stale or of another sequence changes the ids, so paging,
// chunking and batching mistakes cannot hide; and there is no rounding, so results must be equal to the bit.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "models/model.h"
#include "ops/candidates.h"

namespace bolide {

class FakeModel : public Model {
 public:
  struct Options {
    int64_t vocab = 97;
    int64_t layers = 2;
    int64_t max_positions = 0;
    int64_t window = 0;  // of all layers
    int64_t head_size = 2;
    std::vector<int32_t> end_ids;
    int32_t throw_on_id = -1;      // a batch with this id makes run_layers throw
    int32_t no_memory_on_id = -1;  // a batch with this id finds no memory in run_layers
    int32_t nan_on_id = -1;        // a row of this id has NaN logits
    std::chrono::microseconds step_time{0};
    Dist dist;  // its layers and its columns of the logits; what the cache holds is the same on tensor ranks
  };
  explicit FakeModel(const Options& options) : options_(options) {
    config_.architecture = "Fake";
    config_.vocab_size = options.vocab;
    config_.hidden_size = 2;
    config_.layers = options.layers;
    config_.heads = config_.kv_heads = options.dist.tensor_size;
    config_.head_size = options.head_size;
    config_.inter_size = 2;
    config_.max_positions = options.max_positions;
    if (options.window > 0) config_.windows.assign(static_cast<size_t>(options.layers), options.window);
    config_.end_ids = options.end_ids;
  }

  const ModelShape& shape() const override { return config_; }

  void embed(const Context&, const BatchView& batch, View hidden) const override {
    if (options_.step_time.count() > 0) std::this_thread::sleep_for(options_.step_time);
    float* out = hidden.as<float>();
    for (int64_t t = 0; t < batch.tokens(); ++t) {
      const int32_t id = id_of(batch, t);
      out[2 * t] = static_cast<float>(id + 1);
      out[2 * t + 1] = id == options_.nan_on_id ? 1.0f : 0.0f;
    }
  }

  void run_layers(const Context&, const KvView& kv, View hidden) const override {
    const BatchView& batch = kv.batch();
    for (int64_t t = 0; t < batch.tokens(); ++t) {
      if (options_.throw_on_id >= 0 && id_of(batch, t) == options_.throw_on_id)
        throw std::runtime_error("the fake model was told to fail");
      if (options_.no_memory_on_id >= 0 && id_of(batch, t) == options_.no_memory_on_id)
        throw std::bad_alloc();
    }
    float* values = hidden.as<float>();
    const Dist::Range layers = options_.dist.stage_layers(config_.layers);
    for (int64_t l = layers.begin; l < layers.end; ++l) {
      const PagedKv pages = kv.layer(l - layers.begin);
      float* k = pages.k.as<float>();
      float* v = pages.v.as<float>();
      for (int64_t t = 0; t < batch.tokens(); ++t) {
        for (int64_t i = 0; i < 2; ++i) {
          k[batch.slots[t] * 2 + i] = values[2 * t];
          v[batch.slots[t] * 2 + i] = static_cast<float>(batch.positions[t]);
        }
      }
      for (int64_t s = 0; s < batch.sequences(); ++s) {
        const int64_t begin = batch.query_offsets[s], end = batch.query_offsets[s + 1];
        for (int64_t t = begin; t < end; ++t) {
          int64_t hash = l + 1;
          const int64_t seen = batch.kv_lengths[s] - (end - 1 - t);
          for (int64_t j = first_seen(seen); j < seen; ++j) {
            const int64_t page = pages.page_table[s * pages.max_pages + j / pages.page_size()];
            const int64_t slot = page * pages.page_size() + j % pages.page_size();
            hash = mix(hash, static_cast<int64_t>(k[slot * 2]), static_cast<int64_t>(v[slot * 2 + 1]));
          }
          values[2 * t] = static_cast<float>(hash);
        }
      }
    }
    steps.fetch_add(1);
  }

  void logits(const Context& context, const View& hidden, View logits, const Argmax& argmax) const override {
    const Dist::Range ids = options_.dist.vocab_part(config_.vocab_size);
    for (int64_t r = 0; r < hidden.rows(); ++r) {
      const float* row = hidden.as<float>() + r * hidden.row_stride;
      for (int64_t c = ids.begin; c < ids.end; ++c)
        logits.as<float>()[r * logits.row_stride + c - ids.begin] =
            row[1] == 0 ? logit(static_cast<int64_t>(row[0]), c) : std::numeric_limits<float>::quiet_NaN();
    }
    if (argmax.wanted())
      candidates(context,
                 {.logits = logits, .begin = argmax.begin, .values = argmax.values, .ids = argmax.ids});
  }

  void prepare(const Context&) override {}
  std::vector<WeightSpec> weights() override { return {}; }

  // The logits of a sequence's last token, computed without cache, batch or pages.
  std::vector<float> expected_logits(const std::vector<int32_t>& tokens) const {
    std::vector<int64_t> values;
    for (int32_t id : tokens) values.push_back(id + 1);
    for (int64_t l = 0; l < config_.layers; ++l) {
      std::vector<int64_t> next;
      for (size_t t = 0; t < values.size(); ++t) {
        int64_t hash = l + 1;
        for (auto j = static_cast<size_t>(first_seen(static_cast<int64_t>(t) + 1)); j <= t; ++j)
          hash = mix(hash, values[j], static_cast<int64_t>(j));
        next.push_back(hash);
      }
      values = next;
    }
    std::vector<float> row;
    for (int64_t c = 0; c < config_.vocab_size; ++c) row.push_back(logit(values.back(), c));
    return row;
  }

  // Greedy continuation by the same definition.
  std::vector<int32_t> expected_ids(std::vector<int32_t> tokens, int64_t count) const {
    std::vector<int32_t> made;
    for (int64_t i = 0; i < count; ++i) {
      const std::vector<float> row = expected_logits(tokens);
      made.push_back(static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin()));
      tokens.push_back(made.back());
    }
    return made;
  }

  mutable std::atomic<int64_t> steps{0};

 private:
  // Of the keys of the last of so many tokens.
  int64_t first_seen(int64_t tokens) const {
    return options_.window > 0 ? std::max<int64_t>(tokens - options_.window, 0) : 0;
  }
  static constexpr int64_t kPrime = 1048573;  // hashes stay exact in a float
  static int32_t id_of(const BatchView& batch, int64_t t) {
    const int32_t id = batch.token_ids[t];
    return id < 0 ? batch.previous_ids[-1 - id] : id;
  }
  static int64_t mix(int64_t hash, int64_t k, int64_t v) {
    return (hash * 31 + k * 7919 + v * 17 + 3) % kPrime;
  }
  static float logit(int64_t hash, int64_t id) {
    return static_cast<float>((hash * 7 + (id + 11) * (hash % 1009 + 13) * 37) % 4093) / 512.0f;
  }

  Options options_;
  ModelConfig config_;
};

}  // namespace bolide
