#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/terminal.h"
#include "bolide/checkpoint.h"
#include "bolide/error.h"

namespace bolide::apps {
namespace {

struct Flags {
  std::string input_dir, output_dir, data_type = "fp32";
  int tensor_para_size = 1, processes = 4;
  bool verbose = false, by_shard = false, force = false, quiet = false;
};

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

SettingsBlock arguments_of(const Flags& flags) {
  SettingsBlock out("Arguments");
  out.add("input_dir", flags.input_dir);
  out.add("output_dir", flags.output_dir);
  out.add("tensor_para_size", flags.tensor_para_size);
  out.add("data_type", flags.data_type);
  out.add("processes", flags.processes);
  out.add("verbose", flags.verbose);
  out.add("by_shard", flags.by_shard);
  out.add("force", flags.force);
  return out;
}

int convert(const Flags& flags) {
  const Inputs inputs{flags.input_dir};
  Output out("-", Output::Mode::kDirect, inputs);
  out.write(arguments_of(flags).text());
  out.flush();
  // Reads headers alone; tells how many tensors there are to go, and finds a damaged input before anything is
  // written.
  const CheckpointSummary input = bolide::inspect({.model = flags.input_dir, .data_type = flags.data_type});
  out.write(fmt::format("Reading {} ({}, {} parameters, {})\n", printable(flags.input_dir), input.format,
                        grouped(input.parameters), human_bytes(static_cast<double>(input.file_bytes))));
  out.flush();

  ConvertOptions options;
  options.input_dir = flags.input_dir;
  options.output_dir = flags.output_dir;
  options.tensor_para_size = flags.tensor_para_size;
  options.data_type = flags.data_type;
  options.processes = flags.processes;
  options.by_shard = flags.by_shard;
  options.force = flags.force;
  InterruptGuard guard;
  std::optional<ProgressBar> bar;
  options.on_tensor = [&](const ConvertedTensor& tensor) {
    stop_if_interrupted("the output folder is not written");
    if (flags.verbose) {
      const std::string source = std::filesystem::path(tensor.source).filename().string();
      out.write(fmt::format(" - {:.<62} {:<16} {} from {}{}\n", tensor.name + " ", shape_text(tensor.shape),
                            tensor.file, printable(source), tensor.split ? " s" : ""));
      out.flush();
    }
    // A list on the terminal shows by itself how far it is.
    if (flags.quiet || (flags.verbose && out.is_terminal())) return;
    if (!bar) bar.emplace("convert", tensor.count);
    bar->advance(tensor.name);
  };
  const ConvertReport report = bolide::convert(options);
  bar.reset();
  out.write(fmt::format("Wrote {}: {} tensors in {} files, {}\nElapsed time: {:.2f} s ({}/s)\n",
                        printable(report.folder.string()), report.tensors, report.files,
                        human_bytes(static_cast<double>(report.bytes)), report.seconds,
                        human_bytes(static_cast<double>(report.bytes) / std::max(report.seconds, 1e-9))));
  out.commit();
  return 0;
}

}  // namespace

Action add_convert(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("-i,--input-dir", flags->input_dir, "Hugging Face model folder")
      ->type_name("DIR")
      ->required();
  app.add_option("-o,--output-dir", flags->output_dir, "gets the folder <N>-gpu")
      ->type_name("DIR")
      ->required();
  add_tensor_ranks(app, flags->tensor_para_size, "-tp N: ranks to split for (default 1)");
  add_data_type(app, flags->data_type, "of the files, also -dt (default fp32)");
  app.add_option("-p,--processes", flags->processes, "threads that convert (default 4)")
      ->type_name("N")
      ->check(at_least(1));
  app.add_flag("-v,--verbose", flags->verbose,
               "a line per tensor: shape, file, where it is from, and s where it is split");
  app.add_flag("-s,--by-shard", flags->by_shard, "one input file at a time: less memory, same output");
  app.add_flag("--force", flags->force, "replace an output folder that already holds files");
  add_quiet(app, flags->quiet);
  add_log_level(app);
  return [flags] { return convert(*flags); };
}

}  // namespace bolide::apps
