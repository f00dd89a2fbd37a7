#include "text/pre_tokenizer.h"

#include "base/printable.h"
#include "text/byte_level.h"
#include "text/gpt2_split.h"
#include "text/parts.h"
#include "text/split.h"
#include "text/unicode.h"

namespace bolide::text {
namespace {

class SplitPreTokenizer : public PreTokenizer {
 public:
  SplitPreTokenizer(Regex pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void apply(NormalizedString& text) const override {
    split_pieces(text, behavior_, [&](std::string_view part, std::vector<Match>& out) {
      pattern_.split(part, out, text.work());
      if (invert_) {
        for (Match& match : out) match.matched = !match.matched;
      }
    });
  }

 private:
  Regex pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// Writes `prefix` before a piece, as part of its first character.
void put_prefix(const NormalizedString& text, const Piece& piece, std::string_view prefix,
                NormalizedString::Rewriter& out) {
  out.put(prefix, text.span(piece.begin, piece.begin + 1));
}

class ByteLevelPreTokenizer : public PreTokenizer {
 public:
  ByteLevelPreTokenizer(bool add_prefix_space, bool use_regex, bool raw)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex), raw_(raw) {}
  void apply(NormalizedString& text) const override {
    if (add_prefix_space_) put_spaces(text);
    if (use_regex_) split_pieces(text, SplitBehavior::kIsolated, gpt2_split);
    if (!raw_) put_letters(text);
  }

 private:
  static bool lacks_space(const NormalizedString& text, const Piece& piece) {
    return piece.id < 0 && text.text()[piece.begin] != ' ';
  }
  static void put_spaces(NormalizedString& text) {
    bool needed = false;
    for (const Piece& piece : text.pieces) needed = needed || lacks_space(text, piece);
    if (!needed) return;
    NormalizedString::Rewriter out(text);
    for (const Piece& piece : text.pieces) {
      if (!lacks_space(text, piece)) {
        out.keep(piece);
        continue;
      }
      out.open(piece);
      put_prefix(text, piece, " ", out);
      out.append(piece);
    }
    out.finish();
  }
  static void put_letters(NormalizedString& text) {
    NormalizedString::Rewriter out(text);
    for (const Piece& piece : text.pieces) {
      if (piece.id >= 0) {
        out.keep(piece);
        continue;
      }
      out.open(piece);
      for (uint32_t at = piece.begin; at < piece.end; ++at) {
        out.put(byte_letter(static_cast<unsigned char>(text.text()[at])), text.span(at, at + 1));
      }
    }
    out.finish();
  }

  bool add_prefix_space_, use_regex_, raw_;
};

class MetaspacePreTokenizer : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };
  MetaspacePreTokenizer(char32_t replacement, Prepend prepend, bool split)
      : replacement_(replacement), letter_(to_string(replacement)), prepend_(prepend), split_(split) {}
  void apply(NormalizedString& text) const override {
    NormalizedString::Rewriter out(text);
    for (const Piece& piece : text.pieces) {
      if (piece.id >= 0) {
        out.keep(piece);
      } else {
        rewrite(text, piece, out);
      }
    }
    out.finish();
    if (!split_) return;
    split_pieces(text, SplitBehavior::kMergedWithNext, [&](std::string_view part, std::vector<Match>& found) {
      find_chars(part, found, [&](char32_t c) { return c == replacement_; });
    });
  }

 private:
  void rewrite(const NormalizedString& text, const Piece& piece, NormalizedString::Rewriter& out) const {
    out.open(piece);
    const std::string_view part = text.text(piece);
    const bool marked = part.starts_with(' ') || part.starts_with(letter_);
    const bool wanted = prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && piece.origin == 0);
    if (wanted && !marked) put_prefix(text, piece, letter_, out);
    for (size_t at = 0; at < part.size();) {
      const size_t size = char_size(part[at]);
      const uint32_t begin = piece.begin + static_cast<uint32_t>(at);
      out.put(part[at] == ' ' ? std::string_view(letter_) : part.substr(at, size),
              text.span(begin, begin + 1));
      at += size;
    }
  }

  char32_t replacement_;
  std::string letter_;
  Prepend prepend_;
  bool split_;
};

class DigitsPreTokenizer : public PreTokenizer {
 public:
  explicit DigitsPreTokenizer(bool individual)
      : behavior_(individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous) {}
  void apply(NormalizedString& text) const override {
    split_pieces(text, behavior_,
                 [](std::string_view part, std::vector<Match>& out) { find_chars(part, out, is_numeric); });
  }

 private:
  SplitBehavior behavior_;
};

class PunctuationPreTokenizer : public PreTokenizer {
 public:
  explicit PunctuationPreTokenizer(SplitBehavior behavior) : behavior_(behavior) {}
  void apply(NormalizedString& text) const override {
    split_pieces(text, behavior_, [](std::string_view part, std::vector<Match>& out) {
      find_chars(part, out, is_punctuation);
    });
  }

 private:
  SplitBehavior behavior_;
};

class WhitespaceSplitPreTokenizer : public PreTokenizer {
 public:
  void apply(NormalizedString& text) const override {
    split_pieces(text, SplitBehavior::kRemoved, [](std::string_view part, std::vector<Match>& out) {
      find_chars(part, out, is_white_space);
    });
  }
};

class BertPreTokenizer : public PreTokenizer {
 public:
  void apply(NormalizedString& text) const override {
    spaces_.apply(text);
    punctuation_.apply(text);
  }

