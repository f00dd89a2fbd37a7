#include "text/normalizer.h"

#include <algorithm>

#include "text/byte_level.h"
#include "text/charsmap.h"
#include "text/normal_form.h"
#include "text/parts.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

using Chars = std::vector<AlignedChar>;

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

template <class Drop>
void erase_chars(Chars& chars, Drop drop) {
  std::erase_if(chars, [&](const AlignedChar& each) { return drop(each.c); });
}

template <class Map>
void map_chars(Chars& chars, Map map) {
  for (AlignedChar& each : chars) each.c = map(each.c);
}

// Each character becomes the ones that `expand(c, put)` puts; all stand for the same original.
template <class Expand>
void expand_chars(Chars& chars, Expand expand) {
  Chars out;
  out.reserve(chars.size() + chars.size() / 2);
  for (const AlignedChar& each : chars) {
    expand(each.c, [&](char32_t c) { out.push_back({c, each.from}); });
  }
  chars = std::move(out);
}

constexpr char32_t kDottedI = 0x130, kDotAbove = 0x307;

void lower_case(Chars& chars) {
  if (std::none_of(chars.begin(), chars.end(), [](const AlignedChar& each) { return each.c == kDottedI; })) {
    return map_chars(chars, to_lower);
  }
  expand_chars(chars, [](char32_t c, auto put) {
    put(to_lower(c));
    if (c == kDottedI) put(kDotAbove);
  });
}

class FormNormalizer : public Normalizer {
 public:
  explicit FormNormalizer(NormalForm form) : form_(form) {}
  void apply(Chars& chars, const Place& place) const override { to_normal_form(form_, chars, place.work); }
  bool leaves(std::string_view text, Work&) const override { return is_surely_normal(form_, text); }

 private:
  NormalForm form_;
};

class LowercaseNormalizer : public Normalizer {
 public:
  void apply(Chars& chars, const Place&) const override { lower_case(chars); }
  bool leaves(std::string_view text, Work&) const override {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x80 && (c < 'A' || c > 'Z'); });
  }
};

class StripAccentsNormalizer : public Normalizer {
 public:
  void apply(Chars& chars, const Place&) const override { erase_chars(chars, is_combining_mark); }
  bool leaves(std::string_view text, Work&) const override { return is_ascii(text); }
};

class NmtNormalizer : public Normalizer {
 public:
  void apply(Chars& chars, const Place&) const override {
    erase_chars(chars, [](char32_t c) {
      return (c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F ||
             c == 0x9F;
    });
    map_chars(chars, [](char32_t c) -> char32_t {
      const bool blank = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                         c == 0xFEFF || c == 0xFFFD;
      return blank ? ' ' : c;
    });
  }
  bool leaves(std::string_view text, Work&) const override {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7F; });
  }
};

class ByteLevelNormalizer : public Normalizer {
 public:
  void apply(Chars& chars, const Place&) const override {
    expand_chars(chars, [](char32_t c, auto put) {
      for (const char byte : to_string(c)) put(char_at(byte_letter(static_cast<unsigned char>(byte)), 0));
    });
  }
  bool leaves(std::string_view text, Work&) const override {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7F; });
  }
};

class StripNormalizer : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}
  void apply(Chars& chars, const Place&) const override {
    const auto keep = [](const AlignedChar& each) { return !is_white_space(each.c); };
    if (right_) chars.erase(std::find_if(chars.rbegin(), chars.rend(), keep).base(), chars.end());
    if (left_) chars.erase(chars.begin(), std::find_if(chars.begin(), chars.end(), keep));
  }
  bool leaves(std::string_view text, Work&) const override {
    if (text.empty()) return true;
    return !(left_ && is_white_space(char_at(text, 0))) &&
           !(right_ && is_white_space(char_at(text, previous_char(text, text.size()))));
  }

 private:
  bool left_, right_;
};

