// Requests that cannot run, faults while they run, and cancellation.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <new>
#include <stdexcept>
#include <thread>

#include "engine/engine_fixture.h"
#include "engine/resolve.h"
#include "support/expect_error.h"
#include "tensor/has_cuda.h"

namespace {

// While it is set, `new` fails on all threads but that one.
std::atomic<bool> others_have_no_memory{false};
std::thread::id has_memory;

}  // namespace

// Not inlined: g++ would take malloc() and free() for pairs that do not match.
[[gnu::noinline]] void* operator new(size_t size) {
  if (others_have_no_memory && std::this_thread::get_id() != has_memory) throw std::bad_alloc();
  if (void* memory = std::malloc(size > 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace bolide {
namespace {

struct OthersHaveNoMemory {
  OthersHaveNoMemory() {
    has_memory = std::this_thread::get_id();
    others_have_no_memory = true;
  }
  ~OthersHaveNoMemory() { others_have_no_memory = false; }
};

TEST(EngineFaults, RequestsThatCanNeverRun) {
  EngineUnderTest test;
  test.config.max_kv_tokens = 50;  // 4 pages: 64 tokens
  const auto engine = test.make();
  const auto expect = [&](const std::string& part, auto change) {
    Request request = request_of({1, 2, 3}, 4);
    change(request);
    EXPECT_ERROR(engine->submit(request), ErrorCode::kUsage, part);
  };
  expect("prompt is empty", [](Request& r) { r.input_ids.clear(); });
  expect("prompt is empty", [](Request& r) { r.input_ids.clear(), r.prompt = "123"; });  // encodes to nothing
  expect("both a prompt and input_ids", [](Request& r) { r.prompt = "abc"; });
  expect("token id 97 (number 1 of the prompt) is outside", [](Request& r) { r.input_ids = {1, 97}; });
  expect("token id -1", [](Request& r) { r.input_ids = {-1}; });
  expect("62 new ones exceed the cache of 64 tokens", [](Request& r) { r.max_new_tokens = 62; });
  expect("exceed the cache", [](Request& r) { r.max_new_tokens = std::numeric_limits<int32_t>::max(); });
  expect("max_new_tokens is -1", [](Request& r) { r.max_new_tokens = -1; });
  expect("max_new_tokens is 0: it must be at least 1, unless logits alone are wanted (return_logits)",
         [](Request& r) { r.max_new_tokens = 0; });
  expect("temperature", [](Request& r) { r.sampling.temperature = -1; });
  expect("top_k", [](Request& r) { r.sampling.top_k = -2; });
  expect("top_p", [](Request& r) { r.sampling.top_p = 1.5f; });
  expect("end id 97 is outside the vocabulary of 97 ids", [](Request& r) { r.end_ids = {{5, 97}}; });
  expect("end id -1 is outside the vocabulary of 97 ids", [](Request& r) { r.end_ids = {{-1}}; });
  expect("stop string is empty", [](Request& r) { r.stop = {"a", ""}; });
  EXPECT_EQ(test.model->steps.load(), 0);

  // What just fits does run.
  EXPECT_EQ(engine->generate({request_of({1, 2, 3}, 61)}).front().output_ids.size(), 61u);
}

TEST(EngineFaults, ModelsOwnLimitAndMissingTokenizer) {
  EngineUnderTest test;
  test.with_tokenizer = false;
  test.options.max_positions = 16;
  const auto engine = test.make();
  EXPECT_ERROR(engine->submit(request_of({1, 2, 3}, 14)), ErrorCode::kUsage, "16 positions of the model");
  EXPECT_NO_THROW(engine->generate({request_of({1, 2, 3}, 13)}));
  Request request = request_of({1}, 2);
  request.stop = {"x"};
  EXPECT_ERROR(engine->submit(request), ErrorCode::kUsage, "stop strings need a tokenizer");
  Request text;
  text.prompt = "abc";
  EXPECT_ERROR(engine->submit(text), ErrorCode::kUsage, "a text prompt needs a tokenizer");
}

TEST(EngineFaults, OneInvalidOfSeveralStopsAllAndIsNamed) {
  EngineUnderTest test;
  const auto engine = test.make();
  int calls = 0;
  Request good = request_of({1}, 3);
  good.on_token = [&](const StreamEvent&) { return ++calls > 0; };
  EXPECT_ERROR(engine->generate({good, good, request_of({}, 3)}), ErrorCode::kUsage, "request 2: the prompt");
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(test.model->steps.load(), 0);
  EXPECT_EQ(engine->submit(request_of({1}, 1)), 0u);  // and no number was used up
}

TEST(EngineFaults, EmptyListIsFine) {
  EngineUnderTest test;
  EXPECT_TRUE(test.make()->generate({}).empty());
}

std::string fault_of(const std::function<void()>& call) {
  try {
    call();
    return "none";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(EngineFaults, FaultOfAnotherRankIsToldWithItsCause) {
  if (EngineUnderTest::kRanks == 1) GTEST_SKIP() << "there is no other rank";
  for (int rank = 1; rank < EngineUnderTest::kRanks; ++rank) {
    EngineUnderTest test;
    test.differ = [&](int of, FakeModel::Options& options) {
      if (of == rank) options.throw_on_id = 96;
    };
    const auto engine = test.make();
    EXPECT_EQ(engine->generate({request_of({1, 2}, 1)}).front().output_ids.size(), 1u);
    // Whoever is told of it first, it is the fault of a request under way, and of all that come later.
    for (const std::vector<int32_t>& prompt : {std::vector<int32_t>{1, 96, 2}, {1, 2}}) {
      const std::string fault = fault_of([&] { engine->generate({request_of(prompt, 4)}); });
      EXPECT_THAT(fault, testing::HasSubstr(fmt::format("rank {} is gone, as rank 0 found at step ", rank)));
      EXPECT_THAT(fault, testing::EndsWith(": the fake model was told to fail"));
    }
  }
}

TEST(EngineFaults, RankWithoutMemoryIsToldBeforeThereAreSteps) {
  if (EngineUnderTest::kRanks == 1) GTEST_SKIP() << "there is no other rank";
  for (int rank = 1; rank < EngineUnderTest::kRanks; ++rank) {
    EngineUnderTest test;
    test.differ = [&](int of, FakeModel::Options& options) {
      if (of == rank) options.head_size = int64_t{1} << 57;
    };
    const std::string fault = fault_of([&] { test.make(); });
    EXPECT_THAT(fault, testing::HasSubstr(fmt::format("rank {} is gone, as rank 0 found at ", rank)));
    EXPECT_THAT(fault, testing::HasSubstr(": the KV cache would exceed"));
  }
}

TEST(EngineFaults, ThrowingModelEndsItsBatchAndNothingElse) {
  EngineUnderTest test;
  test.options.throw_on_id = 96;
  test.config.max_batch_size = 2;
  const auto engine = test.make();
  const uint64_t bad = engine->submit(request_of({1, 96, 2}, 4));
  const std::vector<int32_t> prompt = prompt_of(1, 20, 90);
  if (EngineUnderTest::kRanks > 1) {
    // They no longer agree on what has run: that was all. Rank 0 reports its own fault, or that of another
    // rank which was faster.
    EXPECT_THAT(fault_of([&] { engine->wait(bad); }), testing::HasSubstr("told to fail"));
    EXPECT_THAT(fault_of([&] { engine->generate({request_of(prompt, 1)}); }),
                testing::HasSubstr("told to fail"));
    return;
  }
  EXPECT_ERROR(engine->wait(bad), ErrorCode::kInternal, "told to fail");
  EXPECT_EQ(engine->generate({request_of(prompt, 1)}).front().output_ids,
            test.twin().expected_ids(prompt, 1));
  EXPECT_EQ(engine->free_pages(), 256);
  EXPECT_ERROR(engine->generate({request_of({1}, 1), request_of({96}, 4)}), ErrorCode::kInternal,
               "told to fail");
  EXPECT_EQ(engine->free_pages(), 256);
}

TEST(EngineFaults, AStepWithoutMemoryIsAFaultOfItsRequests) {
  EngineUnderTest test;
  test.options.no_memory_on_id = 96;
  test.config.max_batch_size = 1;
  const auto engine = test.make();
  const uint64_t bad = engine->submit(request_of({1, 96, 2}, 4)),
                 good = engine->submit(request_of({1, 2}, 4));
  if (EngineUnderTest::kRanks >
      1) {  // of several ranks it ends all: rank 0 found none, or another that says less
    EXPECT_THAT(
        fault_of([&] { engine->wait(bad); }),
        testing::AnyOf(testing::HasSubstr("out of memory in a step"), testing::HasSubstr("bad_alloc")));
    return;
  }
  EXPECT_ERROR(engine->wait(bad), ErrorCode::kResource, "out of memory in a step: lower max_batch_size");
  EXPECT_EQ(engine->wait(good).output_ids, test.twin().expected_ids({1, 2}, 4));
}

TEST(EngineFaults, NoMemoryToTakeARequestInIsItsFault) {
  if (EngineUnderTest::kRanks > 1) GTEST_SKIP() << "the other ranks need memory, too";
  EngineUnderTest test;
  const auto engine = test.make();
  const auto expected = test.twin().expected_ids({1, 2}, 4);
  EXPECT_EQ(engine->generate({request_of({1, 2}, 4)}).front().output_ids, expected);
  {
    // More than were there before: what is set aside for their ends must grow.
    std::vector<uint64_t> bad;
    const OthersHaveNoMemory limit;
    for (int i = 0; i < 20; ++i) bad.push_back(engine->submit(request_of({1, 2}, 4)));
    for (const uint64_t id : bad)
      EXPECT_ERROR(engine->wait(id), ErrorCode::kResource, "out of memory in a step");
  }
  EXPECT_EQ(engine->generate({request_of({1, 2}, 4)}).front().output_ids, expected);
  EXPECT_EQ(engine->free_pages(), 256);
}

TEST(EngineFaults, RowOfNanEndsItsOwnRequestOnly) {
  EngineUnderTest test;
  test.options.nan_on_id = 95;
  std::atomic<bool> go{false};  // outlives the engine, whose thread may still read it at the end
  const auto engine = test.make();
  const std::vector<int32_t> prompt = prompt_of(2, 7, 90);
  // Blocks the batch's first step until all three are queued, so that they share a batch.
  Request first = request_of({1}, 2);
  first.on_token = [&](const StreamEvent&) {
    while (!go) std::this_thread::yield();
    return true;
  };
  engine->submit(first);
  const uint64_t good = engine->submit(request_of(prompt, 1)), bad = engine->submit(request_of({3, 95}, 5)),
                 other = engine->submit(request_of(prompt, 1));
  go = true;
  EXPECT_ERROR(engine->wait(bad), ErrorCode::kUnsupported, "the logits of this request are not numbers");
  EXPECT_EQ(engine->wait(good).output_ids, test.twin().expected_ids(prompt, 1));
  EXPECT_EQ(engine->wait(other).output_ids, test.twin().expected_ids(prompt, 1));
}

TEST(EngineFaults, ThrowingCallbackEndsItsOwnRequestOnly) {
  EngineUnderTest test;
  const auto engine = test.make();
  Request bad = request_of({1, 2}, 5);
  bad.on_token = [](const StreamEvent&) -> bool { throw std::logic_error("of the caller"); };
  const std::vector<int32_t> prompt = prompt_of(9, 6);
  const uint64_t bad_id = engine->submit(bad), good_id = engine->submit(request_of(prompt, 12));
  EXPECT_THROW(engine->wait(bad_id), std::logic_error);
  EXPECT_EQ(engine->wait(good_id).output_ids, test.twin().expected_ids(prompt, 12));
  EXPECT_EQ(engine->free_pages(), 256);
}

TEST(EngineFaults, ThrowingObserverIsNotCalledAgain) {
  EngineUnderTest test;
  const auto engine = test.make();
  int calls = 0;
  engine->set_step_observer([&](const StepInfo&) {
    ++calls;
    throw std::runtime_error("of the observer");
  });
  EXPECT_EQ(engine->generate({request_of({1}, 5)}).front().output_ids.size(), 5u);
  EXPECT_EQ(calls, 1);
}

TEST(EngineFaults, CancelledRequestSaysSoAndFreesItsPlace) {
  EngineUnderTest test;
  test.options.step_time = std::chrono::microseconds(200);
  test.config.max_batch_size = 1;
  const auto engine = test.make();
  const std::vector<int32_t> prompt = prompt_of(1, 4);
  const uint64_t running = engine->submit(request_of(prompt, 3000));
  const uint64_t waiting = engine->submit(request_of(prompt, 3000));
  const uint64_t last = engine->submit(request_of(prompt, 3));
  while (test.model->steps.load() < 5) std::this_thread::yield();
  EXPECT_TRUE(engine->cancel(waiting));
  EXPECT_TRUE(engine->cancel(running));
  const Result cut = engine->wait(running);
  EXPECT_EQ(cut.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(cut.output_ids, test.twin().expected_ids(prompt, static_cast<int64_t>(cut.output_ids.size())));
  const Result never = engine->wait(waiting);
  EXPECT_EQ(never.finish_reason, FinishReason::kCancelled);
  EXPECT_TRUE(never.output_ids.empty());
  EXPECT_EQ(engine->wait(last).finish_reason, FinishReason::kLength);
  EXPECT_EQ(engine->free_pages(), 256);
}

TEST(EngineFaults, CancelAndWaitOfUnknownRequests) {
  EngineUnderTest test;
  const auto engine = test.make();
  EXPECT_FALSE(engine->cancel(7));
  EXPECT_ERROR(engine->wait(7), ErrorCode::kUsage, "request 7 is unknown");
  const uint64_t id = engine->submit(request_of({1}, 1));
  engine->wait(id);
  EXPECT_FALSE(engine->cancel(id));
  EXPECT_ERROR(engine->wait(id), ErrorCode::kUsage, "waited for already");
}

TEST(EngineFaults, DestructionCancelsAndReleasesWaiters) {
  EngineUnderTest test;
  test.options.step_time = std::chrono::microseconds(200);
  test.config.max_batch_size = 1;
  auto engine = test.make();
  const uint64_t running = engine->submit(request_of({1}, 3000));
  engine->submit(request_of({2}, 3000));
  Result result;
  std::atomic<bool> entered{false};
  std::thread waiter([&, e = engine.get()] {
    entered = true;
    result = e->wait(running);
  });
  while (!entered) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  engine.reset();
  waiter.join();
  EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
}

TEST(EngineFaults, CallbacksMaySubmitAndCancelButNotWait) {
  EngineUnderTest test;
  std::atomic<uint64_t> child{0};
  std::string error = "never called";
  bool cancelled = false;
  const auto engine = test.make();
  Request request = request_of({1}, 3);
  request.on_token = [&](const StreamEvent& event) {
    if (child == 0) child = engine->submit(request_of({2}, 2000));
    error = error_mismatch([&] { engine->wait(child); }, ErrorCode::kUsage, "from a callback");
    cancelled = engine->cancel(event.request);
    return true;
  };
  EXPECT_EQ(engine->generate({request}).front().finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(error, "");
  EXPECT_TRUE(cancelled);
  const bool in_time = engine->cancel(child);
  const Result rest = engine->wait(child);
  EXPECT_EQ(rest.finish_reason, in_time ? FinishReason::kCancelled : FinishReason::kLength);
  EXPECT_EQ(rest.output_ids, test.twin().expected_ids({2}, static_cast<int64_t>(rest.output_ids.size())));
}

TEST(EngineFaults, ConfigurationsThatCannotBe) {
  const auto expect = [](const std::string& part, auto change) {
    EngineConfig config;
    change(config);
    EXPECT_ERROR(resolve(config), ErrorCode::kUsage, part);
  };
  EXPECT_NO_THROW(resolve({}));
  expect("max_batch_size is 0", [](EngineConfig& c) { c.max_batch_size = 0; });
  expect("max_chunk_tokens is -4", [](EngineConfig& c) { c.max_chunk_tokens = -4; });
  expect("page_size is 0", [](EngineConfig& c) { c.page_size = 0; });
  expect("max_kv_tokens is -1", [](EngineConfig& c) { c.max_kv_tokens = -1; });
  expect("at most", [](EngineConfig& c) { c.max_kv_tokens = int64_t{1} << 40; });
  expect("threads is -1", [](EngineConfig& c) { c.threads = -1; });
  expect("threads is 1000000", [](EngineConfig& c) { c.threads = 1000000; });
  expect("unknown data type 'int3'", [](EngineConfig& c) { c.data_type = "int3"; });
  expect("unknown device 'tpu'", [](EngineConfig& c) { c.device = "tpu"; });
  expect("deterministic_batching", [](EngineConfig& c) { c.deterministic_batching = true; });
  for (const double fraction : {0.0, -0.5, 1.01, std::nan(""), HUGE_VAL})
    expect("kv_cache_fraction", [=](EngineConfig& c) { c.kv_cache_fraction = fraction; });
  expect("all_reduce is 'nccl', which is for GPUs", [](EngineConfig& c) { c.all_reduce = "nccl"; });
  expect("all_reduce is 'ring'", [](EngineConfig& c) { c.all_reduce = "ring"; });
  if (!kHasCuda) expect("built without CUDA", [](EngineConfig& c) { c.device = "cuda"; });
  EXPECT_ERROR(measure_roof("tpu", "fp32", 1), ErrorCode::kUsage, "unknown device");
  EXPECT_ERROR(measure_roof("cpu", "fp12", 1), ErrorCode::kUsage, "unknown data type");
  EXPECT_ERROR(measure_roof("cpu", "fp32", -1), ErrorCode::kUsage, "threads");
}

TEST(EngineConfigs, AreResolvedIntoWhatRanksRunWith) {
  RankConfig config = resolve({.model = "m", .data_type = "bf16", .weight_scheme = "int8"});
  EXPECT_EQ(config.device, Device::kCpu);
  EXPECT_EQ(config.model.path, "m");
  EXPECT_EQ(config.model.data_type, DType::kBF16);
  EXPECT_EQ(config.model.scheme->name, "int8");
  EXPECT_EQ(config.chunk_tokens, 512);
  EXPECT_EQ(config.ranks(), 1);
  EXPECT_FALSE(config.gemm_config);
  config = resolve({.threads = 3,
                    .max_batch_size = 7,
                    .max_kv_tokens = 640,
                    .page_size = 32,
                    .max_chunk_tokens = 5,
                    .cuda_graphs = false,
                    .gemm_config = "none",
                    .tensor_para_size = 2,
                    .pipeline_para_size = 3,
                    .comm_timeout = 2.5,
                    .all_reduce = "host"});
  EXPECT_FALSE(config.model.data_type);
  EXPECT_EQ(config.model.scheme, &kDenseScheme);
  EXPECT_EQ(config.threads, 3);
  EXPECT_EQ(config.max_batch_size, 7);
  EXPECT_EQ(config.max_kv_tokens, 640);
  EXPECT_EQ(config.page_size, 32);
  EXPECT_EQ(config.chunk_tokens, 5);
  EXPECT_FALSE(config.graphs);
  EXPECT_EQ(config.ranks(), 6);
  EXPECT_EQ(config.comm_timeout.count(), 2.5);
  EXPECT_EQ(config.all_reduce, AllReduce::kHost);
}

TEST(EngineFaults, ModelsThatNoKernelComputesWith) {
  ModelConfig model;
  model.head_size = 256;
  model.vocab_size = (1 << 20) + 1;
  EXPECT_NO_THROW(check_model_fits(model, Device::kCpu));
  EXPECT_ERROR(check_model_fits(model, Device::kCuda), ErrorCode::kUnsupported, "1048577 ids");
  model.vocab_size = 1 << 20;
  EXPECT_NO_THROW(check_model_fits(model, Device::kCuda));
  model.head_size = 257;
  for (const Device device : {Device::kCpu, Device::kCuda})
    EXPECT_ERROR(check_model_fits(model, device), ErrorCode::kUnsupported, "a size of 257");
}

// What declares less, or more, than a decoder is refused before its weights are read.
TEST(EngineFaults, ModelsThatNoWorkerDrives) {
  struct Other : FakeModel {
    explicit Other(const Options& options) : FakeModel(options) {}
    std::vector<CacheSpec> caches() const override { return declared; }
    Abilities abilities() const override { return can; }
    std::vector<CacheSpec> declared = {{}};
    Abilities can;
  };
  const auto refused = [](const char* part, auto change) {
    Other model{FakeModel::Options()};
    EXPECT_NO_THROW(check_driven(model));
    change(model);
    EXPECT_ERROR(check_driven(model), ErrorCode::kUnsupported, part);
  };
  check_driven(FakeModel(FakeModel::Options()));
  refused("has no cache", [](Other& m) { m.declared.clear(); });
  refused("has several caches", [](Other& m) { m.declared.resize(2); });
  refused("of an encoder's rows", [](Other& m) { m.declared[0].kind = CacheKind::kCross; });
  refused("ring", [](Other& m) { m.declared[0].kind = CacheKind::kWindow; });
  refused("has a state", [](Other& m) { m.declared[0].kind = CacheKind::kState; });
  refused("has an encoder", [](Other& m) { m.can.encode = true; });
  refused("pools", [](Other& m) { m.can = {.logits = false, .pool = true}; });
  refused("gives no logits", [](Other& m) { m.can.logits = false; });
}

TEST(EngineFaults, InfoSaysWhatWasMade) {
  EngineUnderTest test;
  test.config.max_kv_tokens = 100;
  const auto engine = test.make();
  const ModelInfo& info = engine->info();
  EXPECT_EQ(info.architecture, "Fake");
  EXPECT_EQ(info.device, "cpu");
  EXPECT_EQ(info.data_type, "fp32");
  EXPECT_EQ(info.vocab_size, 97);
  EXPECT_EQ(info.kv_bytes_per_token, 2 * 2 * 2 * 4 * TENSOR_SIZE);  // the fake has a head for each rank
  EXPECT_EQ(info.tensor_para_size, TENSOR_SIZE);
  EXPECT_EQ(info.pipeline_para_size, PIPELINE_SIZE);
  EXPECT_EQ(info.transport, EngineUnderTest::kRanks > 1 ? "threads" : "");
  EXPECT_EQ(info.kv_capacity_tokens, 112);
}

}  // namespace
}  // namespace bolide
