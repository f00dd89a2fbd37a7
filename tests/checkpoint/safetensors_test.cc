#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "base/json.h"
#include "checkpoint/builders.h"
#include "support/expect_error.h"
#include "support/heap_use.h"

namespace bolide {
namespace {

using test::heap_peak, test::repeated;

constexpr auto kCorrupt = ErrorCode::kCorrupt;

// Opens a folder with just this model.safetensors.
void open_text(std::string_view text) {
  const TempFolder folder;
  folder.put("model.safetensors", text);
  open_safetensors(folder.path());
}
void open_header(std::string_view header, size_t data_bytes) {
  open_text(safetensors_text(header, std::string(data_bytes, '\1')));
}

TEST(Safetensors, ReadsWhatTheRealLibraryWrote) {
  const auto source = open_safetensors(fixture("safetensors_plain"));
  EXPECT_EQ(source->names().size(), 13u);
  for (const char* name : {"F32", "F16", "BF16", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL"})
    expect_ramp(*source, std::string("dtype.") + name, {3, 5});
  EXPECT_EQ(source->info("dtype.BF16").dtype, DType::kBF16);
  expect_ramp(*source, "scalar", {});
  expect_ramp(*source, "empty", {0, 4});
  expect_ramp(*source, "six", {2, 1, 3, 2, 2, 3});
}

TEST(Safetensors, ReadsShards) {
  const auto source = open_safetensors(fixture("safetensors_sharded"));
  EXPECT_EQ(source->names(), (std::vector<std::string>{"a.weight", "b.weight", "c"}));
  expect_ramp(*source, "a.weight", {4, 3});
  expect_ramp(*source, "b.weight", {2, 6});
  EXPECT_NE(source->where("c").find("model-00002-of-00002.safetensors"), std::string::npos);
  EXPECT_ERROR(source->info("d"), ErrorCode::kNotFound, "'d'");
}

TEST(Safetensors, ReadsFromManyThreads) {
  const auto source = open_safetensors(fixture("safetensors_plain"));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { expect_ramp(*source, "six", {2, 1, 3, 2, 2, 3}); });
  for (std::thread& thread : threads) thread.join();
}

TEST(Safetensors, RefusesHeadersThatAreNone) {
  EXPECT_ERROR(open_text(""), kCorrupt, "is empty");
  EXPECT_ERROR(open_text("short"), kCorrupt, "is text ('short'), not weights");
  EXPECT_ERROR(open_text("short\1"), kCorrupt, "too few");
  EXPECT_ERROR(open_text(raw(uint64_t{1} << 60) + "{}"), kCorrupt, "1152921504606846976 bytes");
  EXPECT_ERROR(open_text(raw(UINT64_MAX) + "{}"), kCorrupt, "more than the 100000000");
  EXPECT_ERROR(open_text(raw(uint64_t{100}) + "{}"), kCorrupt, "truncated");
  EXPECT_ERROR(open_header("[]", 0), kCorrupt, "not a JSON object");
  EXPECT_ERROR(open_header(" {}", 0), kCorrupt, "not a JSON object");
  EXPECT_ERROR(open_header("{\"a\":", 0), kCorrupt, "not valid JSON");
  EXPECT_ERROR(open_header(R"({"a":1})", 0), kCorrupt, "'a' is not described by an object");
  for (const char* metadata :
       {R"({"a":1})", R"({"a":["b"]})", R"({"a":{}})", R"({"a":null})", "[]", "1", "\"a\""})
    EXPECT_ERROR(open_header(fmt::format(R"({{"__metadata__":{}}})", metadata), 0), kCorrupt,
                 "'__metadata__' is not a table of strings");
  for (const char* entry : {"1", "-1", "1.5", "\"a\"", "[]", "null", "true"})
    EXPECT_ERROR(open_header(fmt::format(R"({{"a":{}}})", entry), 0), kCorrupt,
                 "'a' is not described by an object");
  EXPECT_ERROR(open_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), kCorrupt, "Git LFS");
  EXPECT_ERROR(open_text("<html>"), kCorrupt, "model.safetensors is a web page");
}

TEST(Safetensors, AllowsPaddingAndMetadata) {
  const TempFolder folder;
  folder.put("model.safetensors",
             safetensors_text(
                 R"({"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}   )",
                 "xy"));
  EXPECT_EQ(read_all<char>(*open_safetensors(folder.path()), "a"), (std::vector<char>{'x', 'y'}));
}

