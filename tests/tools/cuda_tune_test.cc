// tune() on a tiny model, and an engine that follows what it wrote.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "bolide/engine.h"
#include "bolide/tune.h"
#include "ops/matmul.h"
#include "ops/tune.h"
#include "support/expect_error.h"
#include "tensor/device.h"

namespace bolide {
namespace {
namespace fs = std::filesystem;

class CudaTune : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0)
      GTEST_SKIP() << "NOT TESTED: this machine has no GPU, or no driver for it, that CUDA can use";
    use_cuda_device(0);
  }
  void TearDown() override { fs::remove(file_); }
  EngineConfig config(const std::string& data_type) const {
    EngineConfig config;
    config.model = fs::path(BOLIDE_SOURCE_DIR) / "tests/golden/heads3_fp32";
    config.device = "cuda";
    config.data_type = data_type;
    config.max_kv_tokens = 1024;
    config.gemm_config = "none";
    return config;
  }
  void write(const std::string& text) const { std::ofstream(file_) << text; }

  const fs::path file_ = fs::temp_directory_path() / ("bolide_cuda_tune_" + std::to_string(::getpid()));
};

std::vector<std::vector<int32_t>> generate(const EngineConfig& config, int64_t products) {
  const auto engine = Engine::create(config);
  EXPECT_EQ(engine->info().tuned_gemms, products);
  std::vector<Request> requests(8);
  for (size_t r = 0; r < requests.size(); ++r) {
    for (size_t i = 0; i < 40; ++i)
      requests[r].input_ids.push_back(
          static_cast<int32_t>((7 * r + 3 * i) % static_cast<size_t>(engine->info().vocab_size)));
    requests[r].max_new_tokens = 8;
    requests[r].end_ids.emplace();
  }
  std::vector<std::vector<int32_t>> ids;
  for (const Result& result : engine->generate(std::move(requests))) ids.push_back(result.output_ids);
  return ids;
}

TEST_F(CudaTune, AnEngineFollowsWhatItWrote) {
  for (const bool quick : {true, false}) {
    EngineConfig engine = config("fp32");
    engine.max_kv_tokens = 0;
    int64_t last = -1;
    const TuneReport report = tune({.engine = engine,
                                    .batch_sizes = {8},
                                    .input_lens = {40},
                                    .quick = quick,
                                    .on_progress = [&](int64_t done, int64_t total) {
                                      EXPECT_EQ(done, last + 1);
                                      EXPECT_LE(done, total);
                                      last = done;
                                    }});
    ASSERT_FALSE(report.gemms.empty());
    EXPECT_EQ(last, static_cast<int64_t>(report.gemms.size()));
    for (const TunedGemm& gemm : report.gemms) {
      EXPECT_GT(gemm.candidates, 0);
      EXPECT_GT(gemm.best_seconds, 0);
      EXPECT_LE(gemm.best_seconds, gemm.default_seconds);
    }
    write(report.gemm_config);
    const auto rows = std::count(report.gemm_config.begin(), report.gemm_config.end(), '\n') - 1;
    const auto expected = generate(config("fp32"), 0);
    EngineConfig following = config("fp32");
    following.gemm_config = file_;
    EXPECT_EQ(generate(following, rows), expected);
    following.data_type = "fp16";
    EXPECT_ERROR(Engine::create(following), ErrorCode::kUnsupported, "was made for fp32");
  }
}

TEST_F(CudaTune, WhatTheLibraryDoesNotTakeIsRefused) {
  EngineConfig engine = config("fp16");
  engine.max_kv_tokens = 0;
  const TuneReport report =
      tune({.engine = engine, .batch_sizes = {8}, .input_lens = {40}, .quick = true, .on_progress = {}});
  const auto refused = [&](const std::string& from, const std::string& to, const std::string& says) {
    std::string text = report.gemm_config;
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, from.size(), to);
    write(text);
    EngineConfig following = config("fp16");
    following.gemm_config = file_;
    EXPECT_ERROR(Engine::create(following), ErrorCode::kUnsupported, says);
  };
  refused("gpu " + report.gpu, "gpu Voodoo 2", "was made for the GPU Voodoo 2");
  refused(report.library, "cuBLASLt 1", "was made for cuBLASLt 1");
  refused("hidden ", "hidden 1", "was made for a model with hidden size 1");
  // The first row's algorithm becomes one that there is not.
  std::string row = report.gemm_config.substr(report.gemm_config.find('\n') + 1);
  row.resize(row.find('\n'));
  size_t id = row.find("###");
  for (int column = 0; column < 5; ++column) id = row.find(' ', id) + 1;
  const std::string broken = row.substr(0, id) + "2000000" + row.substr(row.find(' ', id));
  refused(row, broken, ":2: cuBLASLt does not take algorithm 2000000");
}

