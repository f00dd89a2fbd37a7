#pragma once

#include "checkpoint/ft_bin.h"
#include "models/model.h"
#include "weights/name_table.h"

namespace bolide {

// FT's `gpt` layout: one kind of folder for GPT-2, BLOOM, OPT and Megatron's GPT. What a family adds to the
// config.ini, and which variants it is, stands in its own file.

// By canonical names, see make_decoder().
extern const NameTable kFtGptNames;

// What [gpt] says of any of them: sizes, ids and the data type, with their bounds.
ModelConfig read_ft_gpt(const Ini& ini, std::string_view where);
// Its model_variant. Where it is not given, "gpt", as FT has it, if the section has positions, which FT's
// converters of GPT-2 and OPT always write, "gpt-post" if its blocks are post-norm, or "gpt-bare" if it
// says that no norm stands before the head. Else empty.
std::string ft_gpt_variant(const Ini& ini);

using IniKeys = std::vector<std::pair<std::string, std::string>>;

// What [gpt] says of a family's graph.
struct FtGraph {
  bool post_norm = false;
  Activation activation = Activation::kGeluTanh;  // or kRelu: FT has no other
  bool learned_positions = true, embedding_norm = false, final_norm = true, alibi = false;
};
// kCorrupt unless the section says all of this, in any case of letters. With `all` none may be missing.
void check_ft_graph(const Ini& ini, const FtGraph& graph, bool all, std::string_view where);

// The length of the table of positions that the section states, which read_ft_gpt() leaves out.
void read_ft_positions(const Ini& ini, std::string_view where, ModelConfig& config);

// The section as FT's converters write it, and what they leave to a default: the variant, the graph and the
// norms' epsilon.
IniKeys write_ft_gpt(const ModelConfig& config, const std::string& model_name, int tensor_para_size,
                     DType dtype, const std::string& variant, const FtGraph& graph);

}  // namespace bolide
