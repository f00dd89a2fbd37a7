#include "base/json.h"

#include "base/file.h"
#include "base/printable.h"

namespace bolide {
namespace {

// Real files nest under 10 deep; a bound keeps hostile ones from exhausting the stack.
constexpr size_t kMaxDepth = 256;

// Builds the tree, hands tables their events, and refuses what nlohmann's own builder lets pass.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view where, const JsonTables& tables) : where_(where), tables_(tables) {}
  Json take() { return std::move(root_); }

  bool null() override { return table_ ? other("null") : value(nullptr); }
  bool boolean(bool v) override { return table_ ? other("boolean") : value(v); }
  bool number_integer(int64_t v) override { return table_ ? (table_->integer(v), true) : value(v); }
  bool number_unsigned(uint64_t v) override {
    if (!table_) return value(v);
    if (v > static_cast<uint64_t>(INT64_MAX)) {
      table_->real(static_cast<double>(v));
    } else {
      table_->integer(static_cast<int64_t>(v));
    }
    return true;
  }
  bool number_float(double v, const std::string&) override {
    return table_ ? (table_->real(v), true) : value(v);
  }
  bool string(std::string& v) override { return table_ ? (table_->string(v), true) : value(std::move(v)); }
  bool binary(Json::binary_t&) override { return false; }  // JSON text has none

  bool start_object(size_t) override { return begin(true); }
  bool start_array(size_t) override { return begin(false); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }

  bool key(std::string& key) override {
    if (table_) return table_->key(key), true;
    if (open_.back()->contains(key)) {
      fail(ErrorCode::kCorrupt, "{}: duplicate JSON key '{}'", where_, printable(key));
    }
    path_.back() = std::move(key);
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON ({})", where_, printable(error.what()));
  }

 private:
  bool other(const char* type_name) { return table_->other(type_name), true; }

  Json* place(Json v) {
    if (open_.empty()) return root_ = std::move(v), &root_;
    Json& parent = *open_.back();
    if (parent.is_array()) return parent.push_back(std::move(v)), &parent.back();
    return &(parent[path_.back()] = std::move(v));
  }
  bool value(Json v) { return place(std::move(v)), true; }

  bool begin(bool is_object) {
    if (++depth_ > kMaxDepth) {
      fail(ErrorCode::kCorrupt, "{}: JSON is nested deeper than {}", where_, kMaxDepth);
    }
    if (!table_ && tables_ && (table_ = tables_(path_))) {
      table_depth_ = depth_;
      value(nullptr);
    }
    if (table_) return table_->begin(is_object), true;
    open_.push_back(place(is_object ? Json::object() : Json::array()));
    path_.emplace_back();
    return true;
  }

  bool end() {
    if (table_) {
      table_->end();
      if (depth_-- == table_depth_) table_ = nullptr;
      return true;
    }
    --depth_;
    open_.pop_back();
    path_.pop_back();
    return true;
  }

  std::string_view where_;
  const JsonTables& tables_;
  Json root_;
  std::vector<Json*> open_;        // containers that are not closed yet, the outermost first
  std::vector<std::string> path_;  // for each of them the key at hand
  size_t depth_ = 0, table_depth_ = 0;
  JsonTable* table_ = nullptr;
};

}  // namespace

Json parse_json(std::string_view text, std::string_view where, const JsonTables& tables) {
  Builder builder(where, tables);
  try {
    Json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const Json::exception& error) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON ({})", where, printable(error.what()));
  }
  return builder.take();
}

Json read_json_file(const std::filesystem::path& path, size_t max_bytes) {
  return parse_json(read_text_file(path, max_bytes), path.string());
}

}  // namespace bolide
