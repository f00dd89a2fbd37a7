#include "text/hf_tokenizer.h"

#include <algorithm>
#include <new>

#include "base/error.h"
#include "base/printable.h"
#include "text/byte_level.h"
#include "text/parts.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

const Json& part(const TokenizerFile& file, std::string_view key) {
  static const Json null;
  const Json* found = json_find(file.parts, key, file.model.where);
  return found ? *found : null;
}

// What puts the tokens that TokenFiles names around a text.
Json template_of(const TokenFiles& files, const AddedTokens& added) {
  Json single = Json::array(), pair = Json::array(), specials = Json::object();
  for (const bool second : {false, true}) {
    Json text = Json::array();
    const int type_id = second && files.typed ? 1 : 0;
    const auto put = [&](const std::vector<std::string>& tokens) {
      for (const std::string& token : tokens) {
        const auto id = added.id_of(token);
        if (!id) continue;
        text.push_back({{"SpecialToken", {{"id", token}, {"type_id", type_id}}}});
        specials[token] = {{"ids", {*id}}};
      }
    };
    put(second ? files.before_second : files.before);
    text.push_back({{"Sequence", {{"id", second ? "B" : "A"}, {"type_id", type_id}}}});
    put(files.behind);
    if (!second) single = text;
    pair.insert(pair.end(), text.begin(), text.end());
  }
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
}

// Files written before models had a type are told by their keys.
std::string model_type(const ModelParts& parts) {
  if (parts.options.contains("type")) return json_get<std::string>(parts.options, "type", parts.where);
  if (parts.options.contains("merges")) return "BPE";
  if (parts.options.contains("max_input_chars_per_word")) return "WordPiece";
  if (!parts.scores.empty()) return "Unigram";
  fail(ErrorCode::kCorrupt, "{}: the model has no 'type'", parts.where);
}

void check_tables(const ModelParts& parts, const std::string& type) {
  const bool scored = !parts.scores.empty();
  if (scored != (type == "Unigram")) {
    fail(ErrorCode::kCorrupt, "{}: the vocab of a {} model must be {}", parts.where, type,
         type == "Unigram" ? "a list of tokens and scores" : "an object of tokens and ids");
  }
  if (type == "BPE" && !parts.options.contains("merges")) {
    fail(ErrorCode::kCorrupt, "{}: the BPE model has no 'merges'", parts.where);
  }
}

// Characters of blanks at the front (or the back) of a token: the letter of ' ' counts as one.
size_t count_blanks(std::string_view token, bool back) {
  const auto is_blank = [](char32_t c) { return c == kSpaceLetter || is_white_space(c); };
  size_t count = 0;
  if (back) {
    for (size_t at = token.size(); at > 0; ++count) {
      at = previous_char(token, at);
      if (!is_blank(char_at(token, at))) break;
    }
  } else {
    for (size_t at = 0; at < token.size() && is_blank(next_char(token, at)); ++count) {
    }
  }
  return count;
}

using Offsets = std::pair<int64_t, int64_t>;

// Takes the blanks of `token` out of its offsets in `text`.
void trim(std::string_view text, std::string_view token, bool first, bool add_prefix_space,
          Offsets& offsets) {
  auto [begin, end] = std::pair(static_cast<size_t>(offsets.first), static_cast<size_t>(offsets.second));
  size_t front = count_blanks(token, false);
  const size_t back = count_blanks(token, true);
  // The one blank at the front of the text is not part of it: the tokenizer put it there.
  if ((first || begin == 0) && add_prefix_space && front == 1) front = 0;
  for (; front > 0 && begin < end; --front) begin += char_size(text[begin]);
  begin = std::min(begin, end);
  size_t trimmed = end, left = back;
  for (; left > 0 && trimmed > 0; --left) trimmed = previous_char(text, trimmed);
  if (left == 0) end = std::max(trimmed, begin);
  offsets = {static_cast<int64_t>(begin), static_cast<int64_t>(end)};
}

}  // namespace

class HfTokenizer::CacheLoan {
 public:
  explicit CacheLoan(const HfTokenizer& owner) : owner_(owner) {
    std::lock_guard lock(owner_.mutex_);
    if (!owner_.caches_.empty()) {
      cache_ = std::move(owner_.caches_.back());
      owner_.caches_.pop_back();
    }
    if (!cache_) cache_ = std::make_unique<WordCache>();
  }
  ~CacheLoan() {
    try {
      std::lock_guard lock(owner_.mutex_);
      owner_.caches_.push_back(std::move(cache_));
    } catch (const std::bad_alloc&) {  // the next call makes itself another
    }
  }
  CacheLoan(const CacheLoan&) = delete;
  CacheLoan& operator=(const CacheLoan&) = delete;
  WordCache& operator*() { return *cache_; }

