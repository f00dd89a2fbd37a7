#include "text/token_files.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "base/printable.h"

namespace bolide::text {
namespace {

namespace fs = std::filesystem;

// Real ones stay under 1 MB, chat template and all.
constexpr size_t kMaxFileBytes = size_t{16} << 20;

// The roles that every tokenizer has, in the order in which new ones get their ids.
constexpr std::string_view kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

bool is_role(std::string_view key) {
  return std::find(std::begin(kRoles), std::end(kRoles), key) != std::end(kRoles);
}

// A token of a role, and whether its file gave it as a bare string.
struct Named {
  AddedToken token;
  bool bare = false;
  // Orders tokens and tells them apart by all that a file can say of one.
  auto key() const {
    return std::tuple(std::string_view(token.content), bare, token.single_word, token.lstrip, token.rstrip,
                      token.normalized, token.special);
  }
  bool operator<(const Named& other) const { return key() < other.key(); }
};

Named bare_token(std::string content) { return {{.content = std::move(content), .special = true}, true}; }

// Whether the value of a file's key is a token: models have roles of their own ("image_token"), and flags are
// called so too ("add_bos_token").
bool names_token(std::string_view key, const Json& value) {
  return is_role(key) ||
         (key.ends_with("_token") && (value.is_string() || (value.is_object() && value.contains("content"))));
}

AddedToken read_flags(const Json& row, std::string_view where) {
  AddedToken token;
  token.content = json_get<std::string>(row, "content", where);
  token.single_word = json_get_or<bool>(row, "single_word", false, where);
  token.lstrip = json_get_or<bool>(row, "lstrip", false, where);
  token.rstrip = json_get_or<bool>(row, "rstrip", false, where);
  token.special = json_get_or<bool>(row, "special", false, where);
  token.normalized = json_get_or<bool>(row, "normalized", !token.special, where);
  return token;
}

// "<s>", or an object with a content and flags.
Named read_named(const Json& value, std::string_view key, std::string_view where) {
  if (value.is_string()) return bare_token(value.get<std::string>());
  if (value.is_object()) return {read_flags(value, where), false};
  fail(ErrorCode::kCorrupt, "{}: '{}' must name a token, by a string or an object with its 'content'", where,
       printable(key));
}

// The keys of an object and of the objects in it, as the file has them: a tree has them sorted, and new
// tokens get their ids in this order.
class KeyOrder : public JsonTable {
 public:
  void begin(bool) override { inside_.emplace_back(); }
  void end() override { inside_.pop_back(); }
  void key(std::string& key) override {
    if (inside_.size() <= 2) keys_[inside_.size() == 2 ? inside_[0] : ""].push_back(key);
    inside_.back() = std::move(key);
  }
  void string(std::string&) override {}
  void integer(int64_t) override {}
  void real(double) override {}
  void other(const char*) override {}
  // Of the whole for "", else of the object of that key.
  const std::vector<std::string>& of(const std::string& object) const {
    static const std::vector<std::string> none;
    const auto found = keys_.find(object);
    return found == keys_.end() ? none : found->second;
  }

 private:
  std::vector<std::string> inside_;  // the key at hand of each list and object that is open
  std::map<std::string, std::vector<std::string>> keys_;
};

const Json& member(const Json& object, std::string_view key) {
  static const Json null;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() ? null : *found;
}

// One of the files: null where it is not there.
struct File {
  std::string where;
  Json json;
  KeyOrder order;

  explicit File(const fs::path& path) : where(path.string()) {
    if (!path_exists(path)) return;
    const std::string text = read_text_file(path, kMaxFileBytes);
    refuse_stand_in(text, path);
    json = parse_json(text, where).release();
    if (!json.is_object()) fail(ErrorCode::kCorrupt, "{}: not a JSON object", where);
    parse_json(text, where, [&](const std::vector<std::string>&) { return &order; });
  }
  ~File() { dismantle(json); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  const Json* find(std::string_view key) const {
    const Json* found = json_find(json, key, where);
    return !found || found->is_null() ? nullptr : found;
  }
};

class Reader {
 public:
  Reader(const fs::path& folder, const Json& tokenizer, const TokenDefaults& defaults)
      : folder_(folder),
        tokenizer_(tokenizer),
        own_(member(tokenizer, "added_tokens")),
        defaults_(defaults) {}

