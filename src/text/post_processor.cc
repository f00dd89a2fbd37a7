#include "text/post_processor.h"

#include <algorithm>

#include "base/printable.h"
#include "text/parts.h"

namespace bolide::text {
namespace {

constexpr int8_t kNoSequence = -1;

void append_text(const Encoding& text, const TemplatePiece& piece, Encoding& out) {
  out.ids.insert(out.ids.end(), text.ids.begin(), text.ids.end());
  out.offsets.insert(out.offsets.end(), text.offsets.begin(), text.offsets.end());
  out.type_ids.resize(out.ids.size(), piece.type_id);
  out.sequence.resize(out.ids.size(), static_cast<int8_t>(piece.sequence));
}

// ["[SEP]", 102]
int32_t read_pair_id(const Json& part, std::string_view key, std::string_view where) {
  const auto found = part.find(key);
  if (found == part.end() || !found->is_array() || found->size() != 2 || !(*found)[0].is_string()) {
    fail(ErrorCode::kCorrupt, "{}: key '{}' must be a token and its id", where, key);
  }
  return read_int32((*found)[1], where);
}

}  // namespace

void PostProcessor::bad_id(std::string_view where, int32_t id) {
  fail(ErrorCode::kCorrupt, "{}: the post-processor adds id {}, which is not in the vocabulary", where, id);
}

// A real template has a text once and some ten tokens at most. One that repeats them makes 10^8 of a short
// text.
void PostProcessor::check_size(const std::vector<TemplatePiece>& pieces, std::string_view where) {
  constexpr size_t kMaxTexts = 8, kMaxIds = 1'000;
  size_t texts = 0, ids = 0;
  for (const TemplatePiece& piece : pieces) {
    ids += piece.ids.size();
    texts += piece.sequence >= 0;
  }
  if (std::max(ids, pieces.size()) > kMaxIds || texts > kMaxTexts) {
    fail(ErrorCode::kUnsupported,
         "{}: the post-processor's template has more than {} special tokens or {} texts", where, kMaxIds,
         kMaxTexts);
  }
}

void PostProcessor::read(const Json& part, std::string_view where) {
  const std::string type = part_type(part, where);
  if (type == "Sequence") {
    for (const Json& step : part_list(part, "processors", where)) read(step, where);
    return;
  }
  const bool assembles = type != "ByteLevel";
  if (assembles && assembles_) {
    fail(ErrorCode::kUnsupported, "{}: a second post-processor ('{}') that adds tokens is not supported",
         where, printable(type));
  }
  assembles_ = assembles_ || assembles;
  if (type == "ByteLevel" || type == "RobertaProcessing") {
    const bool add_prefix_space = json_get<bool>(part, "add_prefix_space", where);
    if (json_get<bool>(part, "trim_offsets", where)) trims_.push_back(add_prefix_space);
  }
  if (type == "TemplateProcessing") {
    read_template(part, where);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    read_cls_sep(part, where, type == "RobertaProcessing");
  } else if (type != "ByteLevel") {
    fail_unsupported(where, "post-processor", type);
  }
}

void PostProcessor::read_cls_sep(const Json& part, std::string_view where, bool roberta) {
  const std::vector<int32_t> cls = {read_pair_id(part, "cls", where)},
                             sep = {read_pair_id(part, "sep", where)};
  const int32_t second = roberta ? 0 : 1;  // RoBERTa has one type only
  single_ = {{-1, cls, 0}, {0, {}, 0}, {-1, sep, 0}};
  pair_ = single_;
  if (roberta) pair_.push_back({-1, sep, 0});
  pair_.push_back({1, {}, second});
  pair_.push_back({-1, sep, second});
}

void PostProcessor::read_template(const Json& part, std::string_view where) {
  const auto specials = part.find("special_tokens");
  if (specials == part.end() || !specials->is_object()) {
    fail(ErrorCode::kCorrupt, "{}: key 'special_tokens' must be an object", where);
  }
  const auto read_pieces = [&](std::string_view key) {
    std::vector<TemplatePiece> pieces;
    for (const Json& row : part_list(part, key, where)) {
      TemplatePiece piece;
      if (row.is_object() && row.contains("Sequence")) {
        const Json& value = row["Sequence"];
        const auto id = json_get<std::string>(value, "id", where);
        if (id != "A" && id != "B")
          fail(ErrorCode::kCorrupt, "{}: a template names a sequence '{}'", where, printable(id));
        piece.sequence = id == "A" ? 0 : 1;
        piece.type_id = read_int32(json_get<Json>(value, "type_id", where), where);
      } else if (row.is_object() && row.contains("SpecialToken")) {
        const Json& value = row["SpecialToken"];
        const auto id = json_get<std::string>(value, "id", where);
        if (!specials->contains(id)) {
          fail(ErrorCode::kCorrupt, "{}: a template names '{}', which is not in its special_tokens", where,
               printable(id));
        }
        for (const Json& each : part_list((*specials)[id], "ids", where)) {
          piece.ids.push_back(read_int32(each, where));
        }
        piece.type_id = read_int32(json_get<Json>(value, "type_id", where), where);
      } else {
        fail(ErrorCode::kCorrupt, "{}: a template holds what is neither Sequence nor SpecialToken", where);
      }
      pieces.push_back(std::move(piece));
      check_size(pieces, where);
    }
    return pieces;
  };
  single_ = read_pieces("single");
  pair_ = read_pieces("pair");
  for (const TemplatePiece& piece : single_) {
    if (piece.sequence == 1) fail(ErrorCode::kCorrupt, "{}: the template of one text names a second", where);
  }
}

Encoding PostProcessor::assemble(std::vector<Encoding> texts, bool add_special_tokens) const {
  const auto& pieces = texts.size() == 2 ? pair_ : single_;
  Encoding out;
  for (const TemplatePiece& piece : pieces) {
    if (piece.sequence >= 0) {
      append_text(texts[static_cast<size_t>(piece.sequence)], piece, out);
    } else if (add_special_tokens) {
      out.ids.insert(out.ids.end(), piece.ids.begin(), piece.ids.end());
      out.offsets.resize(out.ids.size(), {0, 0});
      out.type_ids.resize(out.ids.size(), piece.type_id);
      out.sequence.resize(out.ids.size(), kNoSequence);
    }
  }
  return out;
}

}  // namespace bolide::text
