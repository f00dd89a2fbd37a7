#include "text/tokenizer_file.h"

#include <limits>

#include "base/file.h"
#include "base/printable.h"

namespace bolide::text {
namespace {

void add_token(Vocabulary& vocabulary, std::string_view token, int64_t id, std::string_view where) {
  if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kCorrupt, "{}: token '{}' has id {}, which is outside 0 to 2147483647", where,
         printable(token), id);
  }
  switch (vocabulary.add(token, static_cast<int32_t>(id))) {
    case Vocabulary::Added::kYes:
      return;
    case Vocabulary::Added::kTokenKnown:
      fail(ErrorCode::kCorrupt, "{}: token '{}' is in the vocabulary twice", where, printable(token));
    case Vocabulary::Added::kIdKnown:
      fail(ErrorCode::kCorrupt, "{}: id {} is given to both '{}' and '{}'", where, id,
           printable(*vocabulary.token(static_cast<int32_t>(id))), printable(token));
  }
}

// {"token": id, ...}, or Unigram's [["token", score], ...] in the order of the ids.
class VocabTable : public JsonTable {
 public:
  VocabTable(ModelParts& parts, std::string_view where) : parts_(parts), where_(where) {}
  void begin(bool is_object) override {
    if (depth_ == 0) is_object_ = is_object;
    if (depth_ == 1) row_ = 0;
    if (++depth_ > (is_object_ ? 1 : 2) || (depth_ == 2 && is_object)) wrong("a list or object");
  }
  void end() override {
    if (depth_-- == 2 && row_ != 2) wrong("a row that is no [token, score]");
  }
  void key(std::string& key) override { token_ = std::move(key); }
  void string(std::string& value) override {
    if (is_object_ || depth_ != 2 || row_++ != 0) wrong("a string");
    token_ = std::move(value);
  }
  void integer(int64_t value) override {
    if (!is_object_) return real(static_cast<double>(value));
    add_token(parts_.vocabulary, token_, value, where_);
  }
  void real(double value) override {
    if (is_object_ || depth_ != 2 || row_++ != 1) wrong("a number");
    add_token(parts_.vocabulary, token_, static_cast<int64_t>(parts_.scores.size()), where_);
    parts_.scores.push_back(value);
  }
  void other(const char* type_name) override { wrong(type_name); }

 private:
  [[noreturn]] void wrong(std::string_view what) {
    fail(ErrorCode::kCorrupt, "{}: the model's vocab holds {} where it must not", where_, what);
  }
  ModelParts& parts_;
  std::string_view where_;
  bool is_object_ = false;
  int depth_ = 0, row_ = 0;  // row_: values of the row at hand
  std::string token_;
};

// ["left right", ...] or [["left", "right"], ...].
class MergesTable : public JsonTable {
 public:
  MergesTable(ModelParts& parts, std::string_view where) : parts_(parts), where_(where) {}
  void begin(bool is_object) override {
    if (++depth_ > 2 || is_object) wrong();
    if (depth_ == 2) parts_.merges.emplace_back(), row_ = 0;
  }
  void end() override {
    if (depth_-- == 2 && row_ != 2) wrong();
  }
  void key(std::string&) override { wrong(); }
  void string(std::string& value) override {
    if (depth_ == 1) return push_line(value);
    if (row_ > 1) wrong();
    (row_++ == 0 ? parts_.merges.back().first : parts_.merges.back().second) = std::move(value);
  }
  void integer(int64_t) override { wrong(); }
  void real(double) override { wrong(); }
  void other(const char*) override { wrong(); }

  // "left right"; a line of merges.txt is the same.
  void push_line(std::string_view line) {
    if (line.starts_with("#version")) return;
    const size_t blank = line.find(' ');
    if (blank == line.npos || line.find(' ', blank + 1) != line.npos) wrong();
    parts_.merges.emplace_back(line.substr(0, blank), line.substr(blank + 1));
  }

 private:
  [[noreturn]] void wrong() {
    fail(ErrorCode::kCorrupt, "{}: merge {} is not a pair of tokens", where_, parts_.merges.size());
  }
  ModelParts& parts_;
  std::string_view where_;
  int depth_ = 0, row_ = 0;
};

}  // namespace

TokenizerFile parse_tokenizer_json(std::string_view text, std::string_view where) {
  TokenizerFile file;
  file.model.where = where;
  VocabTable vocab(file.model, where);
  MergesTable merges(file.model, where);
  const std::vector<std::string> vocab_path = {"model", "vocab"}, merges_path = {"model", "merges"};
  file.parts = parse_json(text, where, [&](const std::vector<std::string>& path) -> JsonTable* {
                 if (path == vocab_path) return &vocab;
                 if (path == merges_path) return &merges;
                 return nullptr;
               }).release();
  const Json* model = json_find(file.parts, "model", where);
  if (!model || !model->is_object()) {
    fail(ErrorCode::kCorrupt, "{}: there is no 'model': this is no tokenizer.json", where);
  }
  if (!model->contains("vocab")) fail(ErrorCode::kCorrupt, "{}: the model has no 'vocab'", where);
  file.model.options = std::move(file.parts["model"]);
  return file;
}

TokenizerFile parse_vocab_and_merges(const std::filesystem::path& vocab,
                                     const std::filesystem::path& merges) {
  TokenizerFile file;
  file.model.where = vocab.string();
  VocabTable table(file.model, file.model.where);
  const std::string text = read_text_file(vocab, kMaxTokenizerBytes);
  refuse_stand_in(text, vocab);
  parse_json(text, file.model.where, [&](const auto&) { return &table; });
  if (!file.model.scores.empty() || file.model.vocabulary.size() == 0) {
    fail(ErrorCode::kCorrupt, "{}: not an object of tokens and their ids", vocab.string());
  }
  const std::string merges_where = merges.string();
  MergesTable pairs(file.model, merges_where);
  const std::string lines = read_text_file(merges, kMaxTokenizerBytes);
  if (!lines.empty()) refuse_stand_in(lines, merges);  // a vocabulary of characters has none
  for (size_t at = 0; at < lines.size();) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    std::string_view line = std::string_view(lines).substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) pairs.push_line(line);
    at = end + 1;
  }
  file.model.where = merges_where;  // what can still be wrong is a merge
  return file;
}

}  // namespace bolide::text
