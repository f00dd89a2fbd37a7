#include <gtest/gtest.h>

#include "checkpoint/builders.h"
#include "checkpoint/pickle.h"
#include "support/expect_error.h"
#include "support/heap_use.h"

namespace bolide {
namespace {

using namespace pickle;
using test::heap_peak, test::repeated;

constexpr auto kCorrupt = ErrorCode::kCorrupt;
const std::vector<float> kSix = {0, 1, 2, 3, 4, 5};

std::unique_ptr<TensorSource> open_text(std::string_view text) {
  static std::unique_ptr<TempFolder> folder;  // until the next one is opened
  folder = std::make_unique<TempFolder>();
  folder->put("pytorch_model.bin", text);
  return open_torch_bin(folder->path());
}
std::unique_ptr<TensorSource> open_pickle(const std::string& body) {
  return open_text(torch_file(protocol(body), {raw(kSix)}));
}
// One tensor "w" over the storage of kSix.
std::unique_ptr<TensorSource> open_view(int64_t offset, const std::vector<int64_t>& size,
                                        const std::vector<int64_t>& stride, int64_t numel = 6) {
  return open_pickle(dict({{"w", tensor(storage("FloatStorage", "0", numel), offset, size, stride)}}));
}
std::unique_ptr<TensorSource> open_file(const std::string& name) {
  return open_text(read_text_file(fixture(name), 1 << 20));
}

void expect_module(const TensorSource& source) {
  EXPECT_EQ(source.names(),
            (std::vector<std::string>{"linear.bias", "linear.weight", "norm.bias", "norm.weight"}));
  expect_ramp(source, "linear.weight", {3, 4});
  expect_ramp(source, "norm.bias", {4});
}

TEST(TorchBin, ReadsWhatTorchWrote) {
  const auto source = open_torch_bin(fixture("torch_plain"));
  for (const char* name : {"F32", "F16", "BF16", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL"})
    expect_ramp(*source, std::string("dtype.") + name, {3, 5});
  expect_ramp(*source, "scalar", {});
  expect_ramp(*source, "empty", {0, 4});
  expect_ramp(*source, "six", {2, 1, 3, 2, 2, 3});
  expect_ramp(*source, "view.block", {4, 5});
  expect_ramp(*source, "view.transposed", {5, 3});
  expect_ramp(*source, "tied.a", {4, 6});
  expect_ramp(*source, "tied.b", {4, 6});
  expect_ramp(*source, "parameter", {3, 3});
}

TEST(TorchBin, ReadsStateDictsOfModules) {
  expect_module(*open_file("module_protocol2.bin"));
  expect_module(*open_file("module_protocol4.bin"));
}

TEST(TorchBin, ReadsShardsWithAndWithoutIndex) {
  const auto check = [](const TensorSource& source) {
    EXPECT_EQ(source.names(), (std::vector<std::string>{"a.weight", "b.weight", "c"}));
    expect_ramp(source, "a.weight", {4, 3});
    expect_ramp(source, "c", {5});
  };
  check(*open_torch_bin(fixture("torch_sharded")));
  const TempFolder folder;
  const auto copy = [&](int number, const std::string& to) {
    std::filesystem::copy(fixture(fmt::format("torch_sharded/pytorch_model-0000{}-of-00002.bin", number)),
                          folder.path() / to);
  };
  copy(1, "pytorch_model_00001-of-00002.bin");
  EXPECT_ERROR(open_torch_bin(folder.path()), ErrorCode::kNotFound, "1 of 2 pytorch_model files are there");
  copy(2, "pytorch_model_00003-of-00002.bin");
  EXPECT_ERROR(open_torch_bin(folder.path()), ErrorCode::kNotFound,
               "found pytorch_model_00003-of-00002.bin where number 2 of 2");
  std::filesystem::rename(folder.path() / "pytorch_model_00003-of-00002.bin",
                          folder.path() / "pytorch_model_00002-of-00002.bin");
  check(*open_torch_bin(folder.path()));
}

TEST(TorchBin, ReadsHandMadeFiles) {
  // So that a refusal below is one of the damage and not of the builder.
  EXPECT_EQ(read_all<float>(*open_view(0, {2, 3}, {3, 1}), "w"), kSix);
  EXPECT_EQ(read_all<float>(*open_view(0, {3, 2}, {1, 3}), "w"), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(read_all<float>(*open_view(5, {1}, {77}), "w"), std::vector<float>{5});
  ZipBuilder zip;
  zip.add("m/data.pkl", protocol(dict({{"w", tensor(storage("FloatStorage", "k", 6), 0, {6}, {1})}})),
          {.flags = 8});
  zip.add("m/data/k", raw(kSix), {.align = 64, .zip64 = true}).add("m/byteorder", "little");
  EXPECT_EQ(read_all<float>(*open_text(zip.text("a comment")), "w"), kSix);
}

TEST(TorchBin, RefusesOtherFormats) {
  EXPECT_ERROR(open_file("module_legacy.bin"), ErrorCode::kUnsupported, "before version 1.6: re-save it");
  EXPECT_ERROR(open_file("trainer_state.bin"), ErrorCode::kUnsupported, "'model' is a dict, not a tensor");
  EXPECT_ERROR(open_file("whole_module.bin"), kCorrupt, "tries to call '__main__.Tiny'");
  EXPECT_ERROR(open_file("unknown_dtype.bin"), ErrorCode::kUnsupported, "unknown dtype 'torch.uint16'");
  EXPECT_ERROR(open_file("complex_dtype.bin"), ErrorCode::kUnsupported, "'torch.ComplexFloatStorage'");
  EXPECT_ERROR(open_text(""), kCorrupt, "pytorch_model.bin is empty");
  EXPECT_ERROR(open_text("{\"a\": 1}"), kCorrupt, "is text ('{\"a\": 1}'), not weights");
  EXPECT_ERROR(open_text("\1\2\3\4"), kCorrupt, "not a zip archive");
  // Text is what begins with 64 bytes of it.
  for (const char* letter : {" ", "~", "\n", "\r", "\t", "a"})
    EXPECT_ERROR(open_text(letter + std::string(63, 'a') + "\1"), kCorrupt, "is text") << letter;
  EXPECT_ERROR(open_text(std::string(63, 'a') + "\1"), kCorrupt, "not a zip archive");
  for (const char* letter : {"\x1F", "\x7F", "\x80", "\x0B"})
    EXPECT_ERROR(open_text(letter + std::string(70, 'a')), kCorrupt, "not a zip archive") << letter;
  ZipBuilder zip;
  zip.add("m/data.pkl", protocol("}")).add("m/byteorder", "big");
  EXPECT_ERROR(open_text(zip.text()), ErrorCode::kUnsupported, "big-endian");
}

TEST(TorchBin, RunsNothing) {
  const std::string call = "tries to call '";
  const std::string command = tuple({text("touch /tmp/owned")});
  EXPECT_ERROR(open_pickle(global("os", "system") + command + "R"), kCorrupt, call + "os.system'");
  EXPECT_ERROR(open_pickle(global("builtins", "eval") + command + "R"), kCorrupt, call + "builtins.eval'");
  EXPECT_ERROR(open_pickle(text("os") + text("system") + "\x93" + command + "R"), kCorrupt,
               call + "os.system'");
  EXPECT_ERROR(open_pickle("("s + text("x") + "ios\nsystem\n"), kCorrupt, call + "os.system'");
  EXPECT_ERROR(open_pickle("("s + global("os", "system") + text("x") + "o"), kCorrupt, call + "os.system'");
  EXPECT_ERROR(open_pickle(global("os", "system") + command + "\x81"), kCorrupt, call + "os.system'");
  EXPECT_ERROR(open_pickle(global("os", "system") + command + "}\x92"), kCorrupt, call + "os.system'");
  EXPECT_ERROR(open_pickle("\x82\x01"), kCorrupt, call + "an extension of copyreg'");
  EXPECT_ERROR(open_pickle(global("torch", "load") + command + "R"), kCorrupt, call + "torch.load'");
  EXPECT_ERROR(open_pickle(global("os", "system") + "]R"), kCorrupt, call + "os.system'");
  EXPECT_ERROR(open_pickle(global("os", "environ") + "}b"), kCorrupt, call + "os.environ.__setstate__'");
  EXPECT_ERROR(open_pickle("]}b"), kCorrupt, call + "list.__setstate__'");
  // Inside what looks like a state dict, and hidden among good tensors.
  EXPECT_ERROR(open_pickle(dict({{"w", tensor(storage("FloatStorage", "0", 6), 0, {6}, {1})},
                                 {"x", global("os", "system") + command + "R"}})),
               kCorrupt, call + "os.system'");
  EXPECT_ERROR(open_pickle(dict({{"w", tensor(global("os", "system") + command + "R", 0, {6}, {1})}})),
               kCorrupt, call + "os.system'");
  // A name that would break the message's line.
  EXPECT_ERROR(open_pickle(text("a\nb") + text("c") + "\x93)R"), kCorrupt, call + "a?b.c'");
}

TEST(TorchBin, RefusesDamagedPickles) {
  EXPECT_ERROR(open_text(torch_file("", {})), kCorrupt, "does not begin with a protocol");
  EXPECT_ERROR(open_text(torch_file("(dp0\n.", {})), kCorrupt, "does not begin with a protocol");
  EXPECT_ERROR(open_text(torch_file("\x80\x09}.", {})), kCorrupt, "protocol 9");
  EXPECT_ERROR(open_text(torch_file("\x80\x02}", {})), kCorrupt, "ends early");
  EXPECT_ERROR(open_pickle(""), kCorrupt, "runs empty");
  EXPECT_ERROR(open_pickle("}}"), kCorrupt, "left over");
  EXPECT_ERROR(open_pickle("(}"), kCorrupt, "mark is left over");
  EXPECT_ERROR(open_pickle("}u"), kCorrupt, "mark is missing");
  EXPECT_ERROR(open_pickle("}(Nu"), kCorrupt, "key without a value");
  EXPECT_ERROR(open_pickle("}(NNNd"), kCorrupt, "key without a value");
  EXPECT_ERROR(open_pickle("N(NNu"), kCorrupt, "adds items to None");
  EXPECT_ERROR(open_pickle("}(NNs"), kCorrupt, "runs empty");  // the dict lies below the mark
  EXPECT_ERROR(open_pickle("s"), kCorrupt, "runs empty");
  EXPECT_ERROR(open_pickle("a"), kCorrupt, "runs empty");
  EXPECT_ERROR(open_pickle("N\x85\x86"), kCorrupt, "runs empty");
  EXPECT_ERROR(open_pickle("h\x05"), kCorrupt, "has not stored");
  EXPECT_ERROR(open_pickle("}r\xff\xff\xff\xff"), kCorrupt, "memo grows");
  EXPECT_ERROR(open_pickle("X\xff\xff\xff\xff"), kCorrupt, "ends early");
  EXPECT_ERROR(open_pickle("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), kCorrupt, "ends early");
  EXPECT_ERROR(open_pickle("\x8b\x09"s + std::string(12, '\0')), kCorrupt, "over 64 bits");
  EXPECT_ERROR(open_pickle("\x95"s + raw(uint64_t{1} << 40)), kCorrupt, "frame");
  EXPECT_ERROR(open_pickle("\x8f"), kCorrupt, "opcode 0x8f");
  EXPECT_ERROR(open_pickle("cos"), kCorrupt, "ends early");
  EXPECT_ERROR(open_pickle(text("x") + "Q"), kCorrupt, "not a storage");
  EXPECT_ERROR(open_pickle("N)R"), kCorrupt, "calls None");
  EXPECT_ERROR(open_pickle("]"), ErrorCode::kUnsupported, "holds a list, not a state dict");
  EXPECT_ERROR(open_pickle("}K\x01K\x02s"), ErrorCode::kUnsupported, "has an int as a key");
  EXPECT_ERROR(open_pickle(dict({{"x\xff", "N"}})), kCorrupt, "not valid UTF-8");
  EXPECT_ERROR(open_pickle(dict({{"x", global("os", "system")}})), ErrorCode::kUnsupported,
               "'x' is a reference");
}

TEST(TorchBin, BoundsWhatAPickleBuilds) {
  EXPECT_ERROR(open_pickle(std::string(2 << 20, ')')), kCorrupt, "grows beyond");
  EXPECT_ERROR(open_pickle(std::string(2 << 20, 'N')), kCorrupt, "grows beyond");
  EXPECT_ERROR(open_pickle(std::string(2 << 20, '(')), kCorrupt, "grows beyond");
  std::string nested = "]";  // lists in lists: memory is bounded and nothing recurses
  for (int i = 0; i < 1 << 20; ++i) nested += "\x85";
  EXPECT_ERROR(open_pickle(nested), kCorrupt, "more than a state dict of its size has");
  std::string doubling = "]q\x01";  // each step doubles what the list holds, were it copied
  for (int i = 0; i < 64; ++i) doubling += "(h\x01h\x01lq\x01";
  EXPECT_ERROR(open_pickle(doubling), kCorrupt, "left over");
  ZipBuilder large;
  large.add("m/data.pkl", std::string((64 << 20) + 1, '.'));
  EXPECT_ERROR(open_text(large.text()), kCorrupt, "its data.pkl has 67108865 bytes");
}

// A pickle of 1.1 MB that has a string of 1 MB copied by its memo, or a list of 50,000 items.
TEST(TorchBin, CopiesByMemoCostNoMoreThanTheFileAllows) {
  const std::string megabyte = text(std::string(1 << 20, 'x')) + "q\x01";
  const std::string one = tensor(storage("FloatStorage", "0", 6), 0, {6}, {1}) + "q\x02";
  const std::string hostile[] = {
      megabyte + repeated("h\x01h\x01\x93"
                          "0",
                          20'000),
      "}" + megabyte + "0" + one + "0(" + repeated("h\x01h\x02", 20'000) + "u",
      megabyte + "0(" + text("storage") + global("torch", "FloatStorage") + "h\x01" + text("cpu") +
          number(1) + "tq\x03" + repeated("Q0h\x03", 20'000),
      "](" + repeated("N", 50'000) + "eq\x01" + "0" + global("torch", "Size") + "q\x02" +
          repeated("h\x02h\x01\x85R0", 20'000),
      "](" + repeated("N", 50'000) + "eq\x01" +
          repeated("]h\x01"
                   "0",
                   1000) +
          repeated("(h\x01tq\x01", 200'000),
      repeated("(K\x01K\x02", 20'000) + repeated("]", 1000),
      repeated(")0", 500'000),
      std::string("j\xff\xff\x0f\x00", 5),
      std::string("Nr\xff\xff\x0f\x00", 6) + repeated("0N", 500'000),
  };
  for (const std::string& body : hostile) {
    const std::string text = torch_file(protocol(body), {raw(kSix)});
    const TempFolder folder;
    folder.put("pytorch_model.bin", text);
    const int64_t peak =
        heap_peak([&] { EXPECT_ERROR(open_torch_bin(folder.path()), kCorrupt, "damaged pickle"); });
    EXPECT_LE(peak, static_cast<int64_t>(Unpickler::kMaxBytes * text.size() + (4 << 20)))
        << body.substr(body.size() - 8);
  }
}

TEST(TorchBin, ManyEntriesCostNoMoreThanTheFileAllows) {
  ZipBuilder zip;
  zip.add("m/data.pkl", protocol(dict({{"w", tensor(storage("FloatStorage", "0", 6), 0, {6}, {1})}})));
  zip.add("m/data/0", raw(kSix));
  for (int i = 0; i < 60'000; ++i) zip.add(fmt::format("{:x}", i), "");
  const std::string text = zip.text();
  const TempFolder folder;
  folder.put("pytorch_model.bin", text);
  bool there = false;
  const int64_t peak = heap_peak([&] { there = open_torch_bin(folder.path())->contains("w"); });
  EXPECT_TRUE(there);
  EXPECT_LE(peak, static_cast<int64_t>(2 * text.size()));
}

TEST(TorchBin, RefusesTensorsOutsideTheirStorage) {
  EXPECT_ERROR(open_view(1, {6}, {1}), kCorrupt, "'w' reaches outside its storage of 24 bytes");
  EXPECT_ERROR(open_view(0, {2, 3}, {4, 1}), kCorrupt, "outside");
  EXPECT_ERROR(open_view(-1, {1}, {1}), kCorrupt, "outside");
  EXPECT_ERROR(open_view(6, {}, {}), kCorrupt, "outside");
  EXPECT_EQ(open_view(6, {0, 4}, {4, 1})->info("w").shape, Shape({0, 4}));
  EXPECT_ERROR(open_view(INT64_MAX, {1}, {1}), kCorrupt, "outside");
  EXPECT_ERROR(open_view(0, {6}, {-1}), kCorrupt, "outside");
  EXPECT_ERROR(open_view(0, {2}, {INT64_MAX}), kCorrupt, "outside");
  EXPECT_ERROR(open_view(0, {INT64_MAX, 1}, {INT64_MAX, 1}), kCorrupt, "impossible shape");
  EXPECT_ERROR(open_view(0, {-1}, {1}), kCorrupt, "negative extent");
  EXPECT_ERROR(open_view(0, {1 << 20, 1 << 20}, {0, 0}), ErrorCode::kUnsupported, "expanded view");
  EXPECT_ERROR(open_view(0, {1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}), ErrorCode::kUnsupported,
               "7 dimensions");
  EXPECT_ERROR(open_view(0, {1, 1}, {1}), kCorrupt, "wrong things");
  EXPECT_ERROR(open_view(0, {6}, {1}, 7), kCorrupt, "storage of 28 bytes, but data/0 has 24");
  EXPECT_ERROR(open_view(0, {5}, {1}, 5), kCorrupt, "storage of 20 bytes, but data/0 has 24");
  EXPECT_ERROR(open_view(0, {1}, {1}, INT64_MAX), kCorrupt, "impossible size");
  EXPECT_ERROR(open_view(0, {1}, {1}, -1), kCorrupt, "negative size");
  EXPECT_ERROR(open_pickle(dict({{"w", tensor(storage("FloatStorage", "1", 6), 0, {6}, {1})}})), kCorrupt,
               "lies in data/1, which is not in the archive");
  EXPECT_ERROR(open_pickle(dict({{"w", tensor(storage("QInt8Storage", "0", 6), 0, {6}, {1})}})),
               ErrorCode::kUnsupported, "'torch.QInt8Storage'");
  const std::string good = tensor(storage("FloatStorage", "0", 6), 0, {6}, {1});
  EXPECT_ERROR(open_pickle(dict({{"w", good}, {"w", good}})), kCorrupt, "'w' is there twice");
}

TEST(TorchBin, RefusesDamagedArchives) {
  const std::string state = protocol(dict({{"w", tensor(storage("FloatStorage", "0", 6), 0, {6}, {1})}}));
  const auto with = [&](const ZipBuilder::Options& options) {
    open_text(ZipBuilder().add("m/data.pkl", state).add("m/data/0", raw(kSix), options).text());
  };
  with({});
  // A bomb: 24 bytes that claim to unfold into 4 GB.
  EXPECT_ERROR(with({.method = 8, .unpacked_size = 0xFFFFFFF0}), kCorrupt,
               "entry 'm/data/0' is compressed (4294967280 bytes from 24)");
  EXPECT_ERROR(with({.method = 99}), kCorrupt, "is compressed");
  EXPECT_ERROR(with({.flags = 1}), kCorrupt, "encrypted");
  EXPECT_ERROR(with({.unpacked_size = 1 << 30}), kCorrupt, "two sizes");
  EXPECT_ERROR(with({.claimed_size = 1 << 30}), kCorrupt, "reaches outside");
  EXPECT_ERROR(with({.claimed_size = 20}), kCorrupt, "data/0 has 20");
  EXPECT_ERROR(with({.local_offset = 0}), kCorrupt, "differs from the directory");
  EXPECT_ERROR(with({.local_offset = 1 << 30}), kCorrupt, "lies outside the file");
  EXPECT_ERROR(with({.local_name = "m/data/1"}), kCorrupt, "differs from the directory");
  EXPECT_ERROR(open_text(ZipBuilder().add("m/data.pkl", state).add("m/data.pkl", state).text()), kCorrupt,
               "is there twice");
  EXPECT_ERROR(open_text(ZipBuilder().add("a/data.pkl", state).add("b/data.pkl", state).text()), kCorrupt,
               "2 data.pkl");
  EXPECT_ERROR(open_text(ZipBuilder().add("m/readme", "").text()), kCorrupt, "0 data.pkl");
  EXPECT_ERROR(open_text(ZipBuilder().text()), kCorrupt, "0 data.pkl");
  const std::string whole = torch_file(state, {raw(kSix)});
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_ERROR(open_text(std::string_view(whole).substr(0, size)), kCorrupt, "pytorch_model.bin");
  EXPECT_ERROR(open_text(whole + "x"), kCorrupt, "no directory at its end");
}

}  // namespace
}  // namespace bolide
