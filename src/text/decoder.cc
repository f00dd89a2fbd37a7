#include "text/decoder.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "text/byte_level.h"
#include "text/normalized_string.h"
#include "text/parts.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

// A step that looks at whole tokens.
class WholeTokens : public TokenSink {
 public:
  explicit WholeTokens(TokenSink& out) : out_(out) {}
  void put(std::string_view text) override { token_.append(text); }
  void end_token() override {
    token(token_);
    token_.clear();
  }
  void finish() override { out_.finish(); }

 protected:
  virtual void token(const std::string& token) = 0;
  void pass(std::string_view token) {
    out_.put(token);
    out_.end_token();
  }
  TokenSink& out_;

 private:
  std::string token_;
};

// No decoder: a blank between tokens.
class JoinStep : public TokenSink {
 public:
  explicit JoinStep(TokenSink& out) : out_(out) {}
  void put(std::string_view text) override {
    begin();
    out_.put(text);
  }
  void end_token() override {
    begin();
    out_.end_token();
    inside_ = false;
  }
  void finish() override { out_.finish(); }

 private:
  void begin() {
    if (!inside_ && !first_) out_.put(" ");
    inside_ = true;
    first_ = false;
  }
  TokenSink& out_;
  bool first_ = true, inside_ = false;
};

class FuseStep : public TokenSink {
 public:
  explicit FuseStep(TokenSink& out) : out_(out) {}
  void put(std::string_view text) override { out_.put(text); }
  void end_token() override {}
  void finish() override {
    out_.end_token();
    out_.finish();
  }

 private:
  TokenSink& out_;
};

// Letters become bytes; bytes become characters once a character is whole. All is one token.
class ByteLevelStep : public WholeTokens {
 public:
  using WholeTokens::WholeTokens;
  void finish() override {
    flush(true);
    out_.end_token();
    out_.finish();
  }

 protected:
  void token(const std::string& token) override {
    const size_t before = bytes_.size();
    for (size_t at = 0; at < token.size();) {
      const int byte = letter_byte(next_char(token, at));
      if (byte < 0) {  // not of this alphabet (an added token): its own bytes stand for it
        bytes_.resize(before);
        bytes_.append(token);
        break;
      }
      bytes_.push_back(static_cast<char>(byte));
    }
    flush(false);
  }

 private:
  void flush(bool all) {
    size_t sure = bytes_.size();
    // Only the last three bytes can be the beginning of a character.
    for (size_t at = sure < 3 ? 0 : sure - 3; !all && at < bytes_.size(); ++at) {
      if (!is_continuation(bytes_[at]) && utf8_step(bytes_, at).truncated) {
        sure = at;
        break;
      }
    }
    if (sure == 0) return;
    out_.put(CleanText(std::string_view(bytes_).substr(0, sure)).text());
    bytes_.erase(0, sure);
  }
  std::string bytes_;
};

// <0x41> becomes a byte. A run of such tokens is text if it is all well-formed, else one U+FFFD for each.
class ByteFallbackStep : public WholeTokens {
 public:
  using WholeTokens::WholeTokens;
  void finish() override {
    flush();
    out_.finish();
  }

 protected:
  void token(const std::string& token) override {
    if (const int byte = byte_of(token); byte >= 0) {
      bytes_.push_back(static_cast<char>(byte));
      return;
    }
    flush();
    pass(token);
  }

 private:
  static int byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    const auto digit = [](char c) {
      if (c >= '0' && c <= '9') return c - '0';
      if (c >= 'A' && c <= 'F') return c - 'A' + 10;
      if (c >= 'a' && c <= 'f') return c - 'a' + 10;
      return -1;
    };
    // "+" may stand before a number in Rust, whose parser the package uses.
    if (token[3] == '+') return digit(token[4]);
    if (digit(token[3]) < 0 || digit(token[4]) < 0) return -1;
    return digit(token[3]) * 16 + digit(token[4]);
  }
  void flush() {
    if (bytes_.empty()) return;
    if (is_utf8(bytes_)) {
      pass(bytes_);
    } else {
      for (size_t i = 0; i < bytes_.size(); ++i) pass(kReplacement);
    }
    bytes_.clear();
  }
  std::string bytes_;
};

class MetaspaceStep : public WholeTokens {
 public:
  MetaspaceStep(TokenSink& out, std::string letter, bool drop_first)
      : WholeTokens(out), letter_(std::move(letter)), drop_(drop_first) {}

 protected:
  void token(const std::string& token) override {
    std::string text;
    for (size_t at = 0; at < token.size();) {
      const std::string_view c = std::string_view(token).substr(at, char_size(token[at]));
      if (c != letter_) {
        text.append(c);
      } else if (!drop_) {
        text.push_back(' ');
      }
      at += c.size();
    }
    drop_ = false;
    pass(text);
  }

