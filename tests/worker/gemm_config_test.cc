#include "worker/gemm_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "support/expect_error.h"

namespace bolide {
namespace {
namespace fs = std::filesystem;

GemmConfig example() {
  GemmConfig config{.where = "made",
                    .gpu = "NVIDIA H200",
                    .library = "cuBLASLt 130100",
                    .data_type = DType::kF16,
                    .hidden_size = 1024,
                    .inter_size = 4096,
                    .vocab_size = 250880,
                    .heads = 16,
                    .head_size = 64,
                    .rows = {}};
  GemmConfig::Row qkv{.batch = 8,
                      .length = 128,
                      .product = {.tokens = 1152, .out = 3072, .in = 1024, .bias = true},
                      .algorithm = {.id = 66,
                                    .custom_option = 5,
                                    .tile = 293,
                                    .splits = 3,
                                    .swizzle = 1,
                                    .reduction = 2,
                                    .stages = 36,
                                    .inner_shape = 4,
                                    .cluster_shape = 12,
                                    .workspace_bytes = 33554432},
                      .seconds = 12.345e-6};
  GemmConfig::Row up = qkv;
  up.product.out = 4096;
  up.product.gelu = true;
  up.seconds = 1.5e-3;
  GemmConfig::Row down = qkv;
  down.product = {
      .tokens = 1152, .out = 1024, .in = 4096, .y_dtype = DType::kF32, .bias = true, .accumulate = true};
  GemmConfig::Row head = qkv;
  head.product = {.tokens = 16, .out = 250880, .in = 1024, .y_dtype = DType::kF32};
  head.algorithm = {.id = 7};
  GemmConfig::Row plain = qkv;
  plain.product.bias = false;
  config.rows = {qkv, up, down, head, plain};
  return config;
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

TEST(GemmConfig, ComesBackAsItWas) {
  const GemmConfig written = example();
  const GemmConfig read = parse_gemm_config(format_gemm_config(written), "f");
  EXPECT_EQ(read.where, "f");
  EXPECT_EQ(read.gpu, written.gpu);
  EXPECT_EQ(read.library, written.library);
  EXPECT_EQ(read.data_type, written.data_type);
  EXPECT_EQ(read.hidden_size, written.hidden_size);
  EXPECT_EQ(read.inter_size, written.inter_size);
  EXPECT_EQ(read.vocab_size, written.vocab_size);
  EXPECT_EQ(read.heads, written.heads);
  EXPECT_EQ(read.head_size, written.head_size);
  ASSERT_EQ(read.rows.size(), written.rows.size());
  for (size_t i = 0; i < read.rows.size(); ++i) {
    EXPECT_EQ(read.rows[i].batch, written.rows[i].batch) << i;
    EXPECT_EQ(read.rows[i].length, written.rows[i].length) << i;
    EXPECT_TRUE(read.rows[i].product == written.rows[i].product) << i;
    EXPECT_TRUE(read.rows[i].algorithm == written.rows[i].algorithm) << i;
    EXPECT_NEAR(read.rows[i].seconds, written.rows[i].seconds, 1e-9) << i;
  }
}

TEST(GemmConfig, ComesBackInEachType) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    GemmConfig written = example();
    written.data_type = dtype;
    for (GemmConfig::Row& row : written.rows) {
      if (row.product.y_dtype == row.product.in_dtype) row.product.y_dtype = dtype;
      row.product.in_dtype = dtype;
    }
    const GemmConfig read = parse_gemm_config(format_gemm_config(written), "f");
    for (size_t i = 0; i < read.rows.size(); ++i)
      EXPECT_TRUE(read.rows[i].product == written.rows[i].product) << name_of(dtype) << " row " << i;
  }
}

// As FasterTransformer reads it: a line of at most 1023 bytes, then numbers until the end of the file. It
// never comes to that end when anything is in the way.
TEST(GemmConfig, FasterTransformerCanReadIt) {
  GemmConfig config = example();
  config.gpu = "NVIDIA GeForce RTX 4090 Laptop GPU";
  while (config.rows.size() < GemmConfig::kMaxRows) config.rows.push_back(config.rows[1]);
  const std::string text = format_gemm_config(config);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), file.get()), text.size());
  std::rewind(file.get());
  char header[1024];
  ASSERT_NE(std::fgets(header, sizeof(header), file.get()), nullptr);
  EXPECT_EQ(std::string(header).back(), '\n') << "the first line is too long";
  for (const GemmConfig::Row& row : config.rows) {
    int cells[17] = {};
    float milliseconds = 0;
    for (int i = 0; i < 5; ++i) ASSERT_EQ(std::fscanf(file.get(), "%d", &cells[i]), 1);
    ASSERT_EQ(std::fscanf(file.get(), " ### %d", &cells[5]), 1);
    for (int i = 6; i < 17; ++i) ASSERT_EQ(std::fscanf(file.get(), "%d", &cells[i]), 1);
    ASSERT_EQ(std::fscanf(file.get(), "%f\n", &milliseconds), 1);
    const CublasLtGemm& p = row.product;
    const CublasLtAlgorithm& a = row.algorithm;
    const int64_t expected[17] = {row.batch,
                                  row.length,
                                  16,
                                  64,
                                  1,
                                  1,
                                  p.out,
                                  p.tokens,
                                  p.in,
                                  a.id,
                                  a.custom_option,
                                  a.tile,
                                  a.splits,
                                  a.swizzle,
                                  a.reduction,
                                  a.workspace_bytes,
                                  a.stages};
    for (int i = 0; i < 17; ++i) EXPECT_EQ(cells[i], expected[i]) << "column " << i;
    EXPECT_NEAR(milliseconds, row.seconds * 1e3, 1e-6);
  }
  int more = 0;
  EXPECT_EQ(std::fscanf(file.get(), "%d", &more), EOF);
}

