#include "checkpoint/ft_bin.h"

#include <gtest/gtest.h>

#include "checkpoint/builders.h"
#include "support/expect_check.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

constexpr auto kCorrupt = ErrorCode::kCorrupt;

// Rank files of a ramp of this shape, cut along `axis` (-1: one plain file).
void put_ramp(const TempFolder& folder, const FtTensor& tensor, int ranks) {
  const int files = tensor.split_axis < 0 ? 1 : ranks;
  std::vector<std::string> parts(static_cast<size_t>(files));
  for (int64_t i = 0; i < tensor.shape.count(); ++i) {
    int64_t stride = 1, rank = 0;
    for (int axis = tensor.shape.rank() - 1; axis >= 0; --axis) {
      if (axis == tensor.split_axis) rank = i / stride % tensor.shape[axis] / (tensor.shape[axis] / ranks);
      stride *= tensor.shape[axis];
    }
    parts[static_cast<size_t>(rank)] += raw(static_cast<float>(ramp(i)));
  }
  for (int rank = 0; rank < files; ++rank)
    folder.put(tensor.split_axis < 0 ? fmt::format("{}.bin", tensor.name)
                                     : fmt::format("{}.{}.bin", tensor.name, rank),
               parts[static_cast<size_t>(rank)]);
}

const std::vector<FtTensor> kTensors = {{"model.wte", {7, 4}, -1},
                                        {"qkv.weight", {4, 3, 8}, 2},
                                        {"qkv.bias", {3, 8}, -1 + 2},
                                        {"dense.weight", {8, 4}, 0},
                                        {"norm.bias", {4}, -1}};

TEST(FtFolder, RejoinsAnyNumberOfRanks) {
  for (int ranks : {1, 2, 4}) {
    const TempFolder folder;
    for (const FtTensor& tensor : kTensors) put_ramp(folder, tensor, ranks);
    const auto source = open_ft_folder(folder.path(), kTensors, ranks, DType::kF32);
    EXPECT_EQ(source->names().size(), kTensors.size());
    for (const FtTensor& tensor : kTensors) expect_ramp(*source, tensor.name, tensor.shape);
  }
}

TEST(FtFolder, ReadsOtherTypes) {
  const TempFolder folder;
  folder.put("w.0.bin", raw(std::vector<uint16_t>{1, 2}));
  folder.put("w.1.bin", raw(std::vector<uint16_t>{3, 4}));
  const auto source = open_ft_folder(folder.path(), {{"w", {2, 2}, 1}}, 2, DType::kBF16);
  EXPECT_EQ(read_all<uint16_t>(*source, "w"), (std::vector<uint16_t>{1, 3, 2, 4}));
  EXPECT_EQ(source->info("w").dtype, DType::kBF16);
  EXPECT_NE(source->where("w").find("w.0.bin"), std::string::npos);
  EXPECT_NE(source->where("w", Slice::along({2, 2}, 1, 0, 1)).find("w.0.bin"), std::string::npos);
  EXPECT_NE(source->where("w", Slice::along({2, 2}, 1, 1, 2)).find("w.1.bin"), std::string::npos);
  EXPECT_ERROR(source->info("x"), ErrorCode::kNotFound, "'x'");
}

TEST(FtFolder, ReportsEverythingAtOnce) {
  const TempFolder folder;
  for (const FtTensor& tensor : kTensors) put_ramp(folder, tensor, 2);
  std::filesystem::remove(folder.path() / "qkv.weight.1.bin");
  std::filesystem::resize_file(folder.path() / "model.wte.bin", 111);
  std::filesystem::resize_file(folder.path() / "norm.bias.bin", 17);
  folder.put("model.wpe.bin", "");
  folder.put("notes.txt", "");
  EXPECT_ERROR(
      open_ft_folder(folder.path(), kTensors, 2, DType::kF32), kCorrupt,
      "model.wte.bin has 111 bytes instead of 112 ([7, 4] fp32); norm.bias.bin has 17 bytes instead of 16 "
      "([4] fp32); qkv.weight.1.bin is missing; model.wpe.bin belongs to no tensor of this model");
}

TEST(FtFolder, ListsTenFindingsAndCountsTheRest) {
  const TempFolder folder;
  std::vector<FtTensor> tensors;
  for (int i = 0; i < 25; ++i) tensors.push_back({fmt::format("t{:02}", i), {1}, -1});
  EXPECT_ERROR(open_ft_folder(folder.path(), tensors, 1, DType::kF32), kCorrupt,
               "t09.bin is missing; and 15 more");
}