 private:
  std::string letter_;
  bool drop_;  // in the first token the letter stands for a blank that the tokenizer put there
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  size_t at = from.empty() ? text.npos : text.find(from);
  if (at == text.npos) return;
  std::string out;
  size_t done = 0;
  for (; at != text.npos; at = text.find(from, done)) {
    out.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  text = std::move(out.append(text, done));
}

// Undoes what tokenising does to English punctuation; the order matters. One is for tokens alone.
struct CleanUpRule {
  std::string_view from, to;
  bool in_text = true;
};
constexpr CleanUpRule kCleanUp[] = {
    {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
    {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't", false},
    {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

// One rule, over all of the text as it comes. What it puts in has no blank, with which each of them begins.
class CleanUpStep : public TokenSink {
 public:
  CleanUpStep(TokenSink& out, CleanUpRule rule) : out_(out), rule_(rule) {}
  void put(std::string_view text) override {
    held_.append(text);
    replace_all(held_, rule_.from, rule_.to);
    size_t sure = held_.size() - std::min(held_.size(), rule_.from.size() - 1);
    while (!rule_.from.starts_with(std::string_view(held_).substr(sure))) ++sure;
    out_.put(std::string_view(held_).substr(0, sure));
    held_.erase(0, sure);
  }
  void end_token() override {}
  void finish() override {
    out_.put(held_);
    out_.end_token();
    out_.finish();
  }

 private:
  TokenSink& out_;
  CleanUpRule rule_;
  std::string held_;  // the beginning of what the rule looks for
};

class WordPieceStep : public WholeTokens {
 public:
  WordPieceStep(TokenSink& out, std::string prefix, bool cleanup)
      : WholeTokens(out), prefix_(std::move(prefix)), cleanup_(cleanup) {}

 protected:
  void token(const std::string& token) override {
    const bool continues = !first_ && token.starts_with(prefix_);
    std::string text(first_ || continues ? "" : " ");
    text.append(token, continues ? prefix_.size() : 0);
    first_ = false;
    if (cleanup_) {
      for (const CleanUpRule& rule : kCleanUp) replace_all(text, rule.from, rule.to);
    }
    pass(text);
  }

 private:
  std::string prefix_;
  bool cleanup_, first_ = true;
};

// The suffix at a word's end is a blank, but for the last token.
class BpeStep : public WholeTokens {
 public:
  BpeStep(TokenSink& out, std::string suffix) : WholeTokens(out), suffix_(std::move(suffix)) {}
  void finish() override {
    close("");
    out_.finish();
  }

 protected:
  void token(const std::string& token) override {
    close(" ");
    const size_t sure = suffix_.empty() ? token.size() : std::min(token.find(suffix_), token.size());
    out_.put(std::string_view(token).substr(0, sure));
    held_ = token.substr(sure);
  }

 private:
  void close(std::string_view replacement) {
    if (!held_) return;
    replace_all(*held_, suffix_, replacement);
    pass(*held_);
    held_.reset();
  }
  std::string suffix_;
  std::optional<std::string> held_;  // the rest of the last token, from its first suffix on
};

// Drops up to `start` characters `content` from the front of each token and up to `stop` from its end.
class StripStep : public TokenSink {
 public:
  StripStep(TokenSink& out, std::string content, uint64_t start, uint64_t stop)
      : out_(out), content_(std::move(content)), start_(start), stop_(stop), left_(start) {}
  void put(std::string_view text) override {
    for (size_t at = 0; at < text.size();) {
      const std::string_view c = text.substr(at, char_size(text[at]));
      at += c.size();
      if (c != content_) {
        left_ = 0;
        release(held_);
        out_.put(c);
      } else if (left_ > 0) {
        --left_;
      } else if (++held_ > stop_) {
        release(1);
      }
    }
  }
  void end_token() override {
    held_ = 0;
    left_ = start_;
    out_.end_token();
  }
  void finish() override { out_.finish(); }

 private:
  void release(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) out_.put(content_);
    held_ -= count;
  }
  TokenSink& out_;
  std::string content_;
  uint64_t start_, stop_;
  uint64_t left_;      // characters that may still go at the front
  uint64_t held_ = 0;  // characters that may be the token's end
};

// Replaces what a pattern matches within each token.
class ReplaceStep : public WholeTokens {
 public:
  ReplaceStep(TokenSink& out, const Regex& pattern, const std::string& content, DecodeLimits& limits)
      : WholeTokens(out), pattern_(pattern), content_(content), limits_(limits) {}

 protected:
  void token(const std::string& token) override {
    std::vector<Match> matches;
    pattern_.split(token, matches, limits_.work);
    std::string text;
    for (const Match& match : matches) {
      const std::string_view part = std::string_view(token).substr(match.begin, match.end - match.begin);
      text.append(match.matched ? content_ : part);
      made_ += match.matched ? content_.size() : part.size();
      if (made_ > max_rewritten(limits_.spelled)) {
        fail(ErrorCode::kUnsupported,
             "the tokenizer's decoder makes more than {} bytes of tokens of {}: no such file can be right",
             max_rewritten(limits_.spelled), limits_.spelled);
      }
    }
    pass(text);
  }

 private:
  const Regex& pattern_;
  const std::string& content_;
  DecodeLimits& limits_;
  size_t made_ = 0;  // bytes of all tokens so far: steps that double them would take all memory
};

// A step made by a function.
class StepDecoder : public Decoder {
 public:
  using Make = std::function<std::unique_ptr<TokenSink>(TokenSink&, DecodeLimits&)>;
  explicit StepDecoder(Make make) : make_(std::move(make)) {}
  std::unique_ptr<TokenSink> start(TokenSink& out, DecodeLimits& limits) const override {
    return make_(out, limits);
  }

 private:
  Make make_;
};

class SequenceDecoder : public Decoder {
 public:
  explicit SequenceDecoder(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
  std::unique_ptr<TokenSink> start(TokenSink& out, DecodeLimits& limits) const override {
    auto run = std::make_unique<Run>();
    TokenSink* next = &out;
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
      run->steps.push_back((*step)->start(*next, limits));
      next = run->steps.back().get();
    }
    run->first = next;
    return run;
  }

 private:
  struct Run : TokenSink {
    std::vector<std::unique_ptr<TokenSink>> steps;  // the last one first
    TokenSink* first = nullptr;
    void put(std::string_view text) override { first->put(text); }
    void end_token() override { first->end_token(); }
    void finish() override { first->finish(); }
  };
  std::vector<std::unique_ptr<Decoder>> steps_;
};

using Made = std::unique_ptr<Decoder>;

template <class Step, class... Args>
Made make_step(Args... args) {
  return std::make_unique<StepDecoder>(
      [=](TokenSink& out, DecodeLimits&) { return std::make_unique<Step>(out, args...); });
}

Made make_metaspace(const Json& part, std::string_view where) {
  bool drop = json_get_or<std::string>(part, "prepend_scheme", "always", where) != "never";
  drop = drop && json_get_or<bool>(part, "add_prefix_space", true, where);
  return make_step<MetaspaceStep>(to_string(read_char(part, "replacement", where)), drop);
}

Made make_word_piece(const Json& part, std::string_view where) {
  return make_step<WordPieceStep>(json_get<std::string>(part, "prefix", where),
                                  json_get<bool>(part, "cleanup", where));
}

Made make_bpe(const Json& part, std::string_view where) {
  return make_step<BpeStep>(json_get<std::string>(part, "suffix", where));
}

Made make_strip(const Json& part, std::string_view where) {
  return make_step<StripStep>(to_string(read_char(part, "content", where)),
                              json_get<uint64_t>(part, "start", where),
                              json_get<uint64_t>(part, "stop", where));
}

Made make_replace(const Json& part, std::string_view where) {
  auto pattern = std::make_shared<const Regex>(read_pattern(part, where));
  return std::make_unique<StepDecoder>([pattern, content = json_get<std::string>(part, "content", where)](
                                           TokenSink& out, DecodeLimits& limits) {
    return std::make_unique<ReplaceStep>(out, *pattern, content, limits);
  });
}

Made make_sequence(const Json& part, std::string_view where) {
  std::vector<Made> steps;
  for (const Json& step : part_list(part, "decoders", where)) steps.push_back(make_decoder(step, where));
  return std::make_unique<SequenceDecoder>(std::move(steps));
}

template <class Step>
Made make_plain(const Json&, std::string_view) {
  return make_step<Step>();
}

struct Row {
  std::string_view type;
  Made (*make)(const Json& part, std::string_view where);
};

constexpr Row kDecoders[] = {
    {"BPEDecoder", make_bpe},
    {"ByteFallback", make_plain<ByteFallbackStep>},
    {"ByteLevel", make_plain<ByteLevelStep>},
    {"Fuse", make_plain<FuseStep>},
    {"Metaspace", make_metaspace},
    {"Replace", make_replace},
    {"Sequence", make_sequence},
    {"Strip", make_strip},
    {"WordPiece", make_word_piece},
};

}  // namespace

Made make_decoder(const Json& part, std::string_view where) {
  if (part.is_null()) return make_step<JoinStep>();
  const std::string type = part_type(part, where);
  for (const Row& row : kDecoders) {
    if (row.type == type) return row.make(part, where);
  }
  fail_unsupported(where, "decoder", type);
}

Made with_clean_up(Made decoder) {
  std::vector<Made> steps;
  steps.push_back(std::move(decoder));
  for (const CleanUpRule& rule : kCleanUp)
    if (rule.in_text) steps.push_back(make_step<CleanUpStep>(rule));
  return std::make_unique<SequenceDecoder>(std::move(steps));
}

}  // namespace bolide::text
