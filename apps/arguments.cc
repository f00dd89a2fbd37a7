#include "apps/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "bolide/error.h"

namespace bolide::apps {
namespace {

// CLI11 has no short flags of two letters.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kTwoLetterFlags{{
    {"-tp", "--tensor-para-size"},
    {"-pp", "--pipeline-para-size"},
    {"-dt", "--data-type"},
}};

// What other programs call a flag of ours: Hugging Face's generate(), vLLM, llama.cpp. The first that the
// subcommand has is named.
constexpr std::pair<std::string_view, std::string_view> kElsewhere[] = {
    {"--model", "--input-dir"},
    {"--model-path", "--model"},
    {"--model-name-or-path", "--model"},
    {"--output", "--output-dir"},
    {"-o", "--output"},
    {"-i", "--input"},
    {"-f", "--sample-input-file"},
    {"--file", "--sample-input-file"},
    {"--max-length", "--max-new-tokens"},
    {"--do-sample", "--temperature"},
    {"--num-beams", "--beam-width"},
    {"--length-penalty", "--len-penalty"},
    {"--torch-dtype", "--data-type"},
    {"--precision", "--data-type"},
    {"--quantization", "--weight-scheme"},
    {"--load-in-8bit", "--weight-scheme"},
    {"--int8-mode", "--weight-scheme"},
    {"-r", "--stop"},
    {"--reverse-prompt", "--stop"},
    {"-np", "--batch-size"},
    {"--parallel", "--batch-size"},
    {"--max-num-seqs", "--batch-size"},
    {"-b", "--max-chunk-tokens"},
    {"-ub", "--max-chunk-tokens"},
    {"--max-num-batched-tokens", "--max-chunk-tokens"},
    {"--max-model-len", "--max-kv-tokens"},
    {"--gpu-memory-utilization", "--kv-cache-fraction"},
    {"--enforce-eager", "--no-cuda-graphs"},
    {"-ngl", "--device"},
    {"--n-gpu-layers", "--device"},
    {"--gpu", "--device"},
    {"--gpus", "--devices"},
    {"-sm", "--tensor-para-size"},
    {"--split-mode", "--tensor-para-size"},
};