 private:
  const HfTokenizer& owner_;
  std::unique_ptr<WordCache> cache_;
};

HfTokenizer::HfTokenizer(TokenizerFile file, TokenizerOptions options) : options_(std::move(options)) {
  ModelParts& parts = file.model;
  const std::string where = parts.where, type = model_type(parts);
  const Json &normalizer = part(file, "normalizer"), &pre_tokenizer = part(file, "pre_tokenizer");
  const Json &post_processor = part(file, "post_processor"), &decoder = part(file, "decoder");
  check_steps(normalizer, "normalizer", "normalizers", where);
  check_steps(pre_tokenizer, "pre-tokenizer", "pretokenizers", where);
  check_steps(post_processor, "post-processor", "processors", where);
  check_steps(decoder, "decoder", "decoders", where);
  normalizer_ = make_normalizer(normalizer, where);
  if (type != "BPE" && type != "WordPiece" && type != "Unigram") {
    fail(ErrorCode::kUnsupported, "{}: a model of type '{}' is not supported", where, printable(type));
  }
  check_tables(parts, type);
  bool raw = false;
  if (type == "BPE" && can_read_bytes(parts)) {
    pre_tokenizer_ = make_raw_pre_tokenizer(pre_tokenizer, where, &raw);
  } else {
    pre_tokenizer_ = make_pre_tokenizer(pre_tokenizer, where);
  }
  model_ = type == "BPE"         ? make_bpe(parts, raw)
           : type == "WordPiece" ? make_word_piece(parts)
                                 : make_unigram(parts);
  const TokenFiles& beside = file.beside;
  added_ =
      std::make_unique<AddedTokens>(part(file, "added_tokens"), beside.tokens, beside.split_special_tokens,
                                    model_->vocabulary(), normalizer_.get(), where);
  vocab_size_ = static_cast<int64_t>(model_->vocabulary().size());
  for (const AddedToken& token : added_->tokens()) vocab_size_ += !model_->vocabulary().find(token.content);
  const bool around = !beside.before.empty() || !beside.behind.empty();
  post_processor_ =
      std::make_unique<PostProcessor>(around ? template_of(beside, *added_) : part(file, "post_processor"),
                                      where, [this](int32_t id) { return has_id(id); });
  decoder_ = make_decoder(decoder, where);
  if (beside.clean_up && (type != "BPE" || beside.clean_up_bpe))
    decoder_ = with_clean_up(std::move(decoder_));
}

Encoding HfTokenizer::encode(std::string_view text, bool add_special_tokens) const {
  return encode_all({text}, add_special_tokens);
}

Encoding HfTokenizer::encode_pair(std::string_view first, std::string_view second,
                                  bool add_special_tokens) const {
  return encode_all({first, second}, add_special_tokens);
}

Encoding HfTokenizer::encode_all(std::initializer_list<std::string_view> texts,
                                 bool add_special_tokens) const {
  size_t bytes = 0;
  try {
    CacheLoan cache(*this);
    std::vector<Encoding> encodings;
    for (const std::string_view text : texts) {
      bytes += text.size();
      encodings.push_back(encode_text(text, *cache));
    }
    return post_processor_->assemble(std::move(encodings), add_special_tokens);
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kResource, "not enough memory to tokenise a text of {} bytes: give it in parts", bytes);
  }
}

Encoding HfTokenizer::encode_text(std::string_view bytes, WordCache& cache) const {
  constexpr size_t kMaxBytes = size_t{128} << 20;
  if (bytes.size() > kMaxBytes) {
    fail(ErrorCode::kUsage, "a text of {} bytes is longer than the {} that can be tokenised at once",
         bytes.size(), kMaxBytes);
  }
  const CleanText clean(bytes);
  Work work(bytes.size(), &options_.cancelled);
  NormalizedString text(clean.text(), work);
  added_->extract(normalizer_.get(), text);
  if (pre_tokenizer_) pre_tokenizer_->apply(text);

  Encoding out;
  out.ids.reserve(text.pieces.size() + text.text().size() / 8);
  out.offsets.reserve(out.ids.capacity());
  std::vector<Piece> added;  // with origin: the place of the token in `out`
  const auto push = [&](int32_t id, uint32_t begin, uint32_t end) {
    const Span span = text.span(begin, end);
    out.ids.push_back(id);
    out.offsets.emplace_back(span.begin, span.end);
  };
  const bool trims = !post_processor_->trims().empty();
  for (const Piece& piece : text.pieces) {
    if (piece.id >= 0) {
      if (trims) added.push_back({piece.begin, piece.end, static_cast<uint32_t>(out.ids.size()), piece.id});
      push(piece.id, piece.begin, piece.end);
      continue;
    }
    uint32_t at = piece.begin;
    work.spend(8);
    for (const Token& token : cache.tokens(*model_, text.text(piece), work)) {
      // Token sizes can add up to more than the word where a character became tokens of its longer spelling.
      const uint32_t begin = std::min(at, piece.end - 1);
      push(token.id, begin, std::clamp(at + token.size, begin + 1, piece.end));
      at += token.size;
    }
  }
  if (trims) trim_offsets(text, added, out);
  if (clean.text().data() != bytes.data()) {
    for (Offsets& each : out.offsets) {
      each = {static_cast<int64_t>(clean.source(static_cast<size_t>(each.first))),
              static_cast<int64_t>(clean.source(static_cast<size_t>(each.second)))};
    }
  }
  return out;
}

