#pragma once

#include <string>
#include <vector>

namespace bolide::apps {

// Brings the command line into the form that CLI11 reads (argv[0] is not part of `arguments`):
// - FasterTransformer's two-letter short flags, as typed: -tp N, -tp=N, -dt T, -pp N become their long names;
// - `--prompt A B C` (also --stop, --bad-words) becomes one flag a value. CLI11 would read a value like "[a,
// b]"
//   of a list flag as two values; a prompt must arrive as it was typed.
std::vector<std::string> rewrite_arguments(const std::vector<std::string>& arguments);

}  // namespace bolide::apps