 private:
  WhitespaceSplitPreTokenizer spaces_;
  PunctuationPreTokenizer punctuation_{SplitBehavior::kIsolated};
};

// \w+|[^\w\s]+, with what lies between removed.
class WhitespacePreTokenizer : public PreTokenizer {
 public:
  void apply(NormalizedString& text) const override {
    split_pieces(text, SplitBehavior::kRemoved, [](std::string_view part, std::vector<Match>& out) {
      const auto kind_of = [](char32_t c) { return is_word(c) ? 0 : is_white_space(c) ? 1 : 2; };
      for (size_t at = 0; at < part.size();) {
        const size_t begin = at;
        const int kind = kind_of(next_char(part, at));
        while (at < part.size() && kind_of(char_at(part, at)) == kind) at += char_size(part[at]);
        out.push_back({begin, at, kind == 1});
      }
    });
  }
};

class SequencePreTokenizer : public PreTokenizer {
 public:
  explicit SequencePreTokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  void apply(NormalizedString& text) const override {
    for (const auto& step : steps_) step->apply(text);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

using Made = std::unique_ptr<PreTokenizer>;

Made make_byte_level(const Json& part, std::string_view where, bool raw) {
  json_get<bool>(part, "trim_offsets",
                 where);  // required there, but only the post-processor has a use for it
  return std::make_unique<ByteLevelPreTokenizer>(json_get<bool>(part, "add_prefix_space", where),
                                                 json_get_or<bool>(part, "use_regex", true, where), raw);
}

Made make_metaspace(const Json& part, std::string_view where) {
  const auto scheme = json_get_or<std::string>(part, "prepend_scheme", "always", where);
  using Prepend = MetaspacePreTokenizer::Prepend;
  Prepend prepend;
  if (scheme == "always") {
    prepend = Prepend::kAlways;
  } else if (scheme == "first") {
    prepend = Prepend::kFirst;
  } else if (scheme == "never") {
    prepend = Prepend::kNever;
  } else {
    fail(ErrorCode::kUnsupported, "{}: a prepend_scheme '{}' is not supported", where, printable(scheme));
  }
  // Files from before 2024 have add_prefix_space in place of a scheme.
  if (!json_get_or<bool>(part, "add_prefix_space", true, where)) {
    if (part.contains("prepend_scheme") && prepend != Prepend::kNever) {
      fail(ErrorCode::kCorrupt, "{}: add_prefix_space is false but prepend_scheme is '{}'", where,
           printable(scheme));
    }
    prepend = Prepend::kNever;
  }
  return std::make_unique<MetaspacePreTokenizer>(read_char(part, "replacement", where), prepend,
                                                 json_get_or<bool>(part, "split", true, where));
}

Made make_split(const Json& part, std::string_view where) {
  const SplitBehavior behavior = parse_behavior(json_get<std::string>(part, "behavior", where), where);
  return std::make_unique<SplitPreTokenizer>(read_pattern(part, where), behavior,
                                             json_get<bool>(part, "invert", where));
}

Made make_digits(const Json& part, std::string_view where) {
  return std::make_unique<DigitsPreTokenizer>(json_get<bool>(part, "individual_digits", where));
}

Made make_punctuation(const Json& part, std::string_view where) {
  const auto behavior = json_get_or<std::string>(part, "behavior", "Isolated", where);
  return std::make_unique<PunctuationPreTokenizer>(parse_behavior(behavior, where));
}

template <class T>
Made make_plain(const Json&, std::string_view) {
  return std::make_unique<T>();
}

struct Row {
  std::string_view type;
  Made (*make)(const Json& part, std::string_view where);
};

// ByteLevel and Sequence are apart: they hand `raw` on.
constexpr Row kPreTokenizers[] = {
    {"BertPreTokenizer", make_plain<BertPreTokenizer>},
    {"Digits", make_digits},
    {"Metaspace", make_metaspace},
    {"Punctuation", make_punctuation},
    {"Split", make_split},
    {"Whitespace", make_plain<WhitespacePreTokenizer>},
    {"WhitespaceSplit", make_plain<WhitespaceSplitPreTokenizer>},
};

// `raw` (null: not wanted) is set where this step, the last one, is ByteLevel.
Made make_step(const Json& part, std::string_view where, bool* raw) {
  if (part.is_null()) return nullptr;
  const std::string type = part_type(part, where);
  if (type == "ByteLevel") {
    if (raw) *raw = true;
    return make_byte_level(part, where, raw != nullptr);
  }
  if (type == "Sequence") {
    const Json& list = part_list(part, "pretokenizers", where);
    std::vector<Made> steps;
    for (size_t i = 0; i < list.size(); ++i) {
      Made step = make_step(list[i], where, i + 1 == list.size() ? raw : nullptr);
      if (step) steps.push_back(std::move(step));
    }
    return std::make_unique<SequencePreTokenizer>(std::move(steps));
  }
  for (const Row& row : kPreTokenizers) {
    if (row.type == type) return row.make(part, where);
  }
  fail_unsupported(where, "pre-tokenizer", type);
}

}  // namespace

Made make_pre_tokenizer(const Json& part, std::string_view where) { return make_step(part, where, nullptr); }

Made make_raw_pre_tokenizer(const Json& part, std::string_view where, bool* raw) {
  *raw = false;
  return make_step(part, where, raw);
}

}  // namespace bolide::text