TEST(GemmConfig, AFileThatWasTouchedNamesItsLine) {
  const std::string good = format_gemm_config(example());
  const struct {
    const char *from, *to, *says;
  } cases[] = {
      {"batch_size", "batch", "f:1: the columns"},
      {"gpu NVIDIA H200; ", "", "f:1: 6 parts"},
      {"gpu NVIDIA", "card NVIDIA", "f:1: 'card NVIDIA H200'"},
      {"; fp16;", "; fp17;", "f:1: 'fp17' is not a data type"},
      {"hidden 1024", "hidden 0", "f:1: hidden size '0'"},
      {"vocab 250880", "vocab many", "f:1: vocabulary size 'many'"},
      {"4.12.bg", "4.bg", "f:3: line 1 has '4.bg'"},
      {"4.12.bg", "4.12.gb", "f:3: line 1 has '4.12.gb'"},
      {"4.12.bg", "4.65536.bg", "f:3: the cluster shape in line 1 '65536'"},
      {" 4.12.-\n", "\n", "f:6: line 1 announces 4 rows only"},
      {" 4.12.-\n", " 4.12.- 4.12.-\n", "f:6: line 1 announces 6 rows, and there are 5"},
      {"8 128 16 64 1 ### 1 3072", "8 128 16 64 1 ## 1 3072", "f:2: a row is"},
      {"8 128 16 64 1 ### 1 3072", "8  128 16 64 1 ### 1 3072", "f:2: a row is"},
      {"8 128 16 64 1 ### 1 3072", "0 128 16 64 1 ### 1 3072", "f:2: batch_size '0'"},
      {"8 128 16 64 1 ### 1 3072", "8 128 16 64 2 ### 1 3072", "f:2: data type 2 in a file for fp16"},
      {"8 128 16 64 1 ### 1 4096", "8 128 8 128 1 ### 1 4096", "f:3: 8 heads of 128"},
      {"### 1 3072", "### 12 3072", "f:2: batch_count '12'"},
      {"### 1 3072", "### 1 3072x", "f:2: n '3072x'"},
      {"66 5 293", "66 99999999999 293", "f:2: custom_option '99999999999'"},
      {"66 5 293", "-1 5 293", "f:2: algo_id '-1'"},
      {"0.012345", "soon", "f:2: time_ms 'soon'"},
      {"0.012345", "-1", "f:2: time_ms '-1'"},
      {"0.012345", "inf", "f:2: time_ms 'inf'"},
      {"0.012345", "0.012345 7", "f:2: a row is"},
      {"0.012345", "0.012345\n", "f:3: a row is"},
  };
  for (const auto& [from, to, says] : cases) {
    std::string text = good;
    replace(text, from, to);
    EXPECT_ERROR(parse_gemm_config(text, "f"), ErrorCode::kCorrupt, says) << from << " -> " << to;
  }
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_THROW(parse_gemm_config(good.substr(0, length), "f"), Error) << "cut after " << length;
  }
  EXPECT_ERROR(parse_gemm_config(good.substr(0, good.size() - 1), "f"), ErrorCode::kCorrupt,
               "f:6: the file ends in the middle of a line");
}

