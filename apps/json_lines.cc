#include "apps/json_lines.h"

#include <fmt/format.h>

#include <utility>

#include "bolide/error.h"
#include "bolide/json.h"

namespace bolide::apps {
namespace {

using nlohmann::json;

// A value that no JSON text can give, with what there is to say of it.
json remark(std::string_view text) { return json::binary({text.begin(), text.end()}); }

class Builder final : public JsonEvents {
 public:
  Builder(json& root, size_t bytes, std::string_view where)
      : root_(root), where_(where), text_bytes_(bytes) {}

  void begin(bool is_object) override {
    json* placed = place(is_object ? json::object() : json::array());
    if (++depth_ == 2) list_ = is_object ? nullptr : placed;
  }
  void end() override {
    if (depth_-- == 2) list_ = nullptr;
  }
  void key(std::string& key) override {
    if (depth_ == 1) key_ = std::move(key);
  }
  void string(std::string& value) override { place(std::move(value)); }
  void integer(int64_t value) override { value < 0 ? place(value) : place(static_cast<uint64_t>(value)); }
  void large(uint64_t value) override { place(value); }
  void real(double value) override { place(value); }
  void other(const char* what) override {
    const std::string_view word = what;
    if (word == "null") {
      place(nullptr);
    } else if (word == "true" || word == "false") {
      place(word == "true");
    } else {
      place(remark(word));
    }
  }

 private:
  // Null where the value is not kept.
  json* place(json value) {
    if (depth_ == 0) return &(root_ = std::move(value));
    json* parent = depth_ == 1 ? &root_ : depth_ == 2 ? list_ : nullptr;
    if (!parent) return nullptr;
    charge(32 + (value.is_string() ? 48 + value.get_ref<const std::string&>().size() : 0));
    if (parent->is_array()) {
      parent->push_back(std::move(value));
      return &parent->back();
    }
    charge(96 + key_.size());
    const auto [at, is_new] = parent->emplace(std::move(key_), std::move(value));
    if (is_new) return &*at;
    if (at->is_structured()) at->clear();
    *at = remark("given twice");
    return nullptr;
  }

  void charge(size_t bytes) {
    tree_bytes_ += bytes;
    if (tree_bytes_ > max_json_tree_bytes(text_bytes_)) {
      throw Error(ErrorCode::kCorrupt,
                  fmt::format("{}: its {} bytes of JSON would take over {} MB of memory", where_, text_bytes_,
                              max_json_tree_bytes(text_bytes_) >> 20));
    }
  }

  json& root_;
  std::string_view where_;
  size_t text_bytes_, tree_bytes_ = 0, depth_ = 0;
  std::string key_;       // of the root
  json* list_ = nullptr;  // the list within the root that is open
};

// Without this nlohmann's destructor takes memory for a list of all nodes, and ends the process where there
// is none.
void dismantle(json& root) {
  if (!root.is_structured()) return;
  for (json& child : root)
    if (child.is_structured()) child.clear();
  root.clear();
}

}  // namespace

JsonLine::JsonLine(std::string_view line, std::string_view where) : where_(where) {
  Builder builder(value_, line.size(), where);
  try {
    scan_json(line, where, builder, true);
  } catch (...) {
    dismantle(value_);
    throw;
  }
}

JsonLine::~JsonLine() { dismantle(value_); }

const json* JsonLine::find(std::string_view key) const {
  if (!value_.is_object()) return nullptr;
  const auto found = value_.find(key);
  if (found == value_.end()) return nullptr;
  if (found->is_binary())
    throw Error(ErrorCode::kCorrupt, fmt::format("{}: '{}' is {}", where_, printable(key), shown(*found)));
  return &*found;
}

std::string shown(const json& value) {
  if (value.is_binary()) return {value.get_binary().begin(), value.get_binary().end()};
  if (value.is_string()) return fmt::format("\"{}\"", printable(value.get_ref<const std::string&>(), 40));
  if (!value.is_structured()) return value.dump();
  std::string text = value.is_array() ? "[" : "{";
  for (const auto& item : value.items()) {
    if (text.size() > 1) text += ", ";
    if (value.is_object()) text += fmt::format("\"{}\": ", printable(item.key(), 40));
    text += item.value().is_structured() ? "..." : shown(item.value());
    if (text.size() > 40) break;
  }
  return printable(text + (value.is_array() ? "]" : "}"), 40);
}

}  // namespace bolide::apps