TEST(FtFolder, RefusesWrongRanks) {
  const TempFolder folder;
  for (const FtTensor& tensor : kTensors) put_ramp(folder, tensor, 2);
  EXPECT_ERROR(open_ft_folder(folder.path(), kTensors, 4, DType::kF32), kCorrupt,
               "dense.weight.2.bin is missing");
  EXPECT_ERROR(open_ft_folder(folder.path(), kTensors, 1, DType::kF32), kCorrupt,
               "dense.weight.1.bin belongs to no tensor");
  EXPECT_ERROR(open_ft_folder(folder.path(), kTensors, 3, DType::kF32), kCorrupt,
               "cannot be split over 3 ranks");
  EXPECT_ERROR(open_ft_folder(folder.path() / "no", kTensors, 2, DType::kF32), ErrorCode::kNotFound,
               "not a folder");
}

TEST(FtFolderDeathTest, TablesThatContradictThemselvesAreOurFault) {
  const TempFolder folder;
  const auto open = [&](const std::vector<FtTensor>& tensors, int ranks) {
    open_ft_folder(folder.path(), tensors, ranks, DType::kF32);
  };
  EXPECT_CHECK(open({}, 0), "ranks >= 1");
  EXPECT_CHECK(open({{"w", {2}, 1}}, 1), "split_axis");
  EXPECT_CHECK(open({{"w", {2}, -2}}, 1), "split_axis");
  EXPECT_CHECK(open({{"w", {2}, 0}, {"w", {2}, 0}}, 1), "w is listed twice");
  put_ramp(folder, {"w", {2}, -1}, 1);
  const auto source = open_ft_folder(folder.path(), {{"w", {2}, -1}}, 1, DType::kF32);
  float into[4];
  EXPECT_CHECK(source->read("w", Slice::all({3}), into), "slice.end");
  EXPECT_CHECK(source->read("w", Slice::along({2}, 0, -1, 1), into), "slice.begin");
  EXPECT_CHECK(source->read("w", Slice::along({2}, 0, 2, 1), into), "wanted");
}

TEST(FtFolder, NameAndConfigAgree) {
  check_ft_ranks("out/2-gpu", 2);
  check_ft_ranks("out/2-gpu/", 2);
  check_ft_ranks("out/renamed", 2);
  check_ft_ranks("out/x2-gpu", 4);
  EXPECT_ERROR(check_ft_ranks("out/2-gpu", 4), kCorrupt, "tensor_para_size=4, but the folder is named for 2");
  EXPECT_ERROR(check_ft_ranks("out/8-gpu/", 4), kCorrupt, "named for 8");
}

TEST(FtFolder, IsKnownByItsConfig) {
  const TempFolder folder;
  EXPECT_FALSE(is_ft_folder(folder.path()));
  EXPECT_FALSE(is_ft_folder(folder.path() / "no"));
  folder.put("config.ini", "[gpt]\n");
  EXPECT_TRUE(is_ft_folder(folder.path()));
}

TEST(Ini, ReadsSectionsAndKeys) {
  const Ini ini = parse_ini(
      "# comment\n; another\n[gpt]\nModel_Name=bloom\nnum_layer = 24\r\nempty=\npath: a=b\n\n[ task_0 ]\nx=1",
      "ini");
  EXPECT_EQ(ini.at("gpt").at("model_name"), "bloom");
  EXPECT_EQ(ini.at("gpt").at("num_layer"), "24");
  EXPECT_EQ(ini.at("gpt").at("empty"), "");
  EXPECT_EQ(ini.at("gpt").at("path"), "a=b");
  EXPECT_EQ(ini.at(" task_0 ").at("x"), "1");
  EXPECT_TRUE(parse_ini("", "ini").empty());
  EXPECT_EQ(ini_get<int64_t>(parse_ini("\xEF\xBB\xBF[a]\nx=1\n", "ini"), "a", "x", "ini"), 1);
}

