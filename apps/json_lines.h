#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace bolide::apps {

// The value of one line of JSON: texts, ids, requests. Strict as scan_json() is, but for what Python writes
// and for keys given twice, which matter where they are asked for. What stands deeper than in a list of the
// value's own is not kept, and all of it takes at most max_json_tree_bytes().
class JsonLine {
 public:
  // kCorrupt, naming `where` and the column, for a line that is not JSON.
  JsonLine(std::string_view line, std::string_view where);
  ~JsonLine();
  JsonLine(const JsonLine&) = delete;
  JsonLine& operator=(const JsonLine&) = delete;

  const nlohmann::json& value() const { return value_; }
  // The value of a key, or null where there is none; kCorrupt for a key that is given twice, or whose value
  // is no JSON.
  const nlohmann::json* find(std::string_view key) const;

 private:
  std::string where_;
  nlohmann::json value_;
};

// A value as a message shows it: its JSON, cut after 40 characters.
std::string shown(const nlohmann::json& value);

}  // namespace bolide::apps
