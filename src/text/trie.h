#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bolide::text {

// Strings and their values (0 or more), for finding all of them that a text begins with. A node stands for as
// many bytes as its strings have in common, so that memory is that of the strings, and a long string costs a
// comparison of bytes and not a step for each. Const methods are thread-safe.
class Trie {
 public:
  Trie() = default;
  // Of strings that come twice the first counts; an empty one is left out.
  explicit Trie(std::vector<std::pair<std::string_view, int32_t>> strings);
  bool empty() const { return nodes_.empty(); }

  // A place inside: behind some first bytes of strings.
  struct Place {
    uint32_t node = 0, used = 0;  // bytes of the node's own that are behind
    bool valid = true;            // false: no string begins like that
  };
  // Where `front` leads to from a place.
  Place find(Place from, std::string_view front) const;
  // The value of the string that ends there; -1: none does.
  int32_t value(Place at) const {
    const bool ends = at.valid && !nodes_.empty() && at.used == nodes_[at.node].size;
    return ends ? nodes_[at.node].value : -1;
  }

  // Calls found(end, value) for each string, the shortest first, that is `from`'s front and text [begin, end)
  // together. Returns how many bytes of the text were looked at.
  template <class Found>
  size_t match(Place from, std::string_view text, size_t begin, Found found) const {
    if (!from.valid || nodes_.empty()) return 0;
    size_t at = begin;
    for (const Node* node = &nodes_[from.node];;) {
      const std::string_view rest = label(*node).substr(from.used);
      from.used = 0;
      if (rest.size() > 0) {
        if (text.substr(at, rest.size()) != rest) return at - begin + rest.size();
        at += rest.size();
        if (node->value >= 0) found(at, node->value);
      }
      node = at < text.size() ? child(*node, text[at]) : nullptr;
      if (!node) return at - begin + 1;
    }
  }
  template <class Found>
  size_t match(std::string_view text, size_t begin, Found found) const {
    if (!may_begin(text[begin])) return 1;
    return match(Place{}, text, begin, found);
  }
  bool may_begin(char byte) const { return begins_[static_cast<unsigned char>(byte)]; }

 private:
  struct Node {
    uint32_t label, size;          // its own bytes, in letters_
    uint32_t children = 0, count;  // a range of nodes_, sorted by their first byte
    int32_t value;
  };
  std::string_view label(const Node& node) const {
    return std::string_view(letters_).substr(node.label, node.size);
  }
  const Node* child(const Node& node, char byte) const {
    const auto wanted = static_cast<uint8_t>(byte);
    size_t low = node.children, high = node.children + node.count;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (first_bytes_[middle] < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < node.children + node.count && first_bytes_[low] == wanted ? &nodes_[low] : nullptr;
  }

  std::string letters_;
  std::vector<Node> nodes_;           // the first is the root, whose own bytes are none
  std::vector<uint8_t> first_bytes_;  // of each node
  std::array<bool, 256> begins_{};
};

}  // namespace bolide::text