TEST(Ini, NamesTheLineOfAnythingElse) {
  EXPECT_ERROR(parse_ini("[gpt]\nx=1\nnonsense\n", "c.ini"), kCorrupt,
               "c.ini:3: neither a section nor key=value");
  EXPECT_ERROR(parse_ini("x=1\n", "c.ini"), kCorrupt, "c.ini:1: a key before the first [section]");
  EXPECT_ERROR(parse_ini("[gpt\n", "c.ini"), kCorrupt, "c.ini:1: not a section header");
  EXPECT_ERROR(parse_ini("[]\n", "c.ini"), kCorrupt, "not a section header");
  EXPECT_ERROR(parse_ini("[a]\n[a]\n", "c.ini"), kCorrupt, "c.ini:2: a second section");
  EXPECT_ERROR(parse_ini("[a]\nx=1\nX=2\n", "c.ini"), kCorrupt, "c.ini:3: a second value");
  EXPECT_ERROR(parse_ini("[a]\n=2\n", "c.ini"), kCorrupt, "c.ini:2: neither");
  EXPECT_ERROR(parse_ini("[a]\nx=1\n  y=2\n", "c.ini"), kCorrupt, "c.ini:3: an indented line");
  EXPECT_ERROR(parse_ini(std::string_view("[a]\nx=\0\n", 8), "c.ini"), kCorrupt, "c.ini:2: a zero byte");
  const TempFolder folder;
  EXPECT_ERROR(read_ini(folder.path() / "config.ini"), ErrorCode::kNotFound, "config.ini");
  EXPECT_ERROR(read_ini(folder.put("config.ini", "[gpt]\n?\n")), kCorrupt, "config.ini:2");
  EXPECT_ERROR(read_ini(folder.put("config.ini", std::string((1 << 20) + 1, '#'))), kCorrupt,
               "config.ini has 1048577 bytes, more than the 1048576");
  EXPECT_TRUE(read_ini(folder.put("config.ini", std::string(1 << 20, '#'))).empty());
  EXPECT_ERROR(parse_ini("[a]\nx=1\n\ty=2\n", "c.ini"), kCorrupt, "c.ini:3: an indented line");
  EXPECT_ERROR(parse_ini("[a]x\n", "c.ini"), kCorrupt, "c.ini:1: not a section header");
}

TEST(Ini, KnowsPythonsWordsAndLetters) {
  const Ini ini = parse_ini("[a]\nAZ@[`{=1\nt1=yes\nt2=On\nt3=1\nf1=no\nf2=OFF\nf3=0\nb=\t x \f\n", "c.ini");
  EXPECT_EQ(ini.at("a").at("az@[`{"), "1");
  EXPECT_EQ(ini.at("a").at("b"), "x");
  for (const char* key : {"t1", "t2", "t3"}) EXPECT_TRUE(ini_get<bool>(ini, "a", key, "c.ini"));
  for (const char* key : {"f1", "f2", "f3"}) EXPECT_FALSE(ini_get<bool>(ini, "a", key, "c.ini"));
  EXPECT_ERROR(ini_get<double>(ini, "a", "t1", "c.ini"), kCorrupt, "'yes' instead of a number");
  EXPECT_ERROR(ini_get<int64_t>(parse_ini("[a]\nx=1 2\n", "c"), "a", "x", "c"), kCorrupt, "'1 2' instead of");
  EXPECT_EQ(format_ini({{"a", {{"x", "1\n2"}}}, {"b", {}}}), "[a]\nx=1\n\t2\n\n[b]\n\n");
}

TEST(Ini, GivesTypedValues) {
  const Ini ini = parse_ini("[gpt]\nname=x\nlayers=24\neps=1e-05\nyes=True\nno=False\n", "c.ini");
  EXPECT_EQ(ini_get<std::string>(ini, "gpt", "name", "c.ini"), "x");
  EXPECT_EQ(ini_get<int64_t>(ini, "gpt", "layers", "c.ini"), 24);
  EXPECT_EQ(ini_get<double>(ini, "gpt", "eps", "c.ini"), 1e-5);
  EXPECT_TRUE(ini_get<bool>(ini, "gpt", "yes", "c.ini"));
  EXPECT_FALSE(ini_get<bool>(ini, "gpt", "no", "c.ini"));
  EXPECT_ERROR(ini_get<bool>(ini, "gpt", "layers", "c.ini"), kCorrupt, "'24' instead of True or False");
  EXPECT_ERROR(ini_get<int64_t>(ini, "gpt", "eps", "c.ini"), kCorrupt, "'1e-05' instead of a whole number");
  EXPECT_ERROR(ini_get<int64_t>(ini, "gpt", "heads", "c.ini"), kCorrupt,
               "c.ini: key 'heads' of section [gpt] is missing");
  EXPECT_ERROR(ini_get<int64_t>(ini, "bert", "heads", "c.ini"), kCorrupt, "section [bert] is missing");
}

}  // namespace
}  // namespace bolide
