#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bolide::text {

// What SentencePiece writes into a .model file (its protobuf message ModelProto), as far as it is needed.
// Defaults are the message's own: what a file leaves out has them.
struct SentencePieces {
  enum Type { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  enum Kind { kUnigram = 1, kBpe = 2 };
  struct Piece {
    std::string text;
    float score = 0;
    int type = kNormal;
  };
  std::vector<Piece> pieces;  // in the order of their ids
  int kind = kUnigram;
  bool byte_fallback = false;
  int32_t unk_id = 0, bos_id = 1, eos_id = 2;
  std::string unk_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>";
  std::string charsmap;  // compiled rules of normalisation; empty: none
  bool dummy_prefix = true, remove_extra_spaces = true, escape_spaces = true;
};

// kCorrupt naming `where` for what is no such message, for pieces that are empty, not UTF-8, or without a
// finite score; kUnsupported for pieces that are words or characters.
SentencePieces parse_sentencepiece(std::string_view bytes, std::string_view where);

}  // namespace bolide::text