TEST(GemmConfig, FilesOfFasterTransformerItselfAreRefused) {
  const std::string text =
      "batch_size seq_len head_num size_per_head dataType\n"
      "8 128 16 64 1 ### 1 3072 1024 1024 99 -1 -1 -1 -1 -1 -1 -1 0.012\n";
  EXPECT_ERROR(parse_gemm_config(text, "f"), ErrorCode::kUnsupported, "does not say for which GPU");
}

TEST(GemmConfig, OneForSomethingElseIsRefused) {
  const GemmConfig here = example();
  check_gemm_config(here, here);
  const auto refused = [&](const auto& change, const std::string& says) {
    GemmConfig found = here;
    change(found);
    EXPECT_ERROR(check_gemm_config(found, here), ErrorCode::kUnsupported, says);
    EXPECT_ERROR(check_gemm_config(found, here), ErrorCode::kUnsupported, "make it anew with 'bolide tune'");
  };
  refused([](GemmConfig& c) { c.gpu = "NVIDIA H100"; },
          "made was made for the GPU NVIDIA H100, and here it is NVIDIA H200");
  refused([](GemmConfig& c) { c.library = "cuBLASLt 120605"; }, "for cuBLASLt 120605");
  refused([](GemmConfig& c) { c.data_type = DType::kBF16; }, "for bf16, and here it is fp16");
  refused([](GemmConfig& c) { c.hidden_size = 1536; }, "hidden size 1536");
  refused([](GemmConfig& c) { c.inter_size = 1; }, "inner size 1");
  refused([](GemmConfig& c) { c.vocab_size = 7; }, "7 ids");
  refused([](GemmConfig& c) { c.heads = 8; }, "8 heads of 64");
  refused([](GemmConfig& c) { c.head_size = 128; }, "16 heads of 128");
}

TEST(GemmConfig, IsTheNamedFileOrThatOfTheFolder) {
  const fs::path path = fs::temp_directory_path() / ("bolide_gemm_config_" + std::to_string(::getpid()));
  std::ofstream(path) << format_gemm_config(example());
  EXPECT_EQ(find_gemm_config(path), path);
  EXPECT_FALSE(find_gemm_config("none"));
  const GemmConfig read = read_gemm_config(path);
  EXPECT_EQ(read.where, path.string());
  EXPECT_EQ(read.rows.size(), example().rows.size());
  const fs::path other = path.string() + ".not-there";
  EXPECT_EQ(find_gemm_config(other), other);
  EXPECT_ERROR(read_gemm_config(other), ErrorCode::kNotFound, path.string());

  const fs::path before = fs::current_path(), folder = path.string() + "_folder";
  fs::create_directories(folder);
  fs::current_path(folder);
  EXPECT_FALSE(find_gemm_config(""));
  fs::rename(path, folder / "gemm_config.in");
  EXPECT_EQ(find_gemm_config(""), "gemm_config.in");
  fs::current_path(before);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace bolide
