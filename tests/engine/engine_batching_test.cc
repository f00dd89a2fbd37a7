// What a request gives must depend on the request alone: not on its neighbours, the chunks, the pages or who
// came when.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "engine/engine_fixture.h"
#include "support/expect_error.h"
#include "support/process_memory.h"

namespace bolide {
namespace {

using ::testing::ElementsAreArray;

// A mixed load: short and long prompts, greedy and sampled rows, some with logits and log-probabilities.
std::vector<Request> mixed_requests(int count) {
  std::vector<Request> requests;
  for (int i = 0; i < count; ++i) {
    Request request = request_of(prompt_of(i, 1 + (i * 7) % 45), 1 + (i * 5) % 17);
    request.tag = 1000 + i;
    request.sampling.seed = i % 3;
    if (i % 2) request.sampling.top_k = 1 + i % 11;
    if (i % 5 == 0) request.sampling.top_p = 0.8f;
    request.sampling.temperature = 0.5f + static_cast<float>(i % 4) * 0.25f;
    request.return_logits = i % 4 == 1;
    request.return_log_probs = i % 3 == 1;
    requests.push_back(std::move(request));
  }
  return requests;
}

void expect_same(const Result& got, const Result& want, const std::string& where) {
  EXPECT_EQ(got.output_ids, want.output_ids) << where;
  EXPECT_EQ(got.text, want.text) << where;
  // Tensor ranks add their shares of a row's total, unless the batch has made them send whole rows.
  constexpr float kApart = TENSOR_SIZE > 1 ? 1e-5f : 0;
  EXPECT_THAT(got.log_probs, testing::Pointwise(testing::FloatNear(kApart), want.log_probs)) << where;
  EXPECT_TRUE(got.logits == want.logits) << where;
  EXPECT_EQ(got.finish_reason, want.finish_reason) << where;
  EXPECT_EQ(got.prompt_tokens, want.prompt_tokens) << where;
}

// Each request alone on an engine that takes every prompt whole.
std::vector<Result> alone(std::vector<Request> requests) {
  EngineUnderTest test;
  const auto engine = test.make();
  std::vector<Result> results;
  for (Request& request : requests) results.push_back(engine->generate({std::move(request)}).front());
  return results;
}

TEST(EngineBatching, GreedyIdsAreTheModels) {
  EngineUnderTest test;
  const auto engine = test.make();
  for (int64_t length : {1, 15, 16, 17, 40}) {
    const std::vector<int32_t> prompt = prompt_of(length, length);
    const Result result = engine->generate({request_of(prompt, 20)}).front();
    EXPECT_THAT(result.output_ids, ElementsAreArray(test.twin().expected_ids(prompt, 20))) << length;
    EXPECT_EQ(result.finish_reason, FinishReason::kLength);
    EXPECT_EQ(result.prompt_tokens, length);
  }
}

// With a window a text needs the pages that some layer still sees, however long it grows: more requests run
// at once than the cache could hold whole, each of them longer than all of it, and pages go from one to
// another.
TEST(EngineBatching, AWindowBoundsWhatATextTakesOfTheCache) {
  EngineUnderTest test;
  test.options.window = 20;
  test.config = {.max_batch_size = 5, .max_kv_tokens = 160, .page_size = 4, .max_chunk_tokens = 13};
  const auto engine = test.make();
  std::vector<Request> requests;
  std::vector<std::vector<int32_t>> wanted;
  for (int i = 0; i < 12; ++i) {
    const int64_t prompt = i % 3 == 0 ? 170 : 1 + i * 5, made = i % 4 == 1 ? 180 : 1 + i * 3;
    requests.push_back(request_of(prompt_of(static_cast<uint64_t>(i), prompt), static_cast<int32_t>(made)));
    wanted.push_back(test.twin().expected_ids(requests.back().input_ids, made));
  }
  const std::vector<Result> results = engine->generate(std::move(requests));
  for (size_t i = 0; i < results.size(); ++i)
    EXPECT_THAT(results[i].output_ids, ElementsAreArray(wanted[i])) << i;
  // Without one, or with one that is wider than the cache, the same is refused.
  for (const int64_t window : {0, 150}) {
    test.options.window = window;
    const auto whole = test.make();
    EXPECT_ERROR(whole->generate({request_of(prompt_of(1, 170), 1)}), ErrorCode::kUsage,
                 "a prompt of 170 tokens and 1 new ones exceed the cache of 160 tokens");
  }
  test.options.window = 20;
  EXPECT_ERROR(test.make()->generate({request_of({1}, std::numeric_limits<int32_t>::max())}),
               ErrorCode::kUsage, "exceed the 1073741824 that a text can have");
}

TEST(EngineBatching, ResultsAreTheSameInEveryCompany) {
  constexpr int kRequests = 60;
  const std::vector<Result> want = alone(mixed_requests(kRequests));
  struct Shape {
    int64_t batch, chunk, page, kv;
  };
  for (const Shape& shape : {Shape{1, 512, 16, 128}, Shape{64, 512, 16, 8192}, Shape{7, 5, 4, 300},
                             Shape{33, 1, 1, 1000}, Shape{3, 16, 16, 64}}) {
    EngineUnderTest test;
    test.config.max_batch_size = shape.batch;
    test.config.max_chunk_tokens = shape.chunk;
    test.config.page_size = shape.page;
    test.config.max_kv_tokens = shape.kv;
    const auto engine = test.make();
    const std::vector<Result> got = engine->generate(mixed_requests(kRequests));
    ASSERT_EQ(got.size(), want.size());
    for (int i = 0; i < kRequests; ++i)
      expect_same(got[i], want[i],
                  fmt::format("request {} at batch {} chunk {}", i, shape.batch, shape.chunk));
    EXPECT_EQ(engine->free_pages(), engine->info().kv_capacity_tokens / shape.page);
  }
}

TEST(EngineBatching, RandomArrivalAndCancellationLeaveOthersAlone) {
  constexpr int kRequests = 90, kThreads = 3;
  const std::vector<Result> want = alone(mixed_requests(kRequests));
  EngineUnderTest test;
  test.config.max_batch_size = 8;
  test.config.max_chunk_tokens = 24;
  test.config.page_size = 4;
  test.config.max_kv_tokens = 400;
  test.options.step_time = std::chrono::microseconds(50);
  const auto engine = test.make();
  std::vector<Result> got(kRequests);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      std::vector<Request> requests = mixed_requests(kRequests);
      std::vector<std::pair<int, uint64_t>> submitted;
      for (int i = t; i < kRequests; i += kThreads) {
        submitted.emplace_back(i, engine->submit(std::move(requests[i])));
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
        if (random() % 4 == 0) engine->cancel(submitted[random() % submitted.size()].second);
      }
      for (const auto& entry : submitted) got[entry.first] = engine->wait(entry.second);
    });
  }
  for (std::thread& thread : threads) thread.join();
  int whole = 0, cancelled = 0;
  for (int i = 0; i < kRequests; ++i) {
    if (got[i].finish_reason == FinishReason::kCancelled) {
      // What was made until then is the beginning of the whole.
      const std::vector<int32_t>& ids = want[i].output_ids;
      ASSERT_LE(got[i].output_ids.size(), ids.size());
      EXPECT_TRUE(std::equal(got[i].output_ids.begin(), got[i].output_ids.end(), ids.begin())) << i;
      ++cancelled;
    } else {
      expect_same(got[i], want[i], fmt::format("request {}", i));
      ++whole;
    }
  }
  EXPECT_GT(whole, kRequests / 4);
  EXPECT_EQ(engine->free_pages(), 100);
  RecordProperty("cancelled", cancelled);
}

