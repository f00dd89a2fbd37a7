#include "text/trie.h"

#include <algorithm>
#include <cstddef>

namespace bolide::text {
namespace {

size_t common_size(std::string_view a, std::string_view b, size_t from) {
  const auto [end, unused] = std::mismatch(a.begin() + static_cast<std::ptrdiff_t>(from), a.end(),
                                           b.begin() + static_cast<std::ptrdiff_t>(from), b.end());
  return static_cast<size_t>(end - a.begin());
}

}  // namespace

// Sorted strings make each node's children neighbours, level by level.
Trie::Trie(std::vector<std::pair<std::string_view, int32_t>> strings) {
  std::stable_sort(strings.begin(), strings.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::erase_if(strings, [](const auto& each) { return each.first.empty(); });
  strings.erase(std::unique(strings.begin(), strings.end(),
                            [](const auto& a, const auto& b) { return a.first == b.first; }),
                strings.end());
  if (strings.empty()) return;
  struct Range {
    size_t begin, end, depth;  // strings, and how many of their bytes are behind this node
  };
  std::vector<Range> ranges = {{0, strings.size(), 0}};
  nodes_.push_back({0, 0, 0, 0, -1});
  first_bytes_.push_back(0);
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    if (strings[begin].first.size() == depth) nodes_[node].value = strings[begin++].second;
    nodes_[node].children = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const std::string_view first = strings[begin].first;
      size_t until = begin + 1;
      while (until < end && strings[until].first[depth] == first[depth]) ++until;
      const size_t shared = common_size(first, strings[until - 1].first, depth);
      nodes_.push_back(
          {static_cast<uint32_t>(letters_.size()), static_cast<uint32_t>(shared - depth), 0, 0, -1});
      letters_.append(first, depth, shared - depth);
      first_bytes_.push_back(static_cast<uint8_t>(first[depth]));
      ranges.push_back({begin, until, shared});
      ++nodes_[node].count;
      begin = until;
    }
  }
  for (uint32_t i = 0; i < nodes_[0].count; ++i) begins_[first_bytes_[nodes_[0].children + i]] = true;
}

Trie::Place Trie::find(Place from, std::string_view front) const {
  if (!from.valid || nodes_.empty()) return {.valid = from.valid && front.empty()};
  for (size_t at = 0; at < front.size();) {
    const Node* node = &nodes_[from.node];
    if (from.used == node->size) {
      node = child(*node, front[at]);
      if (!node) return {.valid = false};
      from = {static_cast<uint32_t>(node - nodes_.data()), 0};
    }
    const std::string_view rest = label(*node).substr(from.used);
    const size_t size = std::min(rest.size(), front.size() - at);
    if (front.substr(at, size) != rest.substr(0, size)) return {.valid = false};
    at += size;
    from.used += static_cast<uint32_t>(size);
  }
  return from;
}

}  // namespace bolide::text
