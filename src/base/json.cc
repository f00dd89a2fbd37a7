#include "base/json.h"

#include <deque>
#include <iterator>

#include "base/file.h"
#include "base/printable.h"

namespace bolide {
namespace {

// A value that no JSON text can give, with what json_find() says of it.
Json remark(std::string_view text) { return Json::binary({text.begin(), text.end()}); }

// The first remark in a tree, or null.
const Json* find_remark(const Json& tree) {
  if (tree.is_binary()) return &tree;
  if (tree.is_structured()) {
    for (const Json& child : tree)
      if (const Json* found = find_remark(child)) return found;
  }
  return nullptr;
}

// Builds the tree, and hands tables their events.
class Builder final : public JsonEvents {
 public:
  Builder(size_t bytes, std::string_view where, const JsonTables& tables)
      : where_(where), tables_(tables), text_bytes_(bytes) {}
  ~Builder() override {
    dismantle(root_);
    for (Json& item : items_) dismantle(item);
  }
  JsonTree take() { return JsonTree(std::exchange(root_, nullptr)); }

  void begin(bool is_object) override {
    ++depth_;
    if (!table_ && !skipped_depth_ && tables_ && (table_ = tables_(path_))) {
      table_depth_ = depth_;
      place(nullptr);
    }
    if (table_) return table_->begin(is_object);
    if (is_skipped()) {
      if (!skipped_depth_) skipped_depth_ = depth_;
      return;
    }
    charge(is_object ? 64 : 40);
    Json* const made = place(is_object ? Json::object() : Json::array());
    open_.push_back({made, items_.size()});
    path_.emplace_back();
  }

  void end() override {
    const size_t depth = depth_--;
    if (table_) {
      table_->end();
      if (depth == table_depth_) table_ = nullptr;
    } else if (skipped_depth_) {
      if (depth == skipped_depth_) skipped_depth_ = 0, skip_next_ = false;
    } else {
      if (open_.back().container->is_array()) close_list();
      open_.pop_back();
      path_.pop_back();
    }
  }

  void key(std::string& key) override {
    if (table_) return table_->key(key);
    if (skipped_depth_) return;
    path_.back() = std::move(key);
    Json& object = *open_.back().container;
    const auto found = object.find(path_.back());
    if (found == object.end()) return;
    if (tables_ && tables_(path_))
      fail(ErrorCode::kCorrupt, "{}: key '{}' is given twice", where_, printable(path_.back()));
    dismantle(*found);
    *found = charged_remark("is given twice");
    skip_next_ = true;
  }

  void string(std::string& v) override {
    if (table_) return table_->string(v);
    if (!is_skipped()) charge(48 + heap_bytes(v));
    value(std::move(v));
  }
  void integer(int64_t v) override {
    if (table_) return table_->integer(v);
    // Numbers that are not negative are unsigned ones, as nlohmann's parser makes them.
    v < 0 ? value(v) : value(static_cast<uint64_t>(v));
  }
  void large(uint64_t v) override { table_ ? table_->large(v) : value(v); }
  void real(double v) override { table_ ? table_->real(v) : value(v); }
  void other(const char* what) override {
    if (table_) return table_->other(what);
    const std::string_view word = what;
    if (word == "null") return value(nullptr);
    if (word == "true" || word == "false") return value(word == "true");
    if (is_skipped()) return value(nullptr);
    value(charged_remark(
        fmt::format("is {}, {}", word, word.ends_with("pair") ? "not Unicode" : "not a number")));
  }

 private:
  struct Open {
    Json* container;
    size_t first;  // the place in items_ of a list's first item
  };

  // Whether what comes next stands behind a key for the second time.
  bool is_skipped() const { return skip_next_ || skipped_depth_; }

  template <class T>
  void value(T&& v) {
    if (is_skipped()) {
      if (!skipped_depth_) skip_next_ = false;
    } else {
      place(Json(std::forward<T>(v)));
    }
  }

  Json* place(Json v) {
    if (open_.empty()) return root_ = std::move(v), &root_;
    Json& parent = *open_.back().container;
    if (parent.is_array()) {
      charge(kItem);
      return &items_.emplace_back(std::move(v));
    }
    charge(96 + heap_bytes(path_.back()));
    return &(parent[path_.back()] = std::move(v));
  }

