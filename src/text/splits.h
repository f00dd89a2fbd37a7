#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bolide::text {

// The merges of a vocabulary that comes without any: every way to cut a token in two that are tokens.
class Splits {
 public:
  // The place of a token that may be half of another, or nothing.
  using Find = std::function<std::optional<int32_t>(std::string_view)>;
  Splits(Find find, std::string_view where) : find_(std::move(find)), where_(where) {}

  // Appends the ways to cut `token` between two of its characters: shortest left half first or, with
  // `by_place`, by the places of left and right. kUnsupported once this took more than any real file's.
  void append(std::string_view token, bool by_place);
  std::vector<std::pair<std::string, std::string>> take() { return std::move(merges_); }

 private:
  Find find_;
  std::string_view where_;
  size_t looked_ = 0, bytes_ = 0;
  std::vector<std::pair<std::string, std::string>> merges_;
};

}  // namespace bolide::text
