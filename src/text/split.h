#pragma once

#include <string>
#include <vector>

#include "text/normalized_string.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace bolide::text {

// What becomes of the delimiters that a pattern matched.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// "Removed", "Isolated", ...; kUnsupported for another word.
SplitBehavior parse_behavior(const std::string& name, std::string_view where);

// Rearranges `matches`, which cover a text, so that each is a part of the outcome; matched ones among them
// are to be dropped.
void apply_behavior(SplitBehavior behavior, std::vector<Match>& matches);

// Cuts every piece that is no added token: `find(text, matches)` appends Matches that cover a piece's text.
template <class Find>
void split_pieces(NormalizedString& text, SplitBehavior behavior, Find find) {
  std::vector<Piece> out;
  out.reserve(text.pieces.size() + text.text().size() / 4);
  std::vector<Match> matches;
  for (const Piece& piece : text.pieces) {
    text.work().spend(16 + piece.end - piece.begin);
    if (piece.id >= 0) {
      out.push_back(piece);
      continue;
    }
    matches.clear();
    find(text.text(piece), matches);
    apply_behavior(behavior, matches);
    for (const Match& match : matches) {
      if (match.matched || match.begin == match.end) continue;
      out.push_back(text.cut(piece.begin + static_cast<uint32_t>(match.begin),
                             piece.begin + static_cast<uint32_t>(match.end)));
    }
  }
  text.pieces = std::move(out);
}

// Each character for which `is_delimiter` holds is a match of its own.
template <class IsDelimiter>
void find_chars(std::string_view text, std::vector<Match>& out, IsDelimiter is_delimiter) {
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!is_delimiter(next_char(text, at))) continue;
    if (done < begin) out.push_back({done, begin, false});
    out.push_back({begin, at, true});
    done = at;
  }
  if (done < text.size()) out.push_back({done, text.size(), false});
}

}  // namespace bolide::text
