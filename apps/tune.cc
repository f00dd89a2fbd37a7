#include "bolide/tune.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/terminal.h"
#include "bolide/error.h"

namespace bolide::apps {
namespace {

struct Flags {
  ModelFlags model;
  std::vector<int64_t> batch_sizes{1}, input_lens{128};
  std::string output = "gemm_config.in";
  bool quick = false;
};

std::string as_table(const TuneReport& report, int fd) {
  Table table({"product", "tokens", "out", "in", "candidates", "cuBLASLt's own", "best", "gain"});
  for (const TunedGemm& gemm : report.gemms) {
    table.add({gemm.epilogue.empty() ? "plain" : gemm.epilogue, std::to_string(gemm.tokens),
               std::to_string(gemm.out), std::to_string(gemm.in), std::to_string(gemm.candidates),
               fmt::format("{:.2f} us", gemm.default_seconds * 1e6),
               fmt::format("{:.2f} us", gemm.best_seconds * 1e6),
               fmt::format("{:.1f} %", 100 * (gemm.default_seconds / gemm.best_seconds - 1))});
  }
  return table.text(fd);
}

int run(const Flags& flags) {
  refuse_idle({{!flags.model.tokenizer_path.empty(), "--tokenizer-path"}},
              "does nothing here: tune makes up its ids; leave it out");
  if (!flags.model.gemm_config.empty()) {
    throw Error(
        ErrorCode::kUsage,
        "tune times cuBLASLt's own choices against others: leave --gemm-config out, or run the model");
  }
  const auto largest = [](const std::vector<int64_t>& values) {
    return *std::max_element(values.begin(), values.end());
  };
  if (flags.model.weight_scheme != default_weight_scheme()) {
    throw Error(ErrorCode::kUsage,
                fmt::format("--weight-scheme {}: its products are not tuned in this version; leave it out",
                            flags.model.weight_scheme));
  }
  if (flags.model.tensor_para_size > 1 || flags.model.pipeline_para_size > 1 || process_rank() > 0) {
    throw Error(ErrorCode::kUsage,
                "tune runs on one GPU and times the products of whole layers: leave --tensor-para-size and "
                "--pipeline-para-size out, and start one process");
  }
  TuneOptions options;
  options.engine = engine_config(flags.model, 1);
  fit_chunk(flags.model, largest(flags.batch_sizes) * largest(flags.input_lens), options.engine);
  options.batch_sizes = flags.batch_sizes;
  options.input_lens = flags.input_lens;
  options.quick = flags.quick;
  const InterruptGuard guard;
  Output file(flags.output, Output::Mode::kWhole,
              inputs_of(flags.model));  // before minutes of work that it could not hold
  std::optional<ProgressBar> bar;
  options.on_progress = [&](int64_t done, int64_t total) {
    stop_if_interrupted(flags.output + " is not written");
    if (!bar && !flags.model.quiet) bar.emplace("tune", total);
    if (bar && done > 0) bar->advance();
  };
  const TuneReport report = tune(options);
  bar.reset();

  file.write(report.gemm_config);
  file.commit();
  if (file.is_standard_output()) return 0;
  Output out("-");
  out.write(fmt::format("{}, {}\n{}", report.gpu, report.library, as_table(report, out.fd())));
  out.write(fmt::format("wrote {}\n", flags.output));
  out.commit();
  return 0;
}

}  // namespace

Action add_tune(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  add_model_flags(app, flags->model);
  app.add_option("--batch-size", flags->batch_sizes, "sequences that run at once, one or more (default 1)")
      ->type_name("B[,B...]")
      ->delimiter(',')
      ->check(at_least(1));
  app.add_option("-p,--input-len", flags->input_lens,
                 "prompt tokens of a sequence, one or more (default 128)")
      ->type_name("N[,N...]")
      ->delimiter(',')
      ->check(at_least(1));
  app.add_option("--output", flags->output,
                 "gets the choices (default gemm_config.in, which is read unasked)")
      ->type_name("FILE");
  app.add_flag("--quick", flags->quick, "time only what cuBLASLt itself proposes");
  return [flags] { return run(*flags); };
}

}  // namespace bolide::apps