class PrependNormalizer : public Normalizer {
 public:
  explicit PrependNormalizer(std::string_view text) {
    for (size_t at = 0; at < text.size();) chars_.push_back(next_char(text, at));
  }
  void apply(Chars& chars, const Place& place) const override {
    if (chars.empty()) return;
    check_size(chars.size() + chars_.size(), place);
    const Span from = chars.front().from;
    Chars front;
    for (const char32_t c : chars_) front.push_back({c, from});
    chars.insert(chars.begin(), front.begin(), front.end());
  }
  bool leaves(std::string_view text, Work&) const override { return text.empty() || chars_.empty(); }

 private:
  std::vector<char32_t> chars_;
};

class ReplaceNormalizer : public Normalizer {
 public:
  ReplaceNormalizer(Regex pattern, std::string_view content) : pattern_(std::move(pattern)) {
    for (size_t at = 0; at < content.size();) content_.push_back(next_char(content, at));
  }
  void apply(Chars& chars, const Place& place) const override {
    std::string text;
    for (const AlignedChar& each : chars) append_char(text, each.c);
    std::vector<Match> matches;
    pattern_.split(text, matches, place.work);
    Chars out;
    out.reserve(chars.size());
    size_t at = 0;
    for (const Match& match : matches) {
      for (size_t byte = match.begin; byte < match.end; byte += char_size(text[byte]), ++at) {
        if (!match.matched) out.push_back(chars[at]);
      }
      if (!match.matched) continue;
      // What is put in stands for the last character before it, as in the package.
      const Span from = at > 0 ? chars[at - 1].from : Span{place.origin, place.origin};
      check_size(out.size() + content_.size(), place);
      for (const char32_t c : content_) out.push_back({c, from});
    }
    chars = std::move(out);
  }
  bool leaves(std::string_view text, Work& work) const override {
    std::vector<Match> matches;
    pattern_.split(text, matches, work);
    return matches.empty() || (matches.size() == 1 && !matches[0].matched);
  }

 private:
  Regex pattern_;
  std::vector<char32_t> content_;
};

class BertNormalizer : public Normalizer {
 public:
  BertNormalizer(const Json& part, std::string_view where)
      : clean_text_(json_get<bool>(part, "clean_text", where)),
        chinese_(json_get<bool>(part, "handle_chinese_chars", where)),
        lower_(json_get<bool>(part, "lowercase", where)),
        strip_accents_(json_get_or<bool>(part, "strip_accents", lower_, where)) {}

  void apply(Chars& chars, const Place& place) const override {
    if (clean_text_) {
      erase_chars(chars, [](char32_t c) { return !is_layout(c) && (c == 0 || c == 0xFFFD || is_other(c)); });
      map_chars(chars, [](char32_t c) { return is_white_space(c) ? U' ' : c; });
    }
    if (chinese_) {
      expand_chars(chars, [](char32_t c, auto put) {
        const bool apart = is_chinese(c);
        if (apart) put(' ');
        put(c);
        if (apart) put(' ');
      });
    }
    if (strip_accents_) {
      if (std::any_of(chars.begin(), chars.end(), [](const AlignedChar& each) { return each.c >= 0x80; })) {
        to_normal_form(NormalForm::kNfd, chars, place.work);
        erase_chars(chars, is_nonspacing_mark);
      }
    }
    if (lower_) lower_case(chars);
  }
  bool leaves(std::string_view text, Work&) const override {
    return std::all_of(text.begin(), text.end(),
                       [&](char c) { return c >= ' ' && c < 0x7F && !(lower_ && c >= 'A' && c <= 'Z'); });
  }

 private:
  static bool is_layout(char32_t c) { return c == '\t' || c == '\n' || c == '\r'; }
  bool clean_text_, chinese_, lower_, strip_accents_;
};

class CharsmapNormalizer : public Normalizer {
 public:
  explicit CharsmapNormalizer(Charsmap map) : map_(std::move(map)) {}
  void apply(Chars& chars, const Place& place) const override { map_.apply(chars, place); }
  bool leaves(std::string_view, Work&) const override { return false; }