// Matrices whose rows no 16 bytes divide, and each kind of product.
TEST_F(CudaTune, OddShapes) {
  const Stream stream(Device::kCuda);
  const Context context{.device = Device::kCuda, .stream = stream.get()};
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const CublasLtGemm& product :
         {CublasLtGemm{.tokens = 96, .out = 77, .in = 51, .in_dtype = dtype, .y_dtype = dtype, .bias = true},
          CublasLtGemm{.tokens = 80,
          .out = 256,
          .in = 128,
          .in_dtype = dtype,
          .y_dtype = dtype,
          .bias = true,
          .gelu = true},
          CublasLtGemm{.tokens = 112,
          .out = 130,
          .in = 264,
          .in_dtype = dtype,
          .y_dtype = DType::kF32,
          .bias = true,
          .accumulate = true}}) {
      const GemmTuning tuned = tune_gemm(context, product, true);
      EXPECT_GT(tuned.candidates, 0) << name_of(dtype) << " " << product.out;
      ASSERT_TRUE(tuned.best) << name_of(dtype) << " " << product.out;
      use_algorithm(context, product, *tuned.best);
    }
  }
}

// Also where no other product is chosen for so many.
TEST_F(CudaTune, AnAlgorithmIsFollowedForItsOwnNumberOfTokens) {
  const Stream stream(Device::kCuda);
  Arena arena(Device::kCuda);
  const Context context{
      .device = Device::kCuda, .stream = stream.get(), .activation = DType::kF16, .arena = &arena};
  const CublasLtGemm product = {.tokens = 400, .out = 256, .in = 128};
  const PackedMatrix w = allocate_packed(product.out, product.in, DType::kF16, Device::kCuda);
  const Tensor x = Tensor::zeros({product.tokens, product.in}, DType::kF16, Device::kCuda);
  const Tensor y = Tensor::zeros({product.tokens, product.out}, DType::kF16, Device::kCuda);
  const auto met_tokens = [&] {
    matmul(context, {.x = x, .w = &w, .y = y});
    synchronize(context);
    std::vector<int64_t> tokens;
    for (const CublasLtGemm& met : gemms_met(context)) tokens.push_back(met.tokens);
    return tokens;
  };
  const GemmTuning tuned = tune_gemm(context, product, true);
  ASSERT_TRUE(tuned.best);
  forget_gemms(context);
  EXPECT_EQ(met_tokens(), std::vector<int64_t>({448}));
  use_algorithm(context, product, *tuned.best);
  EXPECT_EQ(met_tokens(), std::vector<int64_t>({400, 448}));
  forget_gemms(context);
}

// Every number of tokens for which an algorithm is chosen, of each product; twice is as good as once.
TEST_F(CudaTune, PreparedGemmsAreChosen) {
  const Stream stream(Device::kCuda);
  const Context context{.device = Device::kCuda, .stream = stream.get()};
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::vector<CublasLtGemm> products = {
        {.out = 77, .in = 51, .in_dtype = dtype, .y_dtype = dtype, .bias = true, .gelu = true},
        {.out = 128, .in = 264, .in_dtype = dtype, .y_dtype = DType::kF32, .bias = true, .accumulate = true}};
    forget_gemms(context);
    for (int i = 0; i < 2; ++i) {
      prepare_gemms(context, products, 520);
      std::vector<CublasLtGemm> expected;
      for (int64_t tokens : {256, 320, 384, 448, 512}) {
        for (CublasLtGemm product : products) {
          product.tokens = tokens;
          expected.push_back(product);
        }
      }
      std::sort(expected.begin(), expected.end());
      EXPECT_EQ(gemms_met(context), expected) << name_of(dtype);
    }
  }
  forget_gemms(context);
}

}  // namespace
}  // namespace bolide