  // Gives the list at hand its items, in as much room as they need.
  void close_list() {
    const size_t count = items_.size() - open_.back().first;
    if (count == 0) return;
    charge(count * sizeof(Json) + 16);
    const auto first = items_.end() - static_cast<std::ptrdiff_t>(count);
    auto& list = open_.back().container->get_ref<Json::array_t&>();
    list.assign(std::make_move_iterator(first), std::make_move_iterator(items_.end()));
    items_.erase(first, items_.end());
    tree_bytes_ -= count * kItem;
  }

  Json charged_remark(std::string_view text) {
    charge(72 + text.size());
    return remark(text);
  }

  // What a string takes besides itself.
  static size_t heap_bytes(const std::string& text) { return text.size() > 15 ? text.size() + 17 : 0; }
  void charge(size_t bytes) {
    tree_bytes_ += bytes;
    if (tree_bytes_ > max_json_tree_bytes(text_bytes_)) {
      fail(ErrorCode::kCorrupt,
           "{}: its {} bytes of JSON would take over {} MB of memory: no model has such a file", where_,
           text_bytes_, max_json_tree_bytes(text_bytes_) >> 20);
    }
  }

  std::string_view where_;
  const JsonTables& tables_;
  static constexpr size_t kItem = sizeof(Json) + 2;  // with its share of a deque's blocks
  size_t text_bytes_, tree_bytes_ = 0;
  Json root_;
  std::vector<Open> open_;  // containers that are not closed yet, the outermost first
  std::deque<Json> items_;  // of the lists among them: a list that grew by itself would take thrice its size
  std::vector<std::string> path_;  // for each of them the key at hand
  size_t depth_ = 0, table_depth_ = 0;
  JsonTable* table_ = nullptr;
  bool skip_next_ = false;    // the value at hand stands behind a key for the second time
  size_t skipped_depth_ = 0;  // and is a container that is open at this depth
};

}  // namespace

void dismantle(Json& tree) noexcept {
  if (tree.is_structured()) {
    for (Json& child : tree) dismantle(child);
    tree.clear();  // its children are leaves or empty by now
  }
}

JsonTree parse_json(std::string_view text, std::string_view where, const JsonTables& tables) {
  Builder builder(text.size(), where, tables);
  scan_json(text, where, builder);
  return builder.take();
}

JsonTree read_json_file(const std::filesystem::path& path, size_t max_bytes) {
  const std::string text = read_text_file(path, max_bytes);
  refuse_stand_in(text, path);
  return parse_json(text, path.string());
}

std::string json_remark(const Json& value) {
  if (!value.is_binary()) return {};
  const auto& bytes = value.get_binary();
  return {bytes.begin(), bytes.end()};
}

const Json* json_find(const Json& object, std::string_view key, std::string_view where) {
  if (object.is_binary())
    fail(ErrorCode::kCorrupt, "{}: what should have a key '{}' {}", where, printable(key),
         json_remark(object));
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  if (found == object.end()) return nullptr;
  if (found->is_binary())
    fail(ErrorCode::kCorrupt, "{}: key '{}' {}", where, printable(key), json_remark(*found));
  return &*found;
}

void json_missing(std::string_view key, std::string_view where) {
  fail(ErrorCode::kCorrupt, "{}: key '{}' is missing", where, printable(key));
}

void json_mismatch(const Json& value, std::string_view key, std::string_view wanted, std::string_view where) {
  if (const Json* found = find_remark(value))
    fail(ErrorCode::kCorrupt, "{}: within key '{}' a value {}", where, printable(key), json_remark(*found));
  if (wanted.empty())
    fail(ErrorCode::kCorrupt, "{}: key '{}' has the wrong type ({}){}", where, printable(key),
         value.type_name(), value.empty() || !value.is_structured() ? "" : ", or holds a value of one");
  const std::string shown =
      value.is_structured() ? fmt::format("an {}", value.type_name()) : printable(value.dump(), 40);
  fail(ErrorCode::kCorrupt, "{}: key '{}' is {} instead of {}", where, printable(key), shown, wanted);
}

}  // namespace bolide
