#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace bolide::apps {

// A subcommand of `bolide`. One file each: its add_x() declares the flags on `app` and gives back what runs
// once they are parsed. That function returns the exit code (0 done, 1 failed at run time) and throws
// bolide::Error for faults: kUsage becomes exit code 2, any other code 1, and main prints the one error line.
using Action = std::function<int()>;

Action add_bench(CLI::App& app);
Action add_convert(CLI::App& app);
Action add_generate(CLI::App& app);
Action add_inspect(CLI::App& app);
Action add_lambada(CLI::App& app);
Action add_logits(CLI::App& app);
Action add_tokenize(CLI::App& app);
Action add_tune(CLI::App& app);

}  // namespace bolide::apps
