#pragma once

#include <string_view>
#include <vector>

#include "base/json.h"
#include "bolide/tokenizer.h"
#include "text/vocabulary.h"

namespace bolide::text {

// What is put together in the end: one of the texts, or tokens of the processor's own.
struct TemplatePiece {
  int sequence = -1;         // 0 or 1: the first or second text; -1: ids
  std::vector<int32_t> ids;  // special tokens
  int32_t type_id = 0;
};

// The post-processor of a tokenizer.json, boiled down: which offsets to trim and what to put where.
class PostProcessor {
 public:
  // null gives the texts one after the other. kUnsupported names a type that Bolide does not have, kCorrupt a
  // special token that is not in the vocabulary (`has_id`).
  template <class HasId>
  PostProcessor(const Json& part, std::string_view where, HasId has_id) {
    if (!part.is_null()) read(part, where);
    check(where, has_id);
  }

  // Whether offsets leave out the blanks that a token begins and ends with: one entry for each time that it
  // is done, true where a single blank at the front of the text is one that the tokenizer put there.
  const std::vector<bool>& trims() const { return trims_; }

  // `texts`: one or two encodings without special tokens.
  Encoding assemble(std::vector<Encoding> texts, bool add_special_tokens) const;

 private:
  void read(const Json& part, std::string_view where);
  void read_template(const Json& part, std::string_view where);
  void read_cls_sep(const Json& part, std::string_view where, bool roberta);
  static void check_size(const std::vector<TemplatePiece>& pieces, std::string_view where);
  [[noreturn]] static void bad_id(std::string_view where, int32_t id);

  template <class HasId>
  void check(std::string_view where, HasId has_id) const {
    for (const auto* pieces : {&single_, &pair_}) {
      for (const TemplatePiece& piece : *pieces) {
        for (const int32_t id : piece.ids) {
          if (!has_id(id)) bad_id(where, id);
        }
      }
    }
  }

  std::vector<bool> trims_;
  bool assembles_ = false;  // a part other than ByteLevel has set the templates
  std::vector<TemplatePiece> single_ = {{0, {}, 0}};
  std::vector<TemplatePiece> pair_ = {{0, {}, 0}, {1, {}, 1}};
};

}  // namespace bolide::text