 private:
  Charsmap map_;
};

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  void apply(Chars& chars, const Place& place) const override {
    for (const auto& step : steps_) {
      place.work.spend(8 * chars.size());
      step->apply(chars, place);
      check_size(chars.size(), place);
    }
  }
  bool leaves(std::string_view text, Work& work) const override {
    return std::all_of(steps_.begin(), steps_.end(),
                       [&](const auto& step) { return step->leaves(text, work); });
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

using Maker = std::unique_ptr<Normalizer> (*)(const Json& part, std::string_view where);
struct Row {
  std::string_view type;
  Maker make;
};

template <NormalForm form>
std::unique_ptr<Normalizer> make_form(const Json&, std::string_view) {
  return std::make_unique<FormNormalizer>(form);
}

template <class T>
std::unique_ptr<Normalizer> make_plain(const Json&, std::string_view) {
  return std::make_unique<T>();
}

std::unique_ptr<Normalizer> make_sequence(const Json& part, std::string_view where) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (const Json& step : part_list(part, "normalizers", where)) {
    if (auto made = make_normalizer(step, where)) steps.push_back(std::move(made));
  }
  return std::make_unique<SequenceNormalizer>(std::move(steps));
}

std::unique_ptr<Normalizer> make_bert(const Json& part, std::string_view where) {
  return std::make_unique<BertNormalizer>(part, where);
}

std::unique_ptr<Normalizer> make_strip(const Json& part, std::string_view where) {
  return std::make_unique<StripNormalizer>(json_get<bool>(part, "strip_left", where),
                                           json_get<bool>(part, "strip_right", where));
}

std::unique_ptr<Normalizer> make_prepend(const Json& part, std::string_view where) {
  return std::make_unique<PrependNormalizer>(json_get<std::string>(part, "prepend", where));
}

std::unique_ptr<Normalizer> make_replace(const Json& part, std::string_view where) {
  return std::make_unique<ReplaceNormalizer>(read_pattern(part, where),
                                             json_get<std::string>(part, "content", where));
}

std::unique_ptr<Normalizer> make_charsmap(const Json& part, std::string_view where) {
  const auto map = json_get<std::string>(part, "precompiled_charsmap", where);
  return std::make_unique<CharsmapNormalizer>(Charsmap(map, where));
}

constexpr Row kNormalizers[] = {
    {"BertNormalizer", make_bert},
    {"ByteLevel", make_plain<ByteLevelNormalizer>},
    {"Lowercase", make_plain<LowercaseNormalizer>},
    {"NFC", make_form<NormalForm::kNfc>},
    {"NFD", make_form<NormalForm::kNfd>},
    {"NFKC", make_form<NormalForm::kNfkc>},
    {"NFKD", make_form<NormalForm::kNfkd>},
    {"Nmt", make_plain<NmtNormalizer>},
    {"Precompiled", make_charsmap},
    {"Prepend", make_prepend},
    {"Replace", make_replace},
    {"Sequence", make_sequence},
    {"Strip", make_strip},
    {"StripAccents", make_plain<StripAccentsNormalizer>},
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& part, std::string_view where) {
  if (part.is_null()) return nullptr;
  const std::string type = part_type(part, where);
  for (const Row& row : kNormalizers) {
    if (row.type == type) return row.make(part, where);
  }
  fail_unsupported(where, "normalizer", type);
}

void check_size(size_t chars, const Place& place) {
  if (chars <= place.max_chars) return;
  fail(ErrorCode::kUnsupported,
       "the tokenizer's normalizer makes more than {} characters of a part of the text: no such file can be "
       "right",
       place.max_chars);
}

std::string normalized(const Normalizer* normalizer, const std::string& text) {
  if (!normalizer) return text;
  Work work(text.size());
  const NormalizedString aligned(text, work);
  std::vector<AlignedChar> chars;
  for (const Piece& piece : aligned.pieces) aligned.explode(piece, chars);
  normalizer->apply(chars, {0, max_rewritten(text.size()), work});
  std::string out;
  for (const AlignedChar& each : chars) append_char(out, each.c);
  return out;
}

}  // namespace bolide::text