  TokenFiles read() {
    const File config(folder_ / "tokenizer_config.json");
    read_config(config);
    if (const Json* decoder = config.find("added_tokens_decoder")) {
      read_decoder(*decoder, config.where);
    } else {
      read_map(File(folder_ / "special_tokens_map.json"));
      read_added(File(folder_ / "added_tokens.json"));
      // tokenizer_config.json's list, under either name, keeps this one out.
      if (!has_extra_) extra_ = std::move(additional_);
      read_own();
    }
    take_flags_from_decoder();
    take_defaults(config);
    // A tokenizer.json that pads says with what.
    const Json& pad = member(member(tokenizer_, "padding"), "pad_token");
    if (pad.is_string() && !config.json.contains("pad_token")) {
      roles_.try_emplace("pad_token", bare_token(pad.get<std::string>()));
    }
    TokenFiles out;
    collect(out.tokens);
    const auto says = [&](std::string_view key) {
      return json_get_or<bool>(config.json, key, false, config.where);
    };
    out.split_special_tokens = says("split_special_tokens");
    out.clean_up = says("clean_up_tokenization_spaces");
    out.clean_up_bpe = says("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output");
    for (const auto& [key, named] : roles_) out.roles[key] = named.token.content;
    for (const Named& each : extra_) out.extra.push_back(each.token.content);
    if (tokenizer_.is_null()) {
      if (says("add_bos_token") && roles_.contains("bos_token")) out.before = {out.roles["bos_token"]};
      if (says("add_eos_token") && roles_.contains("eos_token")) out.behind = {out.roles["eos_token"]};
      out.before_second = out.before;
    }
    return out;
  }

 private:
  using Key = std::string;

  static std::vector<Named> read_list(const Json& list, std::string_view key, std::string_view where) {
    std::vector<Named> out;
    if (!list.is_array()) fail(ErrorCode::kCorrupt, "{}: '{}' must be a list of tokens", where, key);
    for (const Json& each : list) out.push_back(read_named(each, key, where));
    return out;
  }

  // Roles of the model's own, in the order of their files.
  struct Others {
    std::map<Key, Named> tokens;
    std::vector<Key> order;
    void set(const Key& key, Named named) {
      if (!tokens.contains(key)) order.push_back(key);
      tokens[key] = std::move(named);
    }
  };

  void read_config(const File& config) {
    for (const Key& key : config.order.of("")) {
      const Json* value = config.find(key);
      if (!value || !names_token(key, *value)) continue;
      const Named named = read_named(*value, key, config.where);
      if (!is_role(key)) {
        (named.bare ? others_ : weak_).set(key, named);
        continue;
      }
      roles_[key] = named;
      if (!named.bare) objects_of_config_.insert(key);
    }
    const Json* extra = config.find("extra_special_tokens");
    has_extra_ = config.json.contains("extra_special_tokens") && !(extra && extra->is_object());
    if (extra && !extra->empty()) {
      if (extra->is_object()) return read_extra_object(config, *extra);
      extra_ = read_list(*extra, "extra_special_tokens", config.where);
      has_extra_ = true;
    } else if (config.json.contains("additional_special_tokens")) {
      const Json* additional = config.find("additional_special_tokens");
      if (additional) extra_ = read_list(*additional, "additional_special_tokens", config.where);
      has_extra_ = true;  // null is a list, too
    }
  }

  void read_extra_object(const File& file, const Json& extra) {
    for (const Key& key : file.order.of("extra_special_tokens")) {
      others_.set(key, read_named(extra.at(key), key, file.where));
    }
  }

  void read_decoder(const Json& decoder, std::string_view where) {
    if (!decoder.is_object()) {
      fail(ErrorCode::kCorrupt, "{}: 'added_tokens_decoder' must be an object of ids and tokens", where);
    }
    for (const auto& [key, row] : decoder.items()) {
      int64_t id = -1;
      const auto end = std::from_chars(key.data(), key.data() + key.size(), id);
      if (end.ec != std::errc() || end.ptr != key.data() + key.size()) {
        fail(ErrorCode::kCorrupt, "{}: 'added_tokens_decoder' has the key '{}', which is no id", where,
             printable(key));
      }
      set_decoder(id, read_flags(row, where));
    }
  }