[[noreturn]] void wrong(const std::string& message) { throw Error(ErrorCode::kUsage, message); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "-" is standard input, "-1" a number.
bool looks_like_flag(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && !is_digit(word[1]) && word[1] != '.';
}

std::string long_name(const CLI::Option& option) { return "--" + option.get_lnames().front(); }

bool is_switch(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

// Takes several values. One with a delimiter is a list of numbers, one without a list of texts.
bool is_list(const CLI::Option& option) {
  return option.get_items_expected_max() > 1 || option.get_items_expected_min() == 0;
}
bool is_text_list(const CLI::Option& option) { return is_list(option) && option.get_delimiter() == '\0'; }

// Letters only, so that --Max_new_tokens is --max-new-tokens.
std::string bare(std::string_view flag) {
  flag.remove_prefix(std::min(flag.find_first_not_of('-'), flag.size()));
  std::string out(flag);
  for (char& c : out) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// How many letters must be put in, left out, replaced, or exchanged with their neighbour.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, last, row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({row[j - 1] + 1, last[j] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

class Reader {
 public:
  Reader(const CLI::App& command, const std::vector<std::string>& words) : command_(command), words_(words) {}

  std::vector<std::string> read() {
    while (next_ < words_.size()) take(words_[next_++]);
    return std::move(out_);
  }

 private:
  struct Found {
    const CLI::Option* option = nullptr;
    std::optional<std::string> value;  // what was attached
  };

  const CLI::Option* option(const std::string& name) const {
    for (const auto& [typed, flag] : kTwoLetterFlags)
      if (name == typed) return command_.get_option_no_throw(std::string(flag));
    return name.size() > 1 ? command_.get_option_no_throw(name) : nullptr;
  }

  // --flag, --flag=value, -f, -f=value, and a number right behind a short flag: -n5, -tp2.
  Found find(const std::string& word) const {
    if (!looks_like_flag(word)) return {};
    const size_t equals = word.find('=');
    if (const CLI::Option* whole = option(word.substr(0, equals))) {
      if (equals == std::string::npos) return {whole, std::nullopt};
      return {whole, word.substr(equals + 1)};
    }
    const size_t digit = word.find_first_of("0123456789");
    if (word[1] != '-' && digit != std::string::npos) {
      const CLI::Option* with_number = option(word.substr(0, digit));
      if (with_number && !is_switch(*with_number)) return {with_number, word.substr(digit)};
    }
    return {};
  }

  // "-vs" is -v and -s.
  bool take_switches(const std::string& word) {
    std::vector<std::string> names;
    if (word.size() < 3 || word[1] == '-') return false;
    for (const char letter : word.substr(1)) {
      const CLI::Option* one = option({'-', letter});
      if (!one || !is_switch(*one)) return false;
      names.push_back(long_name(*one));
    }
    out_.insert(out_.end(), names.begin(), names.end());
    return true;
  }

  void take(const std::string& word) {
    const Found found = find(word);
    if (!found.option) {
      if (take_switches(word)) return;
      unknown(word);
    }
    const CLI::Option& option = *found.option;
    const std::string name = long_name(option);
    if (is_switch(option)) {
      if (found.value)
        wrong(fmt::format("{} takes no value: leave '={}' out", name, printable(*found.value)));
      out_.push_back(name);
      return;
    }
    std::vector<std::string> values;
    if (found.value) {
      values.push_back(*found.value);
    } else if (next_ < words_.size() && (is_text_list(option) || !find(words_[next_]).option)) {
      values.push_back(words_[next_++]);  // the first text of a list is taken whatever it looks like
    }
    while (is_list(option) && next_ < words_.size() && !looks_like_flag(words_[next_]))
      values.push_back(words_[next_++]);
    add(option, name, values);
  }

  void add(const CLI::Option& option, const std::string& name, const std::vector<std::string>& values) {
    if (!given_.insert(name).second && !is_list(option)) wrong(fmt::format("{} is given twice", name));
    if (values.empty() && option.get_items_expected_min() > 0) wrong(fmt::format("{} needs a value", name));
    if (values.empty()) out_.push_back(name);
    for (const std::string& value : values) {
      if (option.get_delimiter() != '\0') check_parts(name, value, option.get_delimiter());
      if (value.empty()) wrong(fmt::format("{} is empty: give it a value, or leave it out", name));
      out_.push_back(name);
      out_.push_back(value);
    }
  }

  // CLI11 drops empty parts.
  static void check_parts(const std::string& name, const std::string& value, char delimiter) {
    const std::string twice(2, delimiter);
    if (!value.empty() &&
        (value.front() == delimiter || value.back() == delimiter || value.find(twice) != std::string::npos))
      wrong(fmt::format("{} has an empty part: '{}'", name, printable(value)));
  }

  [[noreturn]] void unknown(const std::string& word) const {
    const std::string help = fmt::format("(see 'bolide {} --help')", command_.get_name());
    if (!looks_like_flag(word)) {
      const CLI::Option* model = command_.get_option_no_throw("--model");
      wrong(fmt::format("unexpected word '{}': each value stands behind its flag{} {}", printable(word),
                        model && model->get_required() && given_.empty() ? ", as in --model DIR" : "", help));
    }
    std::vector<std::string> flags;
    for (const CLI::Option* one : command_.get_options()) {
      for (const std::string& name : one->get_lnames()) flags.push_back("--" + name);
      for (const std::string& name : one->get_snames()) flags.push_back("-" + name);
    }
    for (const auto& [typed, flag] : kTwoLetterFlags)
      if (command_.get_option_no_throw(std::string(flag))) flags.emplace_back(typed);
    const std::string name = word.substr(0, word.find('='));
    for (const auto& [theirs, ours] : kElsewhere) {
      if ((name.starts_with("--") ? "--" + bare(name) : name) == theirs &&
          command_.get_option_no_throw(std::string(ours)))
        wrong(fmt::format("unknown flag {}: here it is {} {}", name, ours, help));
    }
    const std::string near = nearest(name, flags);
    wrong(fmt::format("unknown flag {}{}", printable(name),
                      near.empty() ? " " + help : fmt::format(": did you mean {}?", near)));
  }

  const CLI::App& command_;
  const std::vector<std::string>& words_;
  size_t next_ = 0;
  std::vector<std::string> out_;
  std::set<std::string> given_;
};

}  // namespace

std::vector<std::string> normal_arguments(const CLI::App& command, const std::vector<std::string>& words) {
  return Reader(command, words).read();
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 64;  // no name of ours is longer
  if (word.size() > kLongest) return {};
  const std::string typed = bare(word);
  size_t least = typed.size() / 3 + 1;
  std::string best;
  for (const std::string& candidate : candidates) {
    const std::string name = bare(candidate);
    // A beginning of three letters counts as one slip.
    const size_t slips =
        typed.size() >= 3 && name.starts_with(typed) && name != typed ? 1 : distance(typed, name);
    if (slips >= least || slips >= name.size()) continue;
    least = slips;
    best = candidate;
  }
  return best;
}

std::string unescaped(std::string_view text) {
  constexpr std::string_view kLetters = "ntr\\", kMeant = "\n\t\r\\";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t which =
        text[i] == '\\' && i + 1 < text.size() ? kLetters.find(text[i + 1]) : std::string::npos;
    if (which == std::string::npos) {
      out += text[i];
    } else {
      out += kMeant[which];
      ++i;
    }
  }
  return out;
}

}  // namespace bolide::apps
