#include "base/json.h"

#include <set>
#include <vector>

#include "base/file.h"
#include "base/printable.h"

namespace bolide {

Json parse_json(std::string_view text, std::string_view where) {
  constexpr int kMaxDepth =
      256;  // real files nest under 10 deep; a bound keeps hostile ones from exhausting memory
  std::vector<std::set<std::string>> keys;
  auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) fail(ErrorCode::kCorrupt, "{}: JSON is nested deeper than {}", where, kMaxDepth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      fail(ErrorCode::kCorrupt, "{}: duplicate JSON key '{}'", where, printable(parsed.get<std::string>()));
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::exception& error) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON ({})", where, printable(error.what()));
  }
}

Json read_json_file(const std::filesystem::path& path, size_t max_bytes) {
  return parse_json(read_text_file(path, max_bytes), path.string());
}

}  // namespace bolide