TEST(EngineBatching, SampledIdsDependOnSeedAndTag) {
  EngineUnderTest test;
  const auto engine = test.make();
  const auto run = [&](uint64_t seed, uint64_t tag) {
    Request request = request_of(prompt_of(5, 9), 12);
    request.sampling = {.top_k = 50, .seed = seed};
    request.tag = tag;
    return engine->generate({std::move(request)}).front().output_ids;
  };
  const std::vector<int32_t> base = run(1, 1);
  EXPECT_EQ(run(1, 1), base);
  EXPECT_NE(run(2, 1), base);
  EXPECT_NE(run(1, 2), base);
}

// Its number and its neighbours have no say.
TEST(EngineBatching, ASeedFixesARequest) {
  const auto make = [](std::optional<uint64_t> tag) {
    Request request = request_of(prompt_of(5, 9), 12);
    request.sampling = {.top_k = 50, .seed = 3};
    request.tag = tag;
    return request;
  };
  EngineUnderTest test;
  const auto engine = test.make();
  const std::vector<Result> results =
      engine->generate({make(1), make(std::nullopt), make(std::nullopt), make(0)});
  EXPECT_NE(results[0].output_ids, results[1].output_ids);
  EXPECT_EQ(results[1].output_ids, results[2].output_ids);
  EXPECT_EQ(results[1].output_ids, results[3].output_ids);
  EXPECT_EQ(engine->generate({make(std::nullopt)}).front().output_ids, results[1].output_ids);
}

TEST(EngineBatching, ContinuedSequenceGoesOnAsItWouldHave) {
  EngineUnderTest test;
  const auto engine = test.make();
  Request whole = request_of(prompt_of(2, 6), 10);
  whole.sampling = {.top_k = 20, .seed = 5};
  whole.tag = 9;
  Request rest = whole;
  const std::vector<int32_t> ids = engine->generate({whole}).front().output_ids;
  rest.input_ids.insert(rest.input_ids.end(), ids.begin(), ids.begin() + 4);
  rest.max_new_tokens = 6;
  EXPECT_THAT(engine->generate({rest}).front().output_ids,
              ElementsAreArray(std::vector<int32_t>(ids.begin() + 4, ids.end())));
}

