// The pickle of a state dict by itself, without an archive around it.
#include "checkpoint/torch_pickle.h"

#include <gtest/gtest.h>

#include "checkpoint/builders.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

using namespace pickle;

constexpr auto kCorrupt = ErrorCode::kCorrupt;

std::vector<PickledTensor> read(const std::string& body, uint8_t version = 2) {
  const std::string text = "\x80"s + raw(version) + body + ".";
  return read_state_dict(std::as_bytes(std::span(text)), "f");
}
// The one tensor of a state dict.
PickledTensor read_tensor(const std::string& value) {
  const std::vector<PickledTensor> state = read(dict({{"w", value}}));
  EXPECT_EQ(state.size(), 1u);
  return state.at(0);
}

std::vector<std::string> storage_parts() {
  return {text("storage"), global("torch", "FloatStorage"), text("k"), text("cpu"), number(6)};
}
std::string storage_of(const std::vector<std::string>& parts) { return tuple(parts) + "Q"; }
std::vector<std::string> tensor_parts() {
  return {storage_of(storage_parts()), number(1), numbers({2, 2}), numbers({2, 1}), "\x89", "N"};
}
std::string tensor_of(const std::vector<std::string>& parts, const std::string& version = "v2") {
  return global("torch._utils", "_rebuild_tensor_"s + version) + tuple(parts) + "R";
}
std::string good() { return tensor_of(tensor_parts()); }

// `parts` with another one at `index`.
std::vector<std::string> with(std::vector<std::string> parts, size_t index, const std::string& other) {
  parts.at(index) = other;
  return parts;
}

TEST(TorchPickle, ReadsATensor) {
  const PickledTensor tensor = read_tensor(good());
  EXPECT_EQ(tensor.name, "w");
  EXPECT_EQ(tensor.storage, "k");
  EXPECT_EQ(tensor.storage_bytes, 24);
  EXPECT_EQ(tensor.offset, 1);
  EXPECT_EQ(tensor.shape, Shape({2, 2}));
  EXPECT_EQ(tensor.strides[0], 2);
  EXPECT_EQ(tensor.strides[1], 1);
  EXPECT_EQ(tensor.dtype, DType::kF32);
  EXPECT_TRUE(read("}").empty());
}

TEST(TorchPickle, AStorageIsWhatItsPartsAre) {
  for (const std::string& other : {std::string("N"), text("x"), number(3), std::string("]")}) {
    for (size_t i : {0, 1, 2, 4}) {
      if (i == 2 && other == text("x")) continue;  // a key as good as any
      if (i == 4 && other == number(3)) continue;
      EXPECT_ERROR(read(storage_of(with(storage_parts(), i, other))), kCorrupt, "id is not a storage");
    }
  }
  EXPECT_ERROR(read(tuple({text("storage"), global("torch", "FloatStorage"), text("k"), text("cpu")}) + "Q"),
               kCorrupt, "id is not a storage");
  std::string list = "](";
  for (const std::string& part : storage_parts()) list += part;
  EXPECT_ERROR(read(list + "eQ"), kCorrupt, "id is not a storage");
  EXPECT_ERROR(read("NQ"), kCorrupt, "id is not a storage");
  EXPECT_ERROR(read(storage_of(with(storage_parts(), 4, number(-1)))), kCorrupt, "negative size");
  EXPECT_NO_THROW(
      read_tensor(tensor_of(with(tensor_parts(), 0, storage_of(with(storage_parts(), 4, number(0)))))));
  EXPECT_ERROR(read(storage_of(with(storage_parts(), 1, global("torch", "Storage")))),
               ErrorCode::kUnsupported, "unknown storage type 'torch.Storage'");
  auto more = storage_parts();
  more.push_back("N");  // the metadata of old views
  EXPECT_EQ(read_tensor(tensor_of(with(tensor_parts(), 0, storage_of(more)))).storage, "k");
}

