#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace bolide::apps {

// The words behind a subcommand in the one form that CLI11 cannot misread: each flag by its long name, each
// value a word of its own behind it, a list flag (`--prompt A B`) repeated for each value.
// - FasterTransformer's and vLLM's two-letter flags (-tp N, -tp=N, -tp2) become their long names;
// - a word that is no flag of `command` is named first, whatever else is wrong, with the nearest flag there
// is;
// - a flag without a value, with an empty one, or given twice is refused.
// Throws kUsage.
std::vector<std::string> normal_arguments(const CLI::App& command, const std::vector<std::string>& words);

// The candidate that `word` was probably meant to be; empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// `--stop '\n'` as it was meant: \n, \t, \r and \\ are read; any other backslash stays.
std::string unescaped(std::string_view text);

}  // namespace bolide::apps