  void read_map(const File& map) {
    for (const Key& key : map.order.of("")) {
      const Json* value = map.find(key);
      if (!value) continue;
      if (key == "extra_special_tokens" && value->is_object()) {
        read_extra_object(map, *value);
      } else if (key == "extra_special_tokens") {
        for (Named& named : read_list(*value, key, map.where)) {
          named.token.special = true;
          extra_.push_back(std::move(named));
        }
        has_extra_ = true;
      } else if (key == "additional_special_tokens") {
        additional_ = read_list(*value, key, map.where);
      } else if (names_token(key, *value)) {
        Named named = read_named(*value, key, map.where);
        if (!named.bare && !value->contains("normalized")) named.token.normalized = false;
        named.token.special = true;
        if (is_role(key)) {
          roles_[key] = std::move(named);
          objects_of_config_.erase(key);
        } else {
          weak_.set(key, std::move(named));
        }
      }
    }
  }

  // {"<token>": id, ...}: special where another file gives the token a role.
  void read_added(const File& added) {
    std::set<std::string> special;
    for (const auto& [key, named] : roles_) {
      if (!objects_of_config_.contains(key)) special.insert(named.token.content);
    }
    for (const Named& named : extra_) special.insert(named.token.content);
    for (const Key& content : added.order.of("")) {
      const Json& id = added.json.at(content);
      if (!id.is_number_integer()) {
        fail(ErrorCode::kCorrupt, "{}: the id of '{}' is not a whole number", added.where,
             printable(content));
      }
      const bool is_special = special.contains(content);
      set_decoder(id.get<int64_t>(), {.content = content, .normalized = !is_special, .special = is_special});
    }
  }

  void read_own() {
    if (!own_.is_array()) return;
    const std::string where = (folder_ / "tokenizer.json").string();
    for (const Json& row : own_) set_decoder(json_get<int64_t>(row, "id", where), read_flags(row, where));
  }

  void set_decoder(int64_t id, AddedToken token) {
    token.claim = id;
    by_content_[token.content] = token;
    decoder_[id] = std::move(token);
  }

  void take_flags_from_decoder() {
    for (auto& [key, named] : roles_) {
      const auto found = by_content_.find(named.token.content);
      if (found != by_content_.end()) named = {found->second, false};
    }
  }

  void take_defaults(const File& config) {
    for (const auto& [key, content] : defaults_.roles) {
      if (!config.json.contains(key)) roles_.try_emplace(key, bare_token(content));
    }
    if (const auto mask = roles_.find("mask_token");
        defaults_.mask_takes_blanks && mask != roles_.end() && mask->second.bare) {
      mask->second.token.lstrip = true;
      mask->second.bare = false;
    }
    if (has_extra_ || defaults_.extra.empty()) return;
    extra_.clear();
    for (const AddedToken& token : defaults_.extra) extra_.push_back({token, false});
  }

  void collect(std::vector<AddedToken>& out) const {
    std::set<std::string> known, named;
    std::set<Named> taken;
    if (own_.is_array()) {
      for (const Json& row : own_) known.insert(json_get<std::string>(row, "content", "tokenizer.json"));
    }
    for (const auto& [id, token] : decoder_) {
      out.push_back(token);
      known.insert(token.content);
    }
    const auto add = [&](const Named& each) {
      if (!known.contains(each.token.content) && taken.insert(each).second) out.push_back(each.token);
    };
    const auto add_named = [&](const Named& each) {
      named.insert(each.token.content);
      add(each);
    };
    for (const std::string_view name : kRoles) {
      const Key key(name);
      if (const auto other = others_.tokens.find(key); other != others_.tokens.end()) {
        add_named(other->second);  // an object of extra_special_tokens gives this role, too
      } else if (const auto role = roles_.find(key); role != roles_.end()) {
        add_named(role->second);
      }
    }
    Others others = weak_;
    for (const Key& key : others_.order) others.set(key, others_.tokens.at(key));
    for (const Key& key : others.order) {
      if (!is_role(key)) add_named(others.tokens.at(key));
    }
    for (const Named& each : extra_) add(each);
    for (AddedToken& token : out) token.special = token.special || named.contains(token.content);
  }

  const fs::path& folder_;
  const Json &tokenizer_, &own_;  // own_: the tokenizer's "added_tokens"
  const TokenDefaults& defaults_;
  std::map<Key, Named> roles_;
  Others weak_, others_;             // the first: as objects, or by special_tokens_map.json; the second win
  std::set<Key> objects_of_config_;  // roles that tokenizer_config.json has as objects
  std::vector<Named> extra_, additional_;
  bool has_extra_ = false;
  std::map<int64_t, AddedToken> decoder_;
  std::map<std::string, AddedToken> by_content_;
};

}  // namespace

TokenFiles read_token_files(const fs::path& folder, const Json& tokenizer, const TokenDefaults& defaults) {
  return Reader(folder, tokenizer, defaults).read();
}

}  // namespace bolide::text
