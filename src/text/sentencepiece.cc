#include "text/sentencepiece.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

// The fields of a protobuf message, one after another. SentencePiece's own library has no interface for the
// settings of the normalizer nor for which pieces are the user's; the format of the wire is these few lines.
class Fields {
 public:
  Fields(std::string_view bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  // False at the end.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const uint64_t tag = read_varint();
    number_ = tag >> 3;
    type_ = static_cast<int>(tag & 7);
    if (number_ == 0) corrupt("has a field without a number");
    switch (type_) {
      case 0:
        value_ = read_varint();
        return true;
      case 1:
        take(8);
        return true;
      case 2: {
        const uint64_t size = read_varint();
        if (size > bytes_.size() - at_) corrupt("is cut short");
        text_ = take(static_cast<size_t>(size));
        return true;
      }
      case 5: {
        uint32_t bits = 0;
        std::memcpy(&bits, take(4).data(), 4);
        value_ = bits;
        return true;
      }
      default:
        corrupt("has a field of an unknown type");
    }
  }

  uint64_t number() const { return number_; }
  std::string_view text() const { return want(2), text_; }
  bool flag() const { return want(0), value_ != 0; }
  // Negative ones are written with 64 bits.
  int32_t integer() const { return want(0), static_cast<int32_t>(static_cast<uint32_t>(value_)); }
  float real() const { return want(5), std::bit_cast<float>(static_cast<uint32_t>(value_)); }
  std::string_view where() const { return where_; }

  [[noreturn]] void corrupt(std::string_view what) const {
    fail(ErrorCode::kCorrupt, "{}: this sentencepiece model {}: fetch it again", where_, what);
  }

 private:
  void want(int type) const {
    if (type_ != type) corrupt("has a field of the wrong type");
  }
  std::string_view take(size_t size) {
    if (size > bytes_.size() - at_) corrupt("is cut short");
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  uint64_t read_varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    corrupt("has a number of more than 64 bits");
  }

  std::string_view bytes_, where_, text_;
  size_t at_ = 0;
  uint64_t number_ = 0, value_ = 0;
  int type_ = 0;
};

// The numbers of fields are those of sentencepiece_model.proto.
SentencePieces::Piece read_piece(Fields fields) {
  SentencePieces::Piece piece;
  while (fields.next()) {
    if (fields.number() == 1) piece.text = fields.text();
    if (fields.number() == 2) piece.score = fields.real();
    if (fields.number() == 3) piece.type = fields.integer();
  }
  if (piece.text.empty()) fields.corrupt("has an empty piece");
  if (!is_utf8(piece.text)) fields.corrupt("has a piece that is not UTF-8");
  if (!std::isfinite(piece.score)) fields.corrupt("has a piece without a finite score");
  return piece;
}

void read_trainer(Fields fields, SentencePieces& out) {
  while (fields.next()) {
    switch (fields.number()) {
      case 3:
        out.kind = fields.integer();
        break;
      case 35:
        out.byte_fallback = fields.flag();
        break;
      case 40:
        out.unk_id = fields.integer();
        break;
      case 41:
        out.bos_id = fields.integer();
        break;
      case 42:
        out.eos_id = fields.integer();
        break;
      case 45:
        out.unk_piece = fields.text();
        break;
      case 46:
        out.bos_piece = fields.text();
        break;
      case 47:
        out.eos_piece = fields.text();
        break;
      default:
        break;
    }
  }
}

void read_normalizer(Fields fields, SentencePieces& out) {
  while (fields.next()) {
    if (fields.number() == 2) out.charsmap = fields.text();
    if (fields.number() == 3) out.dummy_prefix = fields.flag();
    if (fields.number() == 4) out.remove_extra_spaces = fields.flag();
    if (fields.number() == 5) out.escape_spaces = fields.flag();
  }
}

}  // namespace

SentencePieces parse_sentencepiece(std::string_view bytes, std::string_view where) {
  SentencePieces out;
  Fields fields(bytes, where);
  while (fields.next()) {
    if (fields.number() == 1) out.pieces.push_back(read_piece({fields.text(), where}));
    if (fields.number() == 2) read_trainer({fields.text(), where}, out);
    if (fields.number() == 3) read_normalizer({fields.text(), where}, out);
  }
  if (out.pieces.empty()) fields.corrupt("has no pieces");
  if (out.kind != SentencePieces::kUnigram && out.kind != SentencePieces::kBpe) {
    fail(ErrorCode::kUnsupported,
         "{}: a sentencepiece model of kind {} is not supported: only unigram (1) and BPE (2) are", where,
         out.kind);
  }
  for (const std::string* name : {&out.unk_piece, &out.bos_piece, &out.eos_piece}) {
    if (!is_utf8(*name)) fields.corrupt("has a piece that is not UTF-8");
  }
  return out;
}

}  // namespace bolide::text
