#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "text/model.h"
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
    build_trie();
  }

  void tokenize(std::string_view word, std::vector<Token>& out) const override;

 private:
  // A node of the trie; its children are a sorted range of edges_.
  struct Node {
    uint32_t first_edge = 0, edges = 0;
    int32_t id = -1;
  };
  struct Edge {
    uint8_t byte;
    uint32_t node;
  };
  void build_trie();
  const Node* child(const Node& node, char byte) const {
    const Edge* begin = edges_.data() + node.first_edge;
    const Edge* end = begin + node.edges;
    const auto wanted = static_cast<uint8_t>(byte);
    const Edge* found = std::lower_bound(begin, end, wanted,
                                         [](const Edge& edge, uint8_t value) { return edge.byte < value; });
    return found != end && found->byte == wanted ? &nodes_[found->node] : nullptr;
  }
  void push(int64_t id, std::string_view part, std::vector<Token>& out) const;

  std::vector<double> scores_;
  bool byte_fallback_;
  std::string where_;
  int64_t unk_id_;
  double unk_score_;
  int32_t fallback_ids_[256];
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
};

// Sorted tokens make each node's children neighbours, level by level.
void Unigram::build_trie() {
  std::vector<std::pair<std::string_view, int32_t>> tokens;
  for (size_t i = 0; i < vocabulary_.size(); ++i) tokens.push_back(vocabulary_.entry(i));
  std::sort(tokens.begin(), tokens.end());
  struct Range {
    size_t begin, end, depth, node;
  };
  nodes_.emplace_back();
  std::vector<Range> todo = {{0, tokens.size(), 0, 0}};
  for (size_t next = 0; next < todo.size(); ++next) {
    auto [begin, end, depth, node] = todo[next];
    if (begin < end && tokens[begin].first.size() == depth) nodes_[node].id = tokens[begin++].second;
    nodes_[node].first_edge = static_cast<uint32_t>(edges_.size());
    while (begin < end) {
      const char byte = tokens[begin].first[depth];
      size_t until = begin;
      while (until < end && tokens[until].first[depth] == byte) ++until;
      edges_.push_back({static_cast<uint8_t>(byte), static_cast<uint32_t>(nodes_.size())});
      todo.push_back({begin, until, depth + 1, nodes_.size()});
      nodes_.emplace_back();
      ++nodes_[node].edges;
      begin = until;
    }
  }
}

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

void Unigram::tokenize(std::string_view word, std::vector<Token>& out) const {
  struct Best {
    double score = 0;  // of the best way to get here
    int64_t id = -1;
    size_t from = SIZE_MAX;
  };
  std::vector<Best> best(word.size() + 1);
  const auto offer = [&](size_t to, size_t from, double score, int64_t id) {
    Best& there = best[to];
    if (there.from == SIZE_MAX || score > there.score) there = {score, id, from};
  };
  for (size_t at = 0; at < word.size();) {
    const size_t size = char_size(word[at]);
    const double here = best[at].score;
    bool single = false;  // whether the character alone is a token
    const Node* node = &nodes_[0];
    for (size_t end = at; end < word.size() && (node = child(*node, word[end]));) {
      ++end;
      if (node->id < 0) continue;
      offer(end, at, here + scores_[static_cast<size_t>(node->id)], node->id);
      single = single || end == at + size;
    }
    if (!single) offer(at + size, at, here + unk_score_, unk_id_);
    at += size;
  }
  std::vector<std::pair<size_t, int64_t>> path;  // (begin, id), last first; unknown neighbours are one
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