TEST(TorchPickle, ATensorIsWhatItsPartsAre) {
  EXPECT_NO_THROW(read_tensor(good()));
  const std::string wrong = "built from the wrong things";
  for (const std::string& other : {std::string("N"), std::string("]"), text("x")}) {
    for (size_t i : {0, 1, 2, 3})
      EXPECT_ERROR(read(tensor_of(with(tensor_parts(), i, other))), kCorrupt, wrong);
  }
  EXPECT_ERROR(read(tensor_of(with(tensor_parts(), 0, good()))), kCorrupt, wrong);  // of a tensor
  EXPECT_ERROR(
      read(tensor_of(with(tensor_parts(), 0, global("torch", "device") + tuple({text("cpu")}) + "R"))),
      kCorrupt, wrong);
  EXPECT_ERROR(read(tensor_of(with(tensor_parts(), 3, numbers({1})))), kCorrupt, wrong);
  EXPECT_ERROR(read(tensor_of(with(tensor_parts(), 2, numbers({2, 2, 1})))), kCorrupt, wrong);
  auto few = tensor_parts();
  few.pop_back();
  EXPECT_ERROR(read(tensor_of(few)), kCorrupt, wrong);
  for (size_t i : {2, 3}) {
    EXPECT_ERROR(read(tensor_of(with(tensor_parts(), i, tuple({number(1), "N"})))), kCorrupt,
                 "something else than numbers");
    EXPECT_ERROR(read(tensor_of(with(tensor_parts(), i, tuple({"N", number(1)})))), kCorrupt,
                 "something else than numbers");
  }
  const std::vector<int64_t> most(Shape::kMaxRank, 1), more(Shape::kMaxRank + 1, 1);
  EXPECT_EQ(
      read_tensor(tensor_of(with(with(tensor_parts(), 2, numbers(most)), 3, numbers(most)))).shape.rank(),
      Shape::kMaxRank);
  EXPECT_ERROR(read(tensor_of(with(with(tensor_parts(), 2, numbers(more)), 3, numbers(more)))),
               ErrorCode::kUnsupported, "has 7 dimensions");
}

TEST(TorchPickle, VersionThreeSaysTheType) {
  auto parts = tensor_parts();
  parts[0] = storage_of(with(storage_parts(), 1, global("torch.storage", "UntypedStorage")));
  EXPECT_ERROR(read(tensor_of(parts)), kCorrupt, "without saying its dtype");
  EXPECT_ERROR(read(tensor_of(parts, "v3")), kCorrupt, "built from the wrong things");
  parts.push_back("N");
  EXPECT_ERROR(read(tensor_of(parts, "v3")), ErrorCode::kUnsupported, "unknown dtype 'None'");
  parts[6] = global("torch", "uint16");
  EXPECT_ERROR(read(tensor_of(parts, "v3")), ErrorCode::kUnsupported, "unknown dtype 'torch.uint16'");
  const std::pair<const char*, DType> types[] = {{"float32", DType::kF32},   {"float16", DType::kF16},
                                                 {"bfloat16", DType::kBF16}, {"float64", DType::kF64},
                                                 {"int64", DType::kI64},     {"int32", DType::kI32},
                                                 {"int16", DType::kI16},     {"int8", DType::kI8},
                                                 {"uint8", DType::kU8},      {"bool", DType::kBool}};
  for (const char* storage : {"torch.storage", "torch"}) {
    parts[0] = storage_of(with(storage_parts(), 1, global(storage, "UntypedStorage")));
    for (const auto& [name, type] : types) {
      parts[6] = global("torch", name);
      const PickledTensor tensor = read_tensor(tensor_of(parts, "v3"));
      EXPECT_EQ(tensor.dtype, type) << name;
      EXPECT_EQ(tensor.storage_bytes, 6);  // untyped: bytes
    }
  }
}

