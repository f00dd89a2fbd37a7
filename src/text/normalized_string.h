#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/utf8.h"
#include "text/work.h"

namespace bolide::text {

// A stretch [begin, end) of the original text, in bytes.
struct Span {
  uint32_t begin, end;
};

// A character of normalised text and the original it came from.
struct AlignedChar {
  char32_t c;
  Span from;
};

// A character that a rewriting gives out, in order, and what it stands for: 0 for the next character that is
// not accounted for yet, -n for that one and the n behind it, 1 for none (it was put in after the one
// before).
struct CharChange {
  char32_t c;
  int change;
};
// Puts `changes` in the place of `chars`, with the originals that follow from them.
void apply_changes(const std::vector<CharChange>& changes, std::vector<AlignedChar>& chars);

// A part of the text between two cuts. One with an id is an added token, which nothing changes any more.
struct Piece {
  uint32_t begin, end;  // bytes of NormalizedString::text()
  uint32_t origin;      // where its original began when it was cut off; only Metaspace's "first" asks
  int32_t id = -1;
};

// How long a text may become on its way, in bytes or characters. The longest normal form has 11 bytes for
// each of the original's and the letters of bytes are twice as long; the rest is room for what a file
// prepends. Beyond that no file can be right, and a few kilobytes of one could take all memory.
constexpr size_t max_rewritten(size_t bytes) { return 32 * bytes + 4096; }

// Text on its way through normalisation and cutting: pieces, in order, of a text each byte of which knows the
// stretch of the original that it stands for. That is always whole characters: a byte of a longer character
// stands for all of it. While nothing has changed the text, it is the original and no table is kept.
class NormalizedString {
 public:
  // `work`: what is done with this text is counted there; it must outlive the object.
  NormalizedString(std::string_view original, Work& work);
  Work& work() const { return work_; }

  std::string_view text() const { return changed_ ? std::string_view(text_) : original_; }
  std::string_view text(const Piece& piece) const {
    return text().substr(piece.begin, piece.end - piece.begin);
  }
  std::string_view original() const { return original_; }

  // The original of bytes [begin, end) of text(); begin < end.
  Span span(uint32_t begin, uint32_t end) const {
    if (changed_) return {spans_[begin].begin, spans_[end - 1].end};
    while (is_continuation(original_[begin])) --begin;
    while (end < original_.size() && is_continuation(original_[end])) ++end;
    return {begin, end};
  }
  // The same bytes as a piece of their own.
  Piece cut(uint32_t begin, uint32_t end, int32_t id = -1) const;
  // The characters of a piece with their originals, appended to `out`.
  void explode(const Piece& piece, std::vector<AlignedChar>& out) const;

  std::vector<Piece> pieces;

  // Rebuilds the text piece by piece: open() or keep() for every piece, put() for each part of its new form.
  class Rewriter {
   public:
    explicit Rewriter(NormalizedString& target);
    void open(const Piece& piece);
    void put(std::string_view bytes, Span from);
    void put(const std::vector<AlignedChar>& chars);
    void append(const Piece& piece);  // the text of a piece as it is
    void keep(const Piece& piece) { open(piece), append(piece); }
    void finish();  // the target takes over what was put

   private:
    void check_size() const;
    NormalizedString& target_;
    std::string text_;
    std::vector<Span> spans_;
    std::vector<Piece> pieces_;
  };

 private:
  std::string_view original_;
  Work& work_;
  bool changed_ = false;
  std::string text_;
  std::vector<Span> spans_;  // one a byte of text_
};

}  // namespace bolide::text
