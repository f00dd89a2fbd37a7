// The scratch memory that is planned, beside what steps take. Built once for each device (TEST_DEVICE).
#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "decode/slices.h"
#include "sched/scheduler.h"
#include "worker/memory.h"
#include "worker/rank.h"
#include "worker/step.h"
#include "worker/world.h"

namespace bolide {
namespace {

constexpr Device kDevice = std::string_view(TEST_DEVICE) == "cuda" ? Device::kCuda : Device::kCpu;

struct Case {
  const char* model;
  const char* scheme = "dense";
  int tensor_size = 1, pipeline_size = 1;
};
// For the names of tests.
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.model << " " << c.scheme << " tp " << c.tensor_size << " pp " << c.pipeline_size;
}

// Sequences that bring as many prompt tokens each, in one step.
struct Size {
  int64_t sequences = 1, length = 1;
};

enum class Draw : uint8_t { kGreedy, kTopK, kTopP, kKeep };

void fill(const Size& size, Draw draw, int64_t vocab, RequestState& request) {
  for (int64_t i = 0; i < size.length; ++i) request.tokens.push_back(static_cast<int32_t>(i % vocab));
  request.prompt_tokens = size.length;
  request.max_new_tokens = 1;
  request.return_log_probs = draw == Draw::kTopK || draw == Draw::kTopP;
  request.return_logits = draw == Draw::kKeep;
  request.sampling.top_k = draw == Draw::kGreedy || draw == Draw::kKeep ? 1 : 0;
  if (draw == Draw::kTopK) request.sampling.top_k = static_cast<int32_t>(std::min(vocab - 1, kMaxCandidates));
  if (draw == Draw::kTopP) request.sampling.top_p = 0.9f;
}

// Of rank 0: what a worker's steps of this size took at most, and what is planned for them.
struct Bytes {
  int64_t taken = 0, planned = 0;
};

RankConfig config_of(const Case& c, const Size& size) {
  RankConfig config{.device = kDevice,
                    .tensor_size = c.tensor_size,
                    .pipeline_size = c.pipeline_size,
                    .threads = c.tensor_size * c.pipeline_size == 1 ? 2 : 1,
                    .max_batch_size = size.sequences,
                    .chunk_tokens = size.sequences * size.length,
                    .max_kv_tokens = 4 * size.sequences * (size.length + 32),
                    .graphs = false};
  config.model.path = std::string(BOLIDE_SOURCE_DIR "/tests/golden/") + c.model;
  config.model.scheme = &find_weight_scheme(c.scheme);
  if (kDevice == Device::kCuda) config.gpus.assign(static_cast<size_t>(config.ranks()), 0);
  return config;
}

Bytes run(const Case& c, const Size& size) {
  const RankConfig config = config_of(c, size);
  std::vector<std::unique_ptr<Transport>> world = join_world(config);
  std::vector<std::function<void()>> others;
  const auto load = [config](std::unique_ptr<Transport> transport) {
    RankParts parts = load_rank(config, std::move(transport));
    parts.logit_block_bytes = 1;  // 16 rows
    return parts;
  };
  for (size_t rank = 1; rank < world.size(); ++rank) {
    const auto transport = std::make_shared<std::unique_ptr<Transport>>(std::move(world[rank]));
    others.push_back([=] { serve_rank(load(std::move(*transport)), config); });
  }
  const Followers followers(std::move(others));
  RankParts parts = load(world.empty() ? nullptr : std::move(world.front()));
  Bytes bytes;
  bytes.planned = step_memory(*parts.model, parts.ranks.dist, parts.data_type,
                              {.device = kDevice,
                               .threads = parts.threads,
                               .tokens = size.sequences * size.length,
                               .logit_rows = size.sequences})
                      .scratch;
  int64_t total = 0;
  const std::unique_ptr<Worker> worker = make_worker(parts, config, total);
  for (const Draw draw : {Draw::kGreedy, Draw::kTopK, Draw::kTopP, Draw::kKeep}) {
    Scheduler scheduler({.max_batch_size = size.sequences,
                         .max_chunk_tokens = config.chunk_tokens,
                         .pages = worker->cache().config().pages,
                         .page_size = config.page_size});
    std::deque<RequestState> requests;
    for (int64_t s = 0; s < size.sequences; ++s) {
      fill(size, draw, worker->model().shape().vocab_size, requests.emplace_back());
      scheduler.add(requests.back());
    }
    const StepPlan& plan = scheduler.next_step();
    EXPECT_EQ(plan.batch.tokens(), size.sequences * size.length);
    StepResult result;
    worker->pipeline().announce(plan);
    launch_step(*worker, plan, result);
    collect_step(*worker, result);
    for (RequestState& request : requests) scheduler.remove(request);
  }
  worker->pipeline().stop();
  bytes.taken = static_cast<int64_t>(worker->context().arena->peak());
  return bytes;
}

class StepMemoryOf : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (kDevice == Device::kCpu) return;
    if (cuda_device_count() == 0) GTEST_SKIP() << "NOT RUN: this machine has no GPU";
    use_cuda_device(0);
  }
};

// To the byte on the CPU and, on a GPU, where the planned kernels are those that run: with more rows than any
// kernel of few rows takes.
TEST_P(StepMemoryOf, IsWhatTheLargestStepTakes) {
  for (const Size& size : {Size{1, 1}, Size{16, 3}, Size{16, 17}}) {
    SCOPED_TRACE(testing::Message() << size.sequences << " x " << size.length);
    const Bytes bytes = run(GetParam(), size);
    EXPECT_GT(bytes.taken, 0);
    if (kDevice == Device::kCpu || size.sequences * size.length > 192) {
      EXPECT_EQ(bytes.taken, bytes.planned);
    } else {
      EXPECT_LE(bytes.taken, bytes.planned);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Families, StepMemoryOf,
    testing::Values(Case{"heads12_fp32_sharded"}, Case{"heads12_postln_bf16"},
                    Case{"gpt2_scales_untied_fp16"}, Case{"llama_groups_fp32"}, Case{"llama_yarn_bf16"},
                    Case{"mistral_window_fp32"}, Case{"opt_postnorm_projected_fp32"},
                    Case{"opt_no_bias_bare_norms_projected_fp16"}, Case{"llama_yarn_bf16", "int8"},
                    Case{"heads12_postln_bf16", "int8"}, Case{"heads12_fp32_sharded", "dense", 2},
                    Case{"llama_groups_fp32", "dense", 4}, Case{"opt_postnorm_projected_fp32", "dense", 2},
                    Case{"llama_yarn_bf16", "int8", 2}, Case{"mistral_window_fp32", "dense", 2, 2}));

}  // namespace
}  // namespace bolide
