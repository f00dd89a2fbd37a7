#include "text/normalized_string.h"

#include <algorithm>

#include "base/error.h"

namespace bolide::text {

void apply_changes(const std::vector<CharChange>& changes, std::vector<AlignedChar>& chars) {
  if (chars.empty()) return;
  std::vector<AlignedChar> out;
  out.reserve(changes.size());
  size_t taken = 0;  // characters of `chars` that are accounted for
  for (const CharChange& each : changes) {
    const size_t from = each.change > 0 ? std::max<size_t>(taken, 1) - 1 : taken;
    out.push_back({each.c, chars[std::min(from, chars.size() - 1)].from});
    if (each.change <= 0) taken += 1 + static_cast<size_t>(-each.change);
  }
  chars = std::move(out);
}

NormalizedString::NormalizedString(std::string_view original, Work& work) : original_(original), work_(work) {
  if (!original.empty()) pieces.push_back({0, static_cast<uint32_t>(original.size()), 0});
}

Piece NormalizedString::cut(uint32_t begin, uint32_t end, int32_t id) const {
  return {begin, end, changed_ && begin < end ? spans_[begin].begin : begin, id};
}

void NormalizedString::explode(const Piece& piece, std::vector<AlignedChar>& out) const {
  const std::string_view all = text();
  for (size_t at = piece.begin; at < piece.end;) {
    const auto begin = static_cast<uint32_t>(at);
    const char32_t c = next_char(all, at);
    out.push_back({c, changed_ ? spans_[begin] : Span{begin, static_cast<uint32_t>(at)}});
  }
}

NormalizedString::Rewriter::Rewriter(NormalizedString& target) : target_(target) {
  text_.reserve(target.text().size() * 2);
  spans_.reserve(target.text().size() * 2);
  pieces_.reserve(target.pieces.size());
}

void NormalizedString::Rewriter::open(const Piece& piece) {
  const auto at = static_cast<uint32_t>(text_.size());
  pieces_.push_back({at, at, piece.origin, piece.id});
}

void NormalizedString::Rewriter::put(std::string_view bytes, Span from) {
  text_.append(bytes);
  check_size();
  spans_.insert(spans_.end(), bytes.size(), from);
  pieces_.back().end = static_cast<uint32_t>(text_.size());
}

void NormalizedString::Rewriter::put(const std::vector<AlignedChar>& chars) {
  target_.work_.spend(4 * chars.size());
  for (const AlignedChar& each : chars) {
    append_char(text_, each.c);
    spans_.resize(text_.size(), each.from);
  }
  check_size();
  pieces_.back().end = static_cast<uint32_t>(text_.size());
}

void NormalizedString::Rewriter::append(const Piece& piece) {
  const std::string_view all = target_.text();
  target_.work_.spend(4 * (piece.end - piece.begin));
  for (uint32_t at = piece.begin; at < piece.end;) {
    const auto size = static_cast<uint32_t>(char_size(all[at]));
    put(all.substr(at, size), target_.changed_ ? target_.spans_[at] : Span{at, at + size});
    at += size;
  }
}

void NormalizedString::Rewriter::check_size() const {
  // Offsets are 32 bits.
  if (text_.size() <= std::min<size_t>(UINT32_MAX, max_rewritten(target_.original_.size()))) return;
  fail(ErrorCode::kUnsupported,
       "the tokenizer makes more than {} bytes of a text of {}: no such file can be right",
       max_rewritten(target_.original_.size()), target_.original_.size());
}

void NormalizedString::Rewriter::finish() {
  target_.text_ = std::move(text_);
  target_.spans_ = std::move(spans_);
  target_.pieces = std::move(pieces_);
  target_.changed_ = true;
}

}  // namespace bolide::text
