#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "text/model.h"
#include "text/trie.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

// The tokens whose scores (log probabilities) add up to the most: Viterbi over the places of the word.
class Unigram : public Model {
 public:
  explicit Unigram(ModelParts& parts)
      : Model(std::move(parts.vocabulary)),
        scores_(std::move(parts.scores)),
        byte_fallback_(json_get_or<bool>(parts.options, "byte_fallback", false, parts.where)),
        where_(parts.where) {
    unk_id_ = json_get_or<int64_t>(parts.options, "unk_id", -1, where_);
    if (unk_id_ >= static_cast<int64_t>(scores_.size()) || unk_id_ < -1) {
      fail(ErrorCode::kCorrupt, "{}: unk_id {} is outside the vocabulary of {}", where_, unk_id_,
           scores_.size());
    }
    double lowest = std::numeric_limits<double>::infinity();
    for (const double score : scores_) lowest = std::min(lowest, score);
    constexpr double kUnknownPenalty = 10;
    unk_score_ = lowest - kUnknownPenalty;
    for (int byte = 0; byte < 256; ++byte) {
      fallback_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
    }
    trie_ = vocabulary_.trie();
  }

  void tokenize(std::string_view word, std::vector<Token>& out, Work& work) const override;

 private:
  void push(int64_t id, std::string_view part, std::vector<Token>& out) const;

  std::vector<double> scores_;
  bool byte_fallback_;
  std::string where_;
  int64_t unk_id_;
  double unk_score_;
  int32_t fallback_ids_[256];
  Trie trie_;
};

void Unigram::push(int64_t id, std::string_view part, std::vector<Token>& out) const {
  // Whether a piece is known goes by its spelling: unknown characters that were joined may spell a token.
  if (const auto known = vocabulary_.find(part)) {
    out.push_back({*known, static_cast<uint32_t>(part.size())});
    return;
  }
  const auto has_token = [&](char byte) { return fallback_ids_[static_cast<unsigned char>(byte)] >= 0; };
  if (byte_fallback_ && std::all_of(part.begin(), part.end(), has_token)) {
    for (const char byte : part) out.push_back({fallback_ids_[static_cast<unsigned char>(byte)], 1});
    return;
  }
  if (id < 0) {
    fail(ErrorCode::kUnsupported,
         "{}: the text has characters that the vocabulary lacks, and there is no unk_id", where_);
  }
  out.push_back({static_cast<int32_t>(id), static_cast<uint32_t>(part.size())});
}

void Unigram::tokenize(std::string_view word, std::vector<Token>& out, Work& work) const {
  struct Argmax {
    double score = 0;  // of the best way to get here
    int32_t id = -1;
    uint32_t from = UINT32_MAX;  // texts are shorter than that
  };
  std::vector<Argmax> best(word.size() + 1);
  const auto offer = [&](size_t to, size_t from, double score, int64_t id) {
    Argmax& there = best[to];
    if (there.from == UINT32_MAX || score > there.score) {
      there = {score, static_cast<int32_t>(id), static_cast<uint32_t>(from)};
    }
  };
  for (size_t at = 0; at < word.size();) {
    const size_t size = char_size(word[at]);
    const double here = best[at].score;
    bool single = false;  // whether the character alone is a token
    uint64_t steps = 16;
    const size_t looked = trie_.match(word, at, [&](size_t end, int32_t id) {
      steps += 4;
      offer(end, at, here + scores_[static_cast<size_t>(id)], id);
      single = single || end == at + size;
    });
    work.spend(steps + looked / 16);
    if (!single) offer(at + size, at, here + unk_score_, unk_id_);
    at += size;
  }
  std::vector<std::pair<size_t, int32_t>> path;  // (begin, id), last first; unknown neighbours are one
  size_t unknown_end = SIZE_MAX;
  for (size_t end = word.size(); end > 0; end = best[end].from) {
    const bool unknown = best[end].id == unk_id_;
    if (unknown && unknown_end == end) {
      path.back().first = best[end].from;
    } else {
      path.emplace_back(best[end].from, best[end].id);
    }
    unknown_end = unknown ? best[end].from : SIZE_MAX;
  }
  for (size_t i = path.size(); i-- > 0;) {
    const size_t end = i > 0 ? path[i - 1].first : word.size();
    push(unk_id_, word.substr(path[i].first, end - path[i].first), out);
  }
}

}  // namespace

std::unique_ptr<Model> make_unigram(ModelParts& parts) { return std::make_unique<Unigram>(parts); }

}  // namespace bolide::text