TEST(TorchPickle, ParametersAndPlainDataBesideThem) {
  for (const char* name : {"_rebuild_parameter", "_rebuild_parameter_with_state"}) {
    const std::string function = global("torch._utils", name);
    EXPECT_EQ(read_tensor(function + tuple({good(), "\x88", "N"}) + "R").offset, 1);
    for (const std::string& other : {std::string(), std::string("N"), storage_of(storage_parts())})
      EXPECT_ERROR(read(function + tuple({other}) + "R"), kCorrupt, "built from no tensor");
  }
  const std::string ordered = global("collections", "OrderedDict");
  EXPECT_EQ(read(ordered + "(]("s + tuple({text("w"), good()}) + tuple({text("v"), good()}) + "etR").size(),
            2u);
  EXPECT_EQ(read(ordered + "(](]("s + text("w") + good() + "eetR").size(), 1u);  // a list as a pair
  EXPECT_ERROR(read(ordered + tuple({tuple({})}) + "R"), kCorrupt, "built from no list");
  EXPECT_ERROR(read(ordered + "(]("s + tuple({text("w")}) + "etR"), kCorrupt, "something else than pairs");
  EXPECT_ERROR(read(ordered + "(](NetR"), kCorrupt, "something else than pairs");
  const std::string size = global("torch", "Size");
  EXPECT_EQ(read_tensor(tensor_of(with(tensor_parts(), 2, size + tuple({numbers({2, 2})}) + "R"))).shape,
            Shape({2, 2}));
  EXPECT_EQ(
      read_tensor(tensor_of(with(tensor_parts(), 2, size + "(]("s + number(2) + number(2) + "etR"))).shape,
      Shape({2, 2}));
  EXPECT_ERROR(read(size + ")R"), kCorrupt, "tries to call 'torch.Size'");
  EXPECT_ERROR(read(size + tuple({"N"}) + "R"), kCorrupt, "tries to call 'torch.Size'");
  EXPECT_ERROR(read(size + tuple({numbers({1}), numbers({1})}) + "R"), kCorrupt,
               "tries to call 'torch.Size'");
  // Neither a device nor a storage is a tensor.
  EXPECT_ERROR(read(dict({{"d", global("torch", "device") + ")R"}})), ErrorCode::kUnsupported,
               "'d' is an object");
  EXPECT_ERROR(read(dict({{"s", storage_of(storage_parts())}})), ErrorCode::kUnsupported, "'s' is an object");
}