TEST(Safetensors, RefusesBadEntries) {
  const auto entry = [](const std::string& fields) { open_header(R"({"w":{)" + fields + "}}", 8); };
  EXPECT_ERROR(entry(R"("shape":[2],"data_offsets":[0,8])"), kCorrupt, "'dtype' is missing");
  EXPECT_ERROR(entry(R"("dtype":"F32","data_offsets":[0,8])"), kCorrupt, "'shape' is missing");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[2])"), kCorrupt, "'data_offsets' is missing");
  EXPECT_ERROR(entry(R"("dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8])"), ErrorCode::kUnsupported,
               "'w' has the unknown dtype 'F8_E4M3'");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), kCorrupt, "'shape'");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), kCorrupt, "'shape'");
  for (const char* size : {"\"2\"", "null", "true", "[2]", "{}", "-1", "18446744073709551615"})
    EXPECT_ERROR(entry(fmt::format(R"("dtype":"F32","shape":[{}],"data_offsets":[0,8])", size)), kCorrupt,
                 "'shape' holds something else than sizes");
  for (const char* other : {"2", "\"2\"", "null", "{}"})
    EXPECT_ERROR(entry(fmt::format(R"("dtype":"F32","shape":{},"data_offsets":[0,8])", other)), kCorrupt,
                 "'shape' is missing or no list");
  for (const char* other : {"2", "[]", "null", "{}"})
    EXPECT_ERROR(entry(fmt::format(R"("dtype":{},"shape":[2],"data_offsets":[0,8])", other)), kCorrupt,
                 "'dtype'");
  // Keys that nobody reads may hold anything.
  entry(
      R"("dtype":"F32","more":[{"shape":[1,[2]]},"x",null,-1],"shape":[2],"less":{"dtype":[]},"data_offsets":[0,8])");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), kCorrupt, "not a range");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,4,8])"), kCorrupt, "not a range");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[4],"data_offsets":[0,16])"), kCorrupt, "truncated");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615])"), kCorrupt,
               "'data_offsets'");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), kCorrupt, "12 bytes");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[1,1,1,1,1,1,2],"data_offsets":[0,8])"),
               ErrorCode::kUnsupported, "7 dimensions");
  // 2^32 * 2^32 elements are 0 bytes in 64 bits.
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), kCorrupt,
               "impossible shape");
  EXPECT_ERROR(entry(R"("dtype":"F32","shape":[0,9223372036854775807,4],"data_offsets":[0,0])"), kCorrupt,
               "impossible shape");
}

TEST(Safetensors, RefusesDuplicateNames) {
  EXPECT_ERROR(open_header(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                           R"("w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                           2),
               kCorrupt, "tensor 'w' is given twice");
  EXPECT_ERROR(open_header(R"({"w":{"dtype":"U8","shape":[1],"dtype":"U8","data_offsets":[0,1]}})", 1),
               kCorrupt, "'dtype'");
  EXPECT_ERROR(open_header(R"({"w":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1),
               kCorrupt, "'shape'");
  EXPECT_ERROR(
      open_header(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"data_offsets":[0,1]}})", 1),
      kCorrupt, "'data_offsets'");
  // EXPECT_ERROR also checks that a hostile name leaves the message one line.
  EXPECT_ERROR(open_header(R"({"a\nb":1})", 0), kCorrupt, "tensor 'a?b'");
}

