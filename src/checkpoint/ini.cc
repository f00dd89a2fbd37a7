#include <cctype>
#include <charconv>

#include "base/file.h"
#include "checkpoint/diagnostics.h"
#include "checkpoint/ft_bin.h"

namespace bolide {
namespace {

// Real ones have 1 kB. An entry of three bytes takes some 150 of memory.
constexpr size_t kMaxIni = size_t{1} << 20;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\f\v";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

template <class T>
bool parse_number(const std::string& text, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_value(const std::string& text, std::string* value) {
  *value = text;
  return true;
}
bool parse_value(const std::string& text, int64_t* value) { return parse_number(text, value); }
bool parse_value(const std::string& text, double* value) { return parse_number(text, value); }
bool parse_value(const std::string& text, bool* value) {
  const std::string word = lower(text);
  *value = word == "true" || word == "yes" || word == "on" || word == "1";
  return *value || word == "false" || word == "no" || word == "off" || word == "0";
}

constexpr std::string_view kind(const std::string*) { return "a text"; }
constexpr std::string_view kind(const int64_t*) { return "a whole number"; }
constexpr std::string_view kind(const double*) { return "a number"; }
constexpr std::string_view kind(const bool*) { return "True or False"; }

}  // namespace

Ini parse_ini(std::string_view text, std::string_view where) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a mark of byte order, as editors leave it
  Ini ini;
  IniSection* section = nullptr;
  int number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view raw = text.substr(0, end), line = trim(raw);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    auto corrupt = [&](std::string_view what) {
      fail(ErrorCode::kCorrupt, "{}:{}: {}: '{}'", where, number, what, printable(line));
    };
    if (line.find('\0') != std::string_view::npos) corrupt("a zero byte in a line");
    if (line[0] == '[') {
      if (line.back() != ']' || line.size() < 3) corrupt("not a section header");
      const auto [found, inserted] = ini.try_emplace(std::string(line.substr(1, line.size() - 2)));
      if (!inserted) corrupt("a second section of that name");
      section = &found->second;
      continue;
    }
    // configparser would append an indented line to the value before it; no FT file has one.
    if (raw[0] == ' ' || raw[0] == '\t') corrupt("an indented line");
    const size_t equals = line.find_first_of("=:");
    if (equals == std::string_view::npos || equals == 0) corrupt("neither a section nor key=value");
    if (!section) corrupt("a key before the first [section]");
    const auto [found, inserted] =
        section->try_emplace(lower(trim(line.substr(0, equals))), trim(line.substr(equals + 1)));
    if (!inserted) corrupt("a second value for that key");
  }
  return ini;
}

Ini read_ini(const std::filesystem::path& path) {
  const std::string text = read_text_file(path, kMaxIni);
  refuse_stand_in(text, path);
  return parse_ini(text, path.string());
}

template <class T>
T ini_get(const Ini& ini, const std::string& section, const std::string& key, std::string_view where) {
  const auto found = ini.find(section);
  if (found == ini.end()) fail(ErrorCode::kCorrupt, "{}: section [{}] is missing", where, section);
  const auto value = found->second.find(key);
  if (value == found->second.end())
    fail(ErrorCode::kCorrupt, "{}: key '{}' of section [{}] is missing", where, key, section);
  T parsed{};
  if (!parse_value(value->second, &parsed)) {
    fail(ErrorCode::kCorrupt, "{}: key '{}' of section [{}] is '{}' instead of {}", where, key, section,
         printable(value->second), kind(&parsed));
  }
  return parsed;
}
template std::string ini_get<std::string>(const Ini&, const std::string&, const std::string&,
                                          std::string_view);
template int64_t ini_get<int64_t>(const Ini&, const std::string&, const std::string&, std::string_view);
template double ini_get<double>(const Ini&, const std::string&, const std::string&, std::string_view);
template bool ini_get<bool>(const Ini&, const std::string&, const std::string&, std::string_view);

std::string format_ini(const IniText& sections) {
  std::string text;
  for (const auto& [name, keys] : sections) {
    text += "[" + name + "]\n";
    for (const auto& [key, value] : keys) {
      text += key + "=";
      for (char c : value) text += c == '\n' ? std::string("\n\t") : std::string(1, c);
      text += "\n";
    }
    text += "\n";
  }
  return text;
}

}  // namespace bolide