void HfTokenizer::trim_offsets(const NormalizedString& text, const std::vector<Piece>& added,
                               Encoding& out) const {
  for (const bool add_prefix_space : post_processor_->trims()) {
    auto next_added = added.begin();
    for (size_t i = 0; i < out.ids.size(); ++i) {
      std::string_view token;
      if (next_added != added.end() && next_added->origin == i) {
        token = text.text(*next_added++);
      } else {
        token = *model_->vocabulary().token(out.ids[i]);
      }
      trim(text.original(), token, i == 0, add_prefix_space, out.offsets[i]);
    }
  }
}

// Collects decoded text.
class HfTokenizer::Stream : public DecodeStream {
 public:
  // `ids`: how many will come; 0: nobody knows, and each has its own bound of work.
  Stream(const HfTokenizer& tokenizer, bool skip_special_tokens, size_t ids)
      : tokenizer_(tokenizer),
        skip_special_tokens_(skip_special_tokens),
        each_alone_(ids == 0),
        limits_{work_for(std::max<size_t>(ids, 1))},
        steps_(tokenizer.decoder_->start(sink_, limits_)) {}

  void push(int32_t id, std::string& out) override {
    if (each_alone_) limits_.work = work_for(1);
    sink_.out = &out;
    std::string_view spelling;
    if (const AddedToken* added = tokenizer_.added_->find(id)) {
      spelling = added->spelling;
      if (skip_special_tokens_ && tokenizer_.added_->is_special(spelling)) return;
    } else if (const auto token = tokenizer_.model_->vocabulary().token(id)) {
      spelling = *token;
    } else {
      fail(ErrorCode::kUsage, "token id {} is outside the vocabulary of {} tokens", id,
           tokenizer_.vocab_size());
    }
    limits_.work.spend(64);
    limits_.spelled += spelling.size();
    constexpr size_t kMaxBytes = size_t{256} << 20;
    if (limits_.spelled > kMaxBytes) {
      fail(ErrorCode::kUsage, "the text of these ids is longer than the {} bytes that can be decoded at once",
           kMaxBytes);
    }
    steps_->put(spelling);
    steps_->end_token();
  }

  void finish(std::string& out) override {
    sink_.out = &out;
    steps_->finish();
  }

 private:
  struct Sink : TokenSink {
    std::string* out = nullptr;
    void put(std::string_view text) override { out->append(text); }
    void end_token() override {}
    void finish() override {}
  };
  // An id is some four bytes of text.
  Work work_for(size_t ids) const {
    return Work(4 * ids, &tokenizer_.options_.cancelled, Work::kSeconds, "decoding ids of some");
  }
  const HfTokenizer& tokenizer_;
  bool skip_special_tokens_, each_alone_;
  DecodeLimits limits_;
  Sink sink_;
  std::unique_ptr<TokenSink> steps_;
};

std::unique_ptr<DecodeStream> HfTokenizer::stream(bool skip_special_tokens) const {
  return std::make_unique<Stream>(*this, skip_special_tokens, 0);
}

std::string HfTokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  Stream stream(*this, skip_special_tokens, ids.size());
  std::string text;
  try {
    for (const int32_t id : ids) stream.push(id, text);
    stream.finish(text);
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kResource, "not enough memory to decode {} ids: give them in parts", ids.size());
  }
  return text;
}

int64_t HfTokenizer::vocab_size() const { return vocab_size_; }

std::optional<int32_t> HfTokenizer::id_of(std::string_view token) const {
  if (const auto id = added_->id_of(token)) return id;
  return model_->vocabulary().find(token);
}

std::string HfTokenizer::token_of(int32_t id) const {
  if (const AddedToken* added = added_->find(id)) return added->spelling;
  return std::string(model_->vocabulary().token(id).value_or(""));
}

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerFile file, TokenizerOptions options) {
  return std::make_unique<HfTokenizer>(std::move(file), std::move(options));
}

}  // namespace bolide::text