TEST(TorchPickle, NumbersInEveryEncoding) {
  const std::pair<std::string, int64_t> encodings[] = {
      {std::string("K\xff", 2), 255},
      {std::string("M\xff\x00", 3), 255},
      {std::string("M\x00\xff", 3), 0xFF00},
      {"J"s + raw(int32_t{70'000}), 70'000},
      {"J"s + raw(int32_t{-2}), -2},
      {std::string("\x8a\x00", 2), 0},
      {std::string("\x8a\x01\x7f", 3), 127},
      {std::string("\x8a\x01\x80", 3), -128},
      {std::string("\x8a\x02\xff\x00", 4), 255},
      {"\x8a\x08"s + raw(INT64_MIN), INT64_MIN},
      {"\x8a\x08"s + raw(INT64_MAX), INT64_MAX},
      {std::string("\x8b\x02\x00\x00\x00\x01\x01", 7), 257},
  };
  for (const auto& [bytes, value] : encodings)
    EXPECT_EQ(read_tensor(tensor_of(with(tensor_parts(), 1, bytes))).offset, value) << value;
  EXPECT_ERROR(read("\x8a\x09"s + std::string(9, '\0')), kCorrupt, "over 64 bits");
  for (const std::string& other : {std::string("\x88"), std::string("\x89"), "G"s + raw(1.0)})
    EXPECT_ERROR(read(tensor_of(with(tensor_parts(), 1, other))), kCorrupt, "wrong things");
}

TEST(TorchPickle, TextsInEveryEncoding) {
  for (const std::string& name :
       {"U\x02"s + std::string("ab"), "\x8c\x02"s + std::string("ab"), "T"s + raw(uint32_t{2}) + "ab",
        "X"s + raw(uint32_t{2}) + "ab", "\x8d"s + raw(uint64_t{2}) + "ab"}) {
    EXPECT_EQ(read("}"s + name + good() + "s").at(0).name, "ab") << name;
  }
  for (const std::string& bytes :
       {"C\x02"s + std::string("ab"), "B"s + raw(uint32_t{2}) + "ab", "\x8e"s + raw(uint64_t{2}) + "ab"})
    EXPECT_ERROR(read("}"s + bytes + good() + "s"), ErrorCode::kUnsupported, "has bytes as a key");
}

TEST(TorchPickle, StackAndMemo) {
  const std::string one = text("w") + good();
  EXPECT_EQ(read("}N0"s + one + "s").size(), 1u);                             // POP
  EXPECT_EQ(read("}(0"s + one + "s").size(), 1u);                             // of a mark
  EXPECT_EQ(read("}(NN1"s + one + "s").size(), 1u);                           // POP_MARK
  EXPECT_EQ(read("}"s + one + "s}b").size(), 1u);                             // BUILD drops a dict's state
  EXPECT_EQ(read("("s + one + "d").size(), 1u);                               // DICT
  EXPECT_EQ(read("}"s + text("w") + "2"s + "0"s + good() + "s").size(), 1u);  // DUP
  EXPECT_EQ(read("}q\x00"s + one + "s0h\x00"s).size(), 1u);
  EXPECT_EQ(read("}r\x02\x00\x00\x00"s + one + "s0j\x02\x00\x00\x00"s).size(), 1u);
  EXPECT_EQ(read("}\x94"s + one + "\x94s0h\x00"s).size(), 1u);  // MEMOIZE numbers upwards
  EXPECT_ERROR(read("}\x94h\x01"), kCorrupt, "has not stored");
  EXPECT_ERROR(read("}q\x01h\x00"s), kCorrupt, "has not stored");  // a gap
  EXPECT_ERROR(read("(0"), kCorrupt, "runs empty");
  EXPECT_ERROR(read("N(0"), ErrorCode::kUnsupported, "holds None");
  EXPECT_ERROR(read("(h\x00"s), kCorrupt, "has not stored");
  EXPECT_ERROR(read("N(\x85"), kCorrupt, "runs empty");  // no tuple reaches below a mark
  EXPECT_ERROR(read("}(a"), kCorrupt, "runs empty");
  EXPECT_ERROR(read("](Na"), kCorrupt, "runs empty");
  EXPECT_ERROR(read("(b"), kCorrupt, "runs empty");
  EXPECT_ERROR(read("}Na"), kCorrupt, "adds items to a dict");
  EXPECT_ERROR(read("]NNs"), kCorrupt, "adds items to a list");
  EXPECT_ERROR(read("o"), kCorrupt, "mark is missing");
  EXPECT_ERROR(read("(o"), kCorrupt, "runs empty");
  for (const char* op : {"\x81", "\x92", "N\x81", "N\x92"}) EXPECT_ERROR(read(op), kCorrupt, "runs empty");
}

TEST(TorchPickle, ProtocolsTwoToFiveAndFrames) {
  for (const uint8_t version : {2, 3, 4, 5}) EXPECT_TRUE(read("}", version).empty());
  for (const uint8_t version : {0, 1, 6, 255})
    EXPECT_ERROR(read("}", version), kCorrupt, fmt::format("protocol {} is none of 2 to 5", version));
  EXPECT_TRUE(read("\x95"s + raw(uint64_t{2}) + "}").empty());
  EXPECT_ERROR(read("\x95"s + raw(uint64_t{3}) + "}"), kCorrupt, "a frame ends after the file");
  EXPECT_ERROR(read_state_dict({}, "f"), kCorrupt, "begin with a protocol");
}

}  // namespace
}  // namespace bolide