TEST(Safetensors, TensorsTileTheData) {
  const auto two = [](int begin0, int end0, int begin1, int end1, size_t bytes) {
    open_header(fmt::format(R"({{"a":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}},)"
                            R"("b":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}}})",
                            end0 - begin0, begin0, end0, end1 - begin1, begin1, end1),
                bytes);
  };
  two(0, 4, 4, 8, 8);
  two(4, 8, 0, 4, 8);  // order in the header is free
  EXPECT_ERROR(two(0, 4, 3, 8, 8), kCorrupt, "'b' overlaps");
  EXPECT_ERROR(two(0, 4, 0, 8, 8), kCorrupt, "overlaps");
  EXPECT_ERROR(two(0, 4, 5, 8, 8), kCorrupt, "1 bytes before tensor 'b'");
  EXPECT_ERROR(two(1, 4, 4, 8, 8), kCorrupt, "1 bytes before tensor 'a'");
  EXPECT_ERROR(two(0, 4, 4, 8, 9), kCorrupt, "over-long");
  EXPECT_ERROR(two(0, 4, 4, 8, 7), kCorrupt, "truncated");
}

TEST(Safetensors, IndexNamesTheShardsAndNoMore) {
  const auto shard = [](const std::string& name) {
    return safetensors_text("{\"" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  };
  const auto open = [&](const std::string& weight_map) {
    const TempFolder folder;
    folder.put("one.safetensors", shard("a"));
    folder.put("two.safetensors", shard("b"));
    folder.put("model.safetensors.index.json", R"({"metadata":{},"weight_map":)" + weight_map + "}");
    return open_safetensors(folder.path())->names();
  };
  const std::vector<std::string> both = {"a", "b"};
  EXPECT_EQ(open(R"({"a":"one.safetensors","b":"two.safetensors"})"), both);
  // As in transformers: a listed tensor that no shard has, one in another shard, one that is not listed.
  EXPECT_EQ(open(R"({"a":"one.safetensors","b":"two.safetensors","c":"one.safetensors"})"), both);
  EXPECT_EQ(open(R"({"a":"two.safetensors","b":"one.safetensors"})"), both);
  EXPECT_EQ(open(R"({"a":"one.safetensors","c":"two.safetensors"})"), both);
  EXPECT_EQ(open(R"({"a":"one.safetensors"})"), std::vector<std::string>{"a"});
  EXPECT_ERROR(open(R"({"a":"one.safetensors","b":"three.safetensors","c":"four.safetensors"})"),
               ErrorCode::kNotFound, "four.safetensors is missing; file three.safetensors is missing");
  EXPECT_ERROR(open(R"({"a":"../one.safetensors"})"), kCorrupt, "'../one.safetensors'");
  EXPECT_ERROR(open(R"({})"), kCorrupt, "names no file");
  EXPECT_ERROR(open(R"({"a":1})"), kCorrupt, "wrong type");
  EXPECT_ERROR(open(R"([])"), kCorrupt, "wrong type");
}

TEST(Safetensors, SameTensorInTwoShards) {
  const TempFolder folder;
  const std::string text = safetensors_text(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  folder.put("one.safetensors", text);
  folder.put("two.safetensors", text);
  folder.put("model.safetensors.index.json",
             R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  EXPECT_ERROR(open_safetensors(folder.path()), kCorrupt, "'a' is there twice");
}

TEST(HfFolder, SaysWhatItLookedFor) {
  const TempFolder folder;
  EXPECT_ERROR(open_hf_folder(folder.path()), ErrorCode::kNotFound,
               "model.safetensors, model.safetensors.index.json, pytorch_model.bin");
  EXPECT_ERROR(open_safetensors(folder.path()), ErrorCode::kNotFound, "looked for model.safetensors");
  EXPECT_ERROR(open_torch_bin(folder.path()), ErrorCode::kNotFound, "looked for pytorch_model.bin");
  EXPECT_ERROR(open_hf_folder(folder.path() / "nothing"), ErrorCode::kNotFound, "is not a folder");
}

TEST(HfFolder, PrefersSafetensors) {
  const TempFolder folder;
  std::filesystem::copy(fixture("torch_plain/pytorch_model.bin"), folder.path());
  EXPECT_TRUE(open_hf_folder(folder.path())->contains("tied.a"));
  std::filesystem::copy(fixture("safetensors_plain/model.safetensors"), folder.path());
  EXPECT_FALSE(open_hf_folder(folder.path())->contains("tied.a"));
}

TEST(Safetensors, FollowsAliasesOfTensorsThatShareMemory) {
  const TempFolder folder;
  const auto put = [&](const std::string& metadata) {
    folder.put("model.safetensors",
               safetensors_text(R"({"__metadata__":{"format":"pt",)" + metadata +
                                    R"(},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                    R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                                "xyz"));
    return open_safetensors(folder.path());
  };
  const auto source = put(R"("head":"a","b":"a","lost":"none")");
  EXPECT_EQ(source->names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(source->contains("head"));
  EXPECT_EQ(source->stored_name("head"), "a");
  EXPECT_EQ(read_all<char>(*source, "head"), (std::vector<char>{'x', 'y'}));
  EXPECT_EQ(source->where("head"), source->where("a"));
  // A tensor that is there is itself, whatever the metadata says.
  EXPECT_EQ(source->stored_name("b"), "b");
  EXPECT_EQ(read_all<char>(*source, "b"), std::vector<char>{'z'});
  EXPECT_FALSE(source->contains("lost"));
  EXPECT_FALSE(source->contains("format"));
}

TEST(Safetensors, SaysThatAFileWasChangedWhileItWasRead) {
  const TempFolder folder;
  const std::string text = safetensors_text(R"({"w":{"dtype":"F32","shape":[1024],"data_offsets":[0,4096]}})",
                                            std::string(4096, '\1'));
  const auto path = folder.put("model.safetensors", text);
  const auto source = open_safetensors(folder.path());
  std::vector<float> into(1024);
  source->read("w", Slice::all({1024}), into.data());
  std::filesystem::resize_file(path, 1000);
  EXPECT_ERROR(source->read("w", Slice::all({1024}), into.data()), kCorrupt,
               "model.safetensors was changed or replaced while it was read: start again");
  folder.put("another", text);
  std::filesystem::rename(folder.path() / "another", path);
  EXPECT_ERROR(source->read("w", Slice::all({1024}), into.data()), kCorrupt, "was changed or replaced");
}

// As a tree of JSON values such headers took 20 to 30 times their size: parse_json() bounds it.
TEST(Safetensors, HeadersCostNoMoreThanTheFileAllows) {
  const std::string headers[] = {
      R"({"w":{"x":[)" + repeated("[],", 2'000'000) +
          R"(0],"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
      R"({"w":{"x":[)" + repeated("{},", 2'000'000) +
          R"(0],"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
      R"({"w":{"shape":[)" + repeated("1,", 3'000'000) + R"(0],"dtype":"F32","data_offsets":[0,0]}})",
  };
  for (const std::string& header : headers) {
    const TempFolder folder;
    folder.put("model.safetensors", safetensors_text(header, ""));
    const int64_t peak = heap_peak([&] {
      try {
        open_safetensors(folder.path());
      } catch (const Error&) {
      }
    });
    EXPECT_LE(peak, static_cast<int64_t>(header.size() + max_json_tree_bytes(header.size())));
  }
}

// Resident memory of this process from files, in bytes.
int64_t resident_file_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssFile:")) return std::stoll(line.substr(8)) * 1024;
  return -1;
}

TEST(Safetensors, LargeReadsLeaveNoFilePagesBehind) {
  constexpr int64_t kRows = 1024, kColumns = 16384;  // 64 MiB
  const TempFolder folder;
  folder.put("model.safetensors",
             safetensors_text(R"({"w":{"dtype":"F32","shape":[1024,16384],"data_offsets":[0,67108864]}})",
                              std::string(kRows * kColumns * 4, '\1')));
  const auto source = open_safetensors(folder.path());
  std::vector<float> into(kRows * kColumns);
  const int64_t before = resident_file_bytes();
  if (before < 0) GTEST_SKIP() << "no /proc/self/status here";
  source->read("w", Slice::all({kRows, kColumns}), into.data());
  EXPECT_LT(resident_file_bytes() - before, 4 << 20);
  source->read("w", Slice::along({kRows, kColumns}, 1, 100, 16000), into.data());
  EXPECT_LT(resident_file_bytes() - before, 4 << 20);
}

}  // namespace
}  // namespace bolide