TEST(EngineBatching, EveryPromptRowsLogits) {
  for (int64_t chunk : {512, 7}) {
    for (int64_t block_bytes : {int64_t{1} << 27, int64_t{1}}) {  // all rows at once, or 16 at a time
      EngineUnderTest test;
      test.config.max_chunk_tokens = chunk;
      test.logit_block_bytes = block_bytes;
      const auto engine = test.make();
      const FakeModel twin = test.twin();
      std::vector<Request> requests;
      for (int64_t length : {50, 1, 33}) {
        requests.push_back(request_of(prompt_of(length, length), length == 33 ? 3 : 0));
        requests.back().return_logits = true;
      }
      const std::vector<Request> sent = requests;
      const std::vector<Result> results = engine->generate(std::move(requests));
      for (size_t i = 0; i < results.size(); ++i) {
        std::vector<float> want;
        for (size_t n = 1; n <= sent[i].input_ids.size(); ++n) {
          const std::vector<float> row =
              twin.expected_logits({sent[i].input_ids.begin(), sent[i].input_ids.begin() + n});
          want.insert(want.end(), row.begin(), row.end());
        }
        EXPECT_TRUE(results[i].logits == want) << i;
        EXPECT_EQ(results[i].output_ids, twin.expected_ids(sent[i].input_ids, sent[i].max_new_tokens));
        EXPECT_EQ(results[i].finish_reason, FinishReason::kLength);
      }
    }
  }
}

TEST(EngineBatching, LogProbabilitiesAreOfTheChosenIds) {
  EngineUnderTest test;
  const auto engine = test.make();
  Request request = request_of(prompt_of(4, 10), 8);
  request.return_log_probs = true;
  request.sampling = {.temperature = 0.7f, .top_k = 5, .seed = 8};
  std::vector<int32_t> tokens = request.input_ids;
  const Result result = engine->generate({request, request_of(prompt_of(5, 3), 9)}).front();
  ASSERT_EQ(result.log_probs.size(), 8u);
  for (size_t i = 0; i < 8; ++i) {
    const std::vector<float> row = test.twin().expected_logits(tokens);
    double total = 0;
    for (float x : row) total += std::exp(x / 0.7);
    EXPECT_NEAR(result.log_probs[i], row[result.output_ids[i]] / 0.7 - std::log(total), 1e-4) << i;
    tokens.push_back(result.output_ids[i]);
  }
}

TEST(EngineBatching, ObserverSeesEveryStepBeforeTheResults) {
  EngineUnderTest test;
  test.config.max_chunk_tokens = 10;
  const auto engine = test.make();
  std::mutex mutex;
  int64_t prefill = 0, decode = 0, steps = 0;
  engine->set_step_observer([&](const StepInfo& info) {
    const std::lock_guard lock(mutex);
    prefill += info.prefill_tokens;
    decode += info.decode_rows;
    ++steps;
    EXPECT_LE(info.prefill_tokens, 10);
    EXPECT_GT(info.seconds, 0);
  });
  engine->generate({request_of(prompt_of(1, 25), 4), request_of(prompt_of(2, 3), 6)});
  const std::lock_guard lock(mutex);
  EXPECT_EQ(prefill, 28);
  EXPECT_EQ(decode, 3 + 5);  // the first new id comes from the prompt's last row
  EXPECT_EQ(steps, test.model->steps.load());
}

TEST(EngineBatching, FinishedPlaceIsTakenAtTheNextStep) {
  EngineUnderTest test;
  test.config.max_batch_size = 2;
  const auto engine = test.make();
  // One long request and ten of one id each: with every freed place taken at once, ten steps do. In a
  // pipeline a step has one of the two sequences.
  std::vector<Request> requests = {request_of({1, 2, 3}, 10)};
  for (int i = 0; i < 10; ++i) requests.push_back(request_of({i}, 1));
  engine->generate(std::move(requests));
  EXPECT_LE(test.model->steps.load(), PIPELINE_SIZE * 10);
}

TEST(EngineBatching, TwoThousandRequestsKeepMemoryFlat) {
  EngineUnderTest test;
  test.config.max_batch_size = 16;
  test.config.max_chunk_tokens = 64;
  test.config.max_kv_tokens = 2048;
  const auto engine = test.make();
  const auto round = [&](int first, int count) {
    std::vector<uint64_t> ids;
    for (int i = first; i < first + count; ++i) {
      Request request = request_of(prompt_of(i, 1 + i % 40), 1 + i % 13);
      request.return_logits = i % 10 == 0;
      request.stop = {"zzq"};
      ids.push_back(engine->submit(std::move(request)));
      if (i % 7 == 0) engine->cancel(ids.back());
    }
    for (uint64_t id : ids) engine->wait(id);
  };
  round(0, 400);
  const int64_t warm = process_memory().resident;
  for (int i = 400; i < 2000; i += 400) round(i, 400);
  EXPECT_EQ(engine->free_pages(), 128);
  // A leak of one result a request would be megabytes: logits alone are 0.4 KiB a prompt token.
  // AddressSanitizer keeps freed memory for a while, and finds leaks itself.
  if (!kAddressSanitizer) {
    EXPECT_LT(process_memory().resident - warm, int64_t{2} << 20);
  }
}

}  // namespace
}  // namespace bolide
