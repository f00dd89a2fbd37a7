#include "weights/name_table.h"

#include <gmock/gmock.h>

#include "support/expect_check.h"
#include "weights/block_plan.h"
#include "weights/ft_tensors.h"

namespace bolide {
namespace {

using ::testing::ElementsAre;

WeightSpec spec(const std::string& name, std::vector<WeightPart> parts = {}) {
  int64_t rows = parts.empty() ? 4 : 0;
  for (const WeightPart& part : parts) rows += part.rows;
  return {.name = name, .shape = {rows, 3}, .parts = std::move(parts), .into = static_cast<Weight*>(nullptr)};
}
const std::vector<WeightPart> kQkv = {{"q", 8, 4}, {"k", 2, 1}, {"v", 2, 1}};

constexpr NameRow kRows[] = {
    {"layers.*.attention.qkv/q", "model.layers.*.q_proj"},
    {"layers.*.attention.qkv/k", "model.layers.*.k_proj"},
    {"layers.*.attention.qkv/v", "model.layers.*.v_proj"},
    {"layers.*.mlp.up", "model.layers.*.fc", Layout::kTransposed},
    {"embedding.weight", "model.wte"},
    {"embedding.weight", "model.tokens.weight"},
    {"position_embedding", "model.wpe", Layout::kAsIs, 2},
    {"head", "lm_head"},
};
constexpr NameTable kTable = {.rows = kRows, .optional_prefix = "model."};

TEST(NameTable, StemsKeepTheirEndingsAndLayersTheirNumbers) {
  const auto up = sources_of(spec("layers.17.mlp.up.weight"), kTable);
  ASSERT_EQ(up.size(), 1u);
  EXPECT_THAT(up[0].names, ElementsAre("model.layers.17.fc.weight", "layers.17.fc.weight"));
  EXPECT_EQ(up[0].layout, Layout::kTransposed);
  EXPECT_THAT(sources_of(spec("layers.0.mlp.up.bias"), kTable)[0].names,
              ElementsAre("model.layers.0.fc.bias", "layers.0.fc.bias"));
  // A name that has no prefix may have got one.
  EXPECT_THAT(sources_of(spec("head.weight"), kTable)[0].names,
              ElementsAre("lm_head.weight", "model.lm_head.weight"));
}

TEST(NameTable, RowsOfOneWeightAreAlternativesAndAnAliasComesLast) {
  WeightSpec tied = spec("embedding.weight");
  EXPECT_THAT(sources_of(tied, kTable)[0].names,
              ElementsAre("model.wte", "wte", "model.tokens.weight", "tokens.weight"));
  tied.alias = "head.weight";
  EXPECT_THAT(sources_of(tied, kTable)[0].names,
              ElementsAre("model.wte", "wte", "model.tokens.weight", "tokens.weight", "lm_head.weight",
                          "model.lm_head.weight"));
}

TEST(NameTable, EachPartHasATensorOfItsOwn) {
  const WeightSpec qkv = spec("layers.2.attention.qkv.weight", kQkv);
  const auto sources = sources_of(qkv, kTable);
  ASSERT_EQ(sources.size(), 3u);
  for (size_t p = 0; p < 3; ++p) {
    EXPECT_EQ(sources[p].first_part, p);
    EXPECT_EQ(sources[p].parts, 1u);
  }
  EXPECT_EQ(sources[0].names[0], "model.layers.2.q_proj.weight");
  EXPECT_EQ(sources[2].names[0], "model.layers.2.v_proj.weight");
  EXPECT_EQ(stored_shape(qkv, sources[0]).str(), "[8, 3]");
  EXPECT_EQ(stored_shape(qkv, sources[1]).str(), "[2, 3]");
}

TEST(NameTable, ShapesOfLayouts) {
  const std::vector<WeightPart> equal = {{"q", 4, 2}, {"k", 4, 2}, {"v", 4, 2}};
  const WeightSpec matrix = spec("layers.0.attention.qkv.weight", equal);
  WeightSpec vector = spec("layers.0.attention.qkv.bias", equal);
  vector.shape = {12};
  const auto shape = [](const WeightSpec& of, Layout layout, size_t parts) {
    return stored_shape(of, {.names = {}, .layout = layout, .first_part = 0, .parts = parts}).str();
  };
  EXPECT_EQ(shape(matrix, Layout::kAsIs, 3), "[12, 3]");
  EXPECT_EQ(shape(matrix, Layout::kHeadInterleaved, 3), "[12, 3]");
  EXPECT_EQ(shape(matrix, Layout::kTransposed, 3), "[3, 12]");
  EXPECT_EQ(shape(matrix, Layout::kTransposedParts, 3), "[3, 3, 4]");
  EXPECT_EQ(shape(vector, Layout::kTransposedParts, 3), "[3, 4]");
  EXPECT_EQ(shape(vector, Layout::kTransposed, 3), "[12]");
  EXPECT_EQ(shape(spec("w"), Layout::kTransposedParts, 1), "[3, 4]");
}

// Of a rank with heads 2 and 3 of 6 those alone are read.
TEST(NameTable, AVectorMayHaveATensorPerHead) {
  constexpr NameRow rows[] = {{"layers.*.q_norm", "m.*.norms.*", Layout::kTensorPerHead}};
  const WeightSpec norm = {.name = "layers.7.q_norm.weight",
                           .shape = {30},
                           .shard = Shard::kOut,
                           .parts = {{"", 30, 6}},
                           .into = static_cast<Tensor*>(nullptr)};
  const std::vector<WeightSource> sources = sources_of(norm, {.rows = rows});
  ASSERT_EQ(sources.size(), 6u);
  for (int64_t head = 0; head < 6; ++head) {
    const WeightSource& source = sources[static_cast<size_t>(head)];
    EXPECT_EQ(source.names, std::vector<std::string>{fmt::format("m.7.norms.{}.weight", head)});
    EXPECT_EQ(stored_shape(norm, source), Shape{5});
    const auto plan = plan_blocks(norm, source, {.tensor_size = 3, .tensor_rank = 1}, 100);
    ASSERT_EQ(plan.size(), head == 2 || head == 3 ? 1u : 0u);
    if (!plan.empty()) {
      EXPECT_EQ(plan[0].pieces[0].row0, 5 * (head - 2));
    }
  }
}

TEST(NameTable, ABaseIgnoresTheSame) {
  constexpr std::string_view own[] = {"masked_bias"}, more[] = {"inv_freq"};
  const NameTable base = {.rows = {}, .ignored = more}, table = {.rows = {}, .ignored = own, .base = &base};
  EXPECT_TRUE(is_buffer(table, "h.0.masked_bias"));
  EXPECT_TRUE(is_buffer(table, "h.0.inv_freq"));
  EXPECT_FALSE(is_buffer(base, "h.0.masked_bias"));
  EXPECT_FALSE(is_buffer(table, "h.0.bias"));
}

// What a table has no row for, its base names.
TEST(NameTable, ABaseNamesTheOthers) {
  constexpr NameRow rows[] = {{"own", "m.own"}};
  const NameTable table = {.rows = rows, .base = &kTable};
  EXPECT_THAT(sources_of(spec("own.weight"), table)[0].names, ElementsAre("m.own.weight"));
  EXPECT_EQ(sources_of(spec("layers.3.mlp.up.bias"), table)[0].names,
            sources_of(spec("layers.3.mlp.up.bias"), kTable)[0].names);
  constexpr NameRow other[] = {{"layers.*.mlp.up", "m.*.fused"}};
  EXPECT_THAT(sources_of(spec("layers.3.mlp.up.bias"), {.rows = other, .base = &kTable})[0].names,
              ElementsAre("m.3.fused.bias"));
}

// The tensor has so many rows more, and each rank's are read from behind them.
TEST(NameTable, RowsBeforeTheWeightsOwnAreSkipped) {
  WeightSpec positions = spec("position_embedding.weight");
  const WeightSource source = sources_of(positions, kTable).front();
  EXPECT_EQ(stored_shape(positions, source).str(), "[6, 3]");
  const auto first_row = [&](const Dist& dist) {
    return plan_blocks(positions, source, dist, 1000).front().slice.begin[0];
  };
  EXPECT_EQ(first_row({}), 2);
  positions.shard = Shard::kOut;
  EXPECT_EQ(first_row({.tensor_size = 2, .tensor_rank = 1}), 4);
  const BlockRead read = plan_blocks(positions, source, {}, 1000).front();
  EXPECT_EQ(read.slice.end[0], 6);
  EXPECT_EQ(read.pieces.front().row0, 0);
}

TEST(NameTableDeathTest, AWeightWithoutARowIsOurFault) {
  EXPECT_CHECK(sources_of(spec("layers.0.mlp.down.weight"), kTable), "no row of the table names");
  EXPECT_CHECK(sources_of(spec("layers.0.1.mlp.up.weight"), kTable), "no row of the table names");
  EXPECT_CHECK(sources_of(spec("layers..mlp.up.weight"), kTable), "no row of the table names");
  const std::string qkv = "layers.0.attention.qkv.weight";
  EXPECT_CHECK(sources_of(spec(qkv, {kQkv[0], kQkv[1]}), kTable), "has no part 'v'");
  EXPECT_CHECK(sources_of(spec(qkv, {kQkv[0], kQkv[1], kQkv[2], {"gate", 4, 0}}), kTable),
               "no row of the table names");
}

TEST(FtTensors, ShapesAndAxesFollowFromTheSpecs) {
  constexpr NameRow rows[] = {{"qkv", "m.qkv", Layout::kTransposedParts},
                              {"down", "m.down", Layout::kTransposed},
                              {"embedding.weight", "m.wte"}};
  WeightSpec qkv = spec("qkv.weight", {{"q", 4, 2}, {"k", 4, 2}, {"v", 4, 2}}), bias = qkv;
  qkv.shard = bias.shard = Shard::kOut;
  bias.name = "qkv.bias";
  bias.shape = {12};
  WeightSpec down = spec("down.weight"), added = spec("down.bias"), embedding = spec("embedding.weight");
  down.shard = Shard::kIn;
  added.shape = {4};
  embedding.shard = Shard::kVocab;
  const std::vector<WeightSpec> specs = {qkv, bias, down, added, embedding};
  std::vector<std::string> told;
  for (const FtTensor& tensor : ft_tensors(specs, {.rows = rows}))
    told.push_back(fmt::format("{} {} {}", tensor.name, tensor.shape.str(), tensor.split_axis));
  EXPECT_THAT(told, ElementsAre("m.qkv.weight [3, 3, 4] 2", "m.qkv.bias [3, 4] 1", "m.down.weight [3, 4] 0",
                                "m.down.bias [4] -1", "m.wte [4, 3] -1"));
}

TEST(MatchesName, ComparesComponentsFromTheEnd) {
  EXPECT_TRUE(matches_name("attn.bias", "attn.bias"));
  EXPECT_TRUE(matches_name("attn.bias", "h.0.attn.bias"));
  EXPECT_FALSE(matches_name("attn.bias", "h.0.crossattn.bias"));
  EXPECT_FALSE(matches_name("attn.bias", "h.0.attn.bias.scale"));
  EXPECT_FALSE(matches_name("attn.bias", "bias"));
  EXPECT_FALSE(matches_name("attn.bias", "h.0.attn.c_attn.bias"));
  EXPECT_TRUE(matches_name("h.*.mask", "model.h.17.mask"));
  EXPECT_TRUE(matches_name("h.*.mask", "h.0.mask"));
  EXPECT_FALSE(matches_name("h.*.mask", "h.0.attn.mask"));
  EXPECT_FALSE(matches_name("h.*.mask", "0.mask"));
  EXPECT_TRUE(matches_name("position_ids", "position_ids"));
  EXPECT_FALSE(matches_name("position_ids", "position_ids2"));
  EXPECT_FALSE(matches_name("", "a"));
}

}  // namespace
}  // namespace bolide
