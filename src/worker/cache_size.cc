#include "worker/cache_size.h"

#include <algorithm>

#include "base/log.h"
#include "machine/resources.h"
#include "ops/limits.h"
#include "worker/memory.h"
#include "worker/world.h"

namespace bolide {
namespace {

// What a rank tells the others once it has all memory but its cache.
struct Loaded {
  int64_t weight_bytes = 0;
  int64_t tokens = 0;  // on the CPU: of cache, as far as this rank's part of the memory goes
  GpuShare share;      // on a GPU
};
Loaded loaded(const RankConfig& config, const RankParts& parts, const Model& model, Device device) {
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
int64_t cache_tokens(const RankConfig& config, const RankParts& parts, const Model& model, Device device,
                     double fraction, int64_t& total_weight_bytes) {
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
int64_t cache_pages(const RankConfig& config, const KvCacheConfig& cache, int64_t tokens) {
  const int64_t pages = pages_for(tokens, config.page_size);
  const int64_t most = most_pages(cache.device, cache.kv_heads, config.page_size);
  if (config.max_kv_tokens > 0 && pages > most) {
    fail(ErrorCode::kUsage, "max_kv_tokens is {}: with {} key heads a rank the cache has {} tokens at most",
         config.max_kv_tokens, cache.kv_heads, most * config.page_size);
  }
  return std::min(pages, most);
}

// Whether all ranks could.
bool all_could(const ProcessGroup& ranks, bool mine) {
  if (ranks.alone()) return mine;
  const std::byte word{mine};
  const std::vector<std::string> words = tell_all(*ranks.world, {&word, 1});
  return std::all_of(words.begin(), words.end(), [](const std::string& each) { return each[0] != 0; });
}

}  // namespace

// A size that nobody asked for is that of the memory that was free a moment ago. Where somebody else has
// taken of it meanwhile, or where it is not in one piece, all ranks look again and want a little less.
int64_t take_cache(Worker& worker, const RankParts& parts, const RankConfig& config) {
  int64_t total_weight_bytes = 0;
  const Device device = worker.context().device;
  const Model& model = worker.model();
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
    if (all_could(parts.ranks, could)) return total_weight_bytes;
    worker.drop_cache();
    fraction *= 0.97;
  }
}

}  // namespace bolide
