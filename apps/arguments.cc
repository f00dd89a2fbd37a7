#include "apps/arguments.h"

#include <array>
#include <string_view>
#include <utility>

namespace bolide::apps {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kShortFlags{{
    {"-tp", "--tensor-para-size"},
    {"-pp", "--pipeline-para-size"},
    {"-dt", "--data-type"},
}};
constexpr std::array<std::string_view, 3> kListFlags{"--prompt", "--stop", "--bad-words"};

bool is_list_flag(std::string_view argument) {
  for (std::string_view flag : kListFlags) {
    if (argument == flag) return true;
  }
  return false;
}

// "-tp" and "-tp=2" to the long spelling; everything else as it is.
std::string lengthen(const std::string& argument) {
  for (const auto& [short_flag, long_flag] : kShortFlags) {
    if (argument == short_flag) return std::string(long_flag);
    const std::string with_value = std::string(short_flag) + "=";
    if (argument.starts_with(with_value)) return std::string(long_flag) + argument.substr(short_flag.size());
  }
  return argument;
}

}  // namespace

std::vector<std::string> rewrite_arguments(const std::vector<std::string>& arguments) {
  std::vector<std::string> out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string argument = lengthen(arguments[i]);
    if (!is_list_flag(argument)) {
      out.push_back(argument);
      continue;
    }
    // The first value is taken whatever it looks like, the others up to the next flag.
    size_t last = i + 1;
    while (last < arguments.size() && (last == i + 1 || !arguments[last].starts_with('-'))) ++last;
    if (last == i + 1) out.push_back(argument);  // no value: CLI11 says so
    // "--flag=value" keeps a value that starts with a dash from being read as a flag.
    for (size_t value = i + 1; value < last; ++value) out.push_back(argument + "=" + arguments[value]);
    i = last - 1;
  }
  return out;
}

}  // namespace bolide::apps
