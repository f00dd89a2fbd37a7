#include "text/sentencepiece_tokenizer.h"

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/printable.h"
#include "text/base64.h"
#include "text/sentencepiece.h"
#include "text/splits.h"

namespace bolide::text {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBlank = "\u2581";  // what stands for ' ' in pieces

// Kinds of model whose own class goes before the one that the files name ("": none of its own), and whose
// class counts where the files name none.
struct ModelRow {
  std::string_view type, name;
};
constexpr ModelRow kModels[] = {
    {"camembert", "CamembertTokenizer"},
    {"ernie4_5", ""},
    {"gemma", "GemmaTokenizer"},
    {"gemma2", "GemmaTokenizer"},
    {"gemma3", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"},
    {"gemma3n", "GemmaTokenizer"},
    {"gemma3n_text", "GemmaTokenizer"},
    {"granite", ""},
    {"granitemoe", ""},
    {"internlm2", ""},
    {"internlm3", ""},
    {"jamba", ""},
    {"llava", ""},
    {"minicpm3", ""},
    {"ministral", ""},
    {"ministral3", ""},
    {"mistral", ""},
    {"mistral3", ""},
    {"mixtral", ""},
    {"mt5", "T5Tokenizer"},
    {"nemotron", ""},
    {"persimmon", ""},
    {"phi3", ""},
    {"phi3_v", ""},
    {"phimoe", ""},
    {"recurrent_gemma", "GemmaTokenizer"},
    {"stablelm", ""},
    {"switch_transformers", "T5Tokenizer"},
    {"t5", "T5Tokenizer"},
    {"t5gemma", "GemmaTokenizer"},
    {"umt5", ""},
    {"xlm-roberta", "XLMRobertaTokenizer"},
};

// Null where there is no such file.
JsonTree read_if_there(const fs::path& path) {
  return path_exists(path) ? read_json_file(path) : JsonTree(Json(Json::object()));
}

Json prepend(const char* scheme, bool split) {
  return {{"type", "Metaspace"}, {"replacement", kBlank}, {"prepend_scheme", scheme}, {"split", split}};
}

Json replace(const char* kind, const std::string& pattern, const char* content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

Json charsmap(const SentencePieces& model) {
  return {{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(model.charsmap)}};
}

Json sequence(const char* type, Json parts) { return {{"type", "Sequence"}, {type, std::move(parts)}}; }

// Literally, in a pattern.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("()[]{}?*+-|^$\\.&~# \t\n\r\v\f").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// A folder's tokenizer on its way.
struct Conversion {
  const fs::path& folder;
  const std::string where, config_where;
  const SentencePieces& model;
  const Json& config;  // tokenizer_config.json
  TokenDefaults defaults = {};
  TokenizerFile file = {};

  // Files beside the model, once the defaults are known.
  void read_beside() { file.beside = read_token_files(folder, Json(), defaults); }
  std::string role(const std::string& key) const {
    const auto found = file.beside.roles.find(key);
    return found == file.beside.roles.end() ? defaults.roles.at(key) : found->second;
  }
  bool says(std::string_view key, bool fallback) const {
    return config.contains(key) ? json_get_or<bool>(config, key, false, config_where) : fallback;
  }

  void add(std::string_view token, int32_t id) {
    if (file.model.vocabulary.add(token, id) == Vocabulary::Added::kYes) return;
    fail(ErrorCode::kCorrupt, "{}: token '{}' is in the vocabulary twice", where, printable(token));
  }
  // Unigram: the next entry.
  void add_scored(std::string_view token, double score) {
    add(token, static_cast<int32_t>(file.model.scores.size()));
    file.model.scores.push_back(score);
  }
  void add_scored_pieces(size_t from) {
    for (size_t i = from; i < model.pieces.size(); ++i)
      add_scored(model.pieces[i].text, static_cast<double>(model.pieces[i].score));
  }
  void make_unigram(int64_t unk_id, bool byte_fallback) {
    file.model.options = {{"type", "Unigram"}, {"unk_id", unk_id}, {"byte_fallback", byte_fallback}};
  }

  // BPE whose merges go by the ids of what they make.
  void make_bpe_by_ids(const std::string& unk_token) {
    for (size_t i = 0; i < model.pieces.size(); ++i) add(model.pieces[i].text, static_cast<int32_t>(i));
    Splits splits([&](std::string_view token) { return file.model.vocabulary.find(token); }, where);
    for (const auto& piece : model.pieces) splits.append(piece.text, false);
    file.model.merges = splits.take();
    file.model.options = {{"type", "BPE"}, {"merges", nullptr}, {"fuse_unk", true}, {"byte_fallback", true}};
    if (!unk_token.empty()) file.model.options["unk_token"] = unk_token;
  }
};

// Blanks are letters, unknown characters bytes, and one blank that was put before the text is taken off it.
void make_llama(Conversion& to) {
  to.defaults.roles = {{"unk_token", "<unk>"}, {"bos_token", "<s>"}, {"eos_token", "</s>"}};
  to.read_beside();
  to.make_bpe_by_ids("");
  const bool prefix = json_get_or<bool>(to.config, "add_prefix_space", true, to.config_where);
  const char* scheme = !prefix ? "never" : to.says("legacy", false) ? "always" : "first";
  Json decoders = {replace("String", kBlank, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  to.file.parts = {{"pre_tokenizer", prepend(scheme, false)}, {"decoder", sequence("decoders", decoders)}};
}

void make_gemma(Conversion& to) {
  to.defaults.roles = {{"unk_token", "<unk>"},
                       {"bos_token", "<bos>"},
                       {"eos_token", "<eos>"},
                       {"pad_token", "<pad>"},
                       {"mask_token", "<mask>"}};
  to.read_beside();
  to.make_bpe_by_ids(to.role("unk_token"));
  const Json decoders = {replace("String", kBlank, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  to.file.parts = {{"normalizer", replace("String", " ", kBlank)},
                   {"decoder", sequence("decoders", decoders)}};
}

// Words between white space, each with a blank before it.
void set_word_parts(Conversion& to, bool prefix) {
  const char* scheme = prefix ? "always" : "never";
  const Json steps = {{{"type", "WhitespaceSplit"}}, prepend(scheme, true)};
  to.file.parts = {{"pre_tokenizer", sequence("pretokenizers", steps)}, {"decoder", prepend(scheme, true)}};
  if (!to.model.charsmap.empty()) to.file.parts["normalizer"] = charsmap(to.model);
}

void make_t5(Conversion& to) {
  to.defaults.roles = {{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}};
  const int64_t extra = json_get_or<int64_t>(to.config, "extra_ids", 100, to.config_where);
  constexpr int64_t kMaxExtra = 100'000;
  if (extra < 0 || extra > kMaxExtra) {
    fail(ErrorCode::kCorrupt, "{}: 'extra_ids' is {}, and must be 0 to {}", to.config_where, extra,
         kMaxExtra);
  }
  const auto name = [](int64_t i) { return fmt::format("<extra_id_{}>", i); };
  for (int64_t i = 0; i < extra; ++i) to.defaults.extra.push_back({.content = name(i), .special = true});
  to.read_beside();
  to.add_scored_pieces(0);
  for (int64_t i = extra; i-- > 0;) to.add_scored(name(i), 0);
  to.make_unigram(2, false);
  set_word_parts(to, true);
  to.file.beside.before.clear();
  to.file.beside.before_second.clear();
  to.file.beside.behind = {to.role("eos_token")};
  to.file.beside.typed = false;
}

// A vocabulary whose first tokens are not the model's.
void make_roberta(Conversion& to, bool camembert) {
  to.defaults.roles = {{"bos_token", "<s>"},    {"eos_token", "</s>"},  {"sep_token", "</s>"},
                       {"cls_token", "<s>"},    {"unk_token", "<unk>"}, {"pad_token", "<pad>"},
                       {"mask_token", "<mask>"}};
  to.defaults.mask_takes_blanks = camembert;
  to.read_beside();
  constexpr double kNever = -100;
  to.add_scored(camembert ? "<s>NOTUSED" : to.role("bos_token"), 0);
  to.add_scored(to.role("pad_token"), 0);
  to.add_scored(camembert ? "</s>NOTUSED" : to.role("eos_token"), 0);
  to.add_scored(to.role("unk_token"), 0);
  if (camembert) to.add_scored("<unk>NOTUSED", kNever);
  to.add_scored_pieces(camembert ? 1 : 3);
  to.add_scored(to.role("mask_token"), 0);
  to.make_unigram(3, false);
  set_word_parts(to, json_get_or<bool>(to.config, "add_prefix_space", true, to.config_where));
  TokenFiles& beside = to.file.beside;
  beside.before = {to.role("bos_token")};
  beside.before_second = beside.behind = {to.role("eos_token")};
  beside.typed = false;
}

// Merges of normal pieces alone, in the order of their scores. `names`: what the pieces are called.
void make_bpe_by_scores(Conversion& to, const std::vector<std::string>& names, bool whole_words) {
  std::vector<size_t> order;
  Vocabulary normal;
  for (size_t i = 0; i < names.size(); ++i) {
    to.add(names[i], static_cast<int32_t>(i));
    if (to.model.pieces[i].type != SentencePieces::kNormal) continue;
    normal.add(names[i], static_cast<int32_t>(i));
    order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t left, size_t right) {
    return to.model.pieces[left].score > to.model.pieces[right].score;
  });
  Splits splits([&](std::string_view token) { return normal.find(token); }, to.where);
  for (const size_t i : order) splits.append(names[i], false);
  to.file.model.merges = splits.take();
  to.file.model.options = {{"type", "BPE"},
                           {"merges", nullptr},
                           {"fuse_unk", true},
                           {"byte_fallback", to.model.byte_fallback},
                           {"ignore_merges", whole_words}};
  if (to.file.model.vocabulary.find(to.model.unk_piece) || !to.model.byte_fallback)
    to.file.model.options["unk_token"] = to.model.unk_piece;
}

// The names of the pieces: added_tokens_decoder and added_tokens.json give some of them others.
std::vector<std::string> piece_names(const Conversion& to) {
  std::vector<std::string> names;
  for (const auto& piece : to.model.pieces) names.push_back(piece.text);
  if (to.model.kind != SentencePieces::kBpe) return names;
  std::set<size_t> renamed;
  std::vector<std::pair<size_t, std::string>> changes;
  for (const AddedToken& token : to.file.beside.tokens) {
    if (token.claim < 0 || static_cast<size_t>(token.claim) >= names.size()) continue;
    renamed.insert(static_cast<size_t>(token.claim));
    changes.emplace_back(static_cast<size_t>(token.claim), token.content);
  }
  std::set<std::string_view> kept;
  for (size_t i = 0; i < to.model.pieces.size(); ++i) {
    if (!renamed.contains(i)) kept.insert(to.model.pieces[i].text);
  }
  for (auto& [id, name] : changes) {
    if (!kept.contains(name)) names[id] = std::move(name);
  }
  return names;
}

// Without a class of its own: as SentencePiece itself encodes.
void make_plain(Conversion& to) {
  const SentencePieces& model = to.model;
  if (model.bos_id >= 0) to.defaults.roles["bos_token"] = model.bos_piece;
  if (model.eos_id >= 0) to.defaults.roles["eos_token"] = model.eos_piece;
  if (model.unk_id >= 0) to.defaults.roles["unk_token"] = model.unk_piece;
  // The user's pieces are cut out by a pattern instead, behind the normalizer.
  std::erase_if(to.defaults.extra, [](const AddedToken& token) { return !token.special; });
  to.read_beside();
  if (model.dummy_prefix) {
    for (AddedToken& token : to.file.beside.tokens) {
      if (token.claim >= 0) token.normalized = false;
    }
  }
  const std::vector<std::string> names = piece_names(to);
  std::vector<std::string_view> own;
  for (size_t i = 0; i < names.size(); ++i) {
    if (model.pieces[i].type == SentencePieces::kUserDefined) own.push_back(names[i]);
  }
  if (model.kind == SentencePieces::kBpe) {
    make_bpe_by_scores(to, names, !own.empty());
  } else {
    to.add_scored_pieces(0);
    to.make_unigram(model.unk_id, model.byte_fallback);
  }
  const bool legacy = to.says("legacy", true);
  Json normalizers = Json::array(), steps = Json::array();
  if (!model.charsmap.empty()) normalizers.push_back(charsmap(model));
  if (model.remove_extra_spaces) {
    // No look at each blank of a run from each of them: that takes the square of its length.
    normalizers.push_back(replace("Regex", R"(\A +|(?<! ) ++\z)", ""));
    normalizers.push_back(replace("Regex", " {2,}", " "));
  }
  if (model.escape_spaces) normalizers.push_back(replace("String", " ", kBlank));
  // Metaspace puts no blank before one that is there, SentencePiece does.
  if (model.dummy_prefix && legacy)
    normalizers.push_back(
        replace("Regex", std::string("\\A") + kBlank, (std::string(kBlank) + kBlank).c_str()));
  if (model.dummy_prefix) steps.push_back(prepend(legacy ? "always" : "first", false));
  if (!own.empty()) {
    const auto chars = [](std::string_view text) {
      return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
    };
    std::stable_sort(own.begin(), own.end(),
                     [&](std::string_view a, std::string_view b) { return chars(a) > chars(b); });
    std::string pattern;
    for (const std::string_view each : own) {
      if (!pattern.empty()) pattern += '|';
      pattern += escaped(each);
    }
    steps.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  }
  Json decoders = Json::array({replace("String", kBlank, " ")});
  if (model.byte_fallback) decoders.push_back({{"type", "ByteFallback"}});
  if (model.byte_fallback || model.dummy_prefix) decoders.push_back({{"type", "Fuse"}});
  if (model.dummy_prefix)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  to.file.parts = {{"normalizer", sequence("normalizers", normalizers)},
                   {"decoder", sequence("decoders", decoders)}};
  if (!steps.empty()) to.file.parts["pre_tokenizer"] = sequence("pretokenizers", steps);
}

struct ClassRow {
  std::string_view name;
  void (*make)(Conversion& to);
};
constexpr ClassRow kClasses[] = {
    {"", make_plain},
    {"CamembertTokenizer", [](Conversion& to) { make_roberta(to, true); }},
    {"GemmaTokenizer", make_gemma},
    {"LlamaTokenizer", make_llama},
    {"T5Tokenizer", make_t5},
    {"XLMRobertaTokenizer", [](Conversion& to) { make_roberta(to, false); }},
};

}  // namespace

std::string tokenizer_class(const fs::path& folder) {
  const fs::path config_path = folder / "config.json", own_path = folder / "tokenizer_config.json";
  const JsonTree config = read_if_there(config_path), own = read_if_there(own_path);
  std::string name = json_get_or<std::string>(*own, "tokenizer_class", "", own_path.string());
  if (name.empty()) name = json_get_or<std::string>(*config, "tokenizer_class", "", config_path.string());
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  if (name == "PreTrainedTokenizer" || name == "TokenizersBackend" || name == "PythonBackend") name.clear();
  const auto type = json_get_or<std::string>(*config, "model_type", "", config_path.string());
  for (const ModelRow& row : kModels) {
    if (row.type == type && (row.name.empty() || name.empty())) return std::string(row.name);
  }
  return name;
}

TokenizerFile read_sentencepiece(const fs::path& path, std::string_view bytes) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const std::string name = tokenizer_class(folder);
  const ClassRow* found = nullptr;
  for (const ClassRow& row : kClasses) {
    if (row.name == name) found = &row;
  }
  if (!found) {
    fail(ErrorCode::kUnsupported,
         "{}: a '{}' cannot be read from it: have transformers write a tokenizer.json "
         "(AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER))",
         path.string(), printable(name));
  }
  const SentencePieces model = parse_sentencepiece(bytes, path.string());
  const fs::path config_path = folder / "tokenizer_config.json";
  const JsonTree config = read_if_there(config_path);
  Conversion to{folder, path.string(), config_path.string(), model, *config};
  for (const auto& piece : model.pieces) {
    if (piece.type == SentencePieces::kControl || piece.type == SentencePieces::kUserDefined)
      to.defaults.extra.push_back({.content = piece.text, .special = piece.type == SentencePieces::kControl});
  }
  to.file.model.where = path.string();
  found->make(to);
  return std::move(to.file);
}

}  // namespace bolide::text
