#include "comm/launcher.h"

#include <charconv>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/printable.h"

namespace bolide {
namespace {

using Variable = std::function<const char*(const char*)>;

class Environment {
 public:
  explicit Environment(const Variable& variable) : variable_(variable) {}

  // Scripts write NAME= where they mean "not set".
  std::optional<std::string> text(const char* name) const {
    const char* value = variable_ ? variable_(name) : std::getenv(name);
    if (!value || !*value) return std::nullopt;
    return value;
  }
  bool has(const char* name) const { return text(name).has_value(); }

  std::optional<int> number(const char* name) const {
    const auto value = text(name);
    if (!value) return std::nullopt;
    int number = 0;
    const char* end = value->data() + value->size();
    const auto [at, error] = std::from_chars(value->data(), end, number);
    if (error != std::errc() || at != end || number < 0) {
      fail(ErrorCode::kUsage, "environment variable {}={} must be a whole number from 0", name,
           printable(*value));
    }
    return number;
  }

 private:
  const Variable& variable_;
};

struct Names {
  const char *rank, *size;
};

void read_ranks(const Environment& environment, const Names& names, Launch& launch) {
  const auto rank = environment.number(names.rank), size = environment.number(names.size);
  if (!rank || !size) {
    const char *is = rank ? names.rank : names.size, *lacks = rank ? names.size : names.rank;
    fail(ErrorCode::kUsage, "environment variable {} is set, but {} is not: set both, or neither", is, lacks);
  }
  if (*rank >= *size) {
    fail(ErrorCode::kUsage, "environment variables {}={} and {}={} contradict: ranks count from 0",
         names.rank, *rank, names.size, *size);
  }
  launch.rank = *rank;
  launch.size = *size;
}

// Where kVariables meet, empty if nothing says it.
std::string meeting_address(const Environment& environment) {
  if (const auto meeting = environment.text("BOLIDE_MEETING")) {
    if (!meeting->starts_with("file:") && meeting->find(':') == std::string::npos) {
      fail(ErrorCode::kUsage, "environment variable BOLIDE_MEETING={} must be HOST:PORT or file:FOLDER",
           printable(*meeting));
    }
    return *meeting;
  }
  const auto host = environment.text("MASTER_ADDR");
  auto port = environment.number("MASTER_PORT");
  if (!host && !port) return "";
  if (!host || !port) {
    fail(ErrorCode::kUsage, "environment variable {} is set, but {} is not: set both, or BOLIDE_MEETING",
         host ? "MASTER_ADDR" : "MASTER_PORT", host ? "MASTER_PORT" : "MASTER_ADDR");
  }
  // torchrun's agent may itself listen on MASTER_PORT, for a store of PyTorch's own.
  if (environment.text("TORCHELASTIC_USE_AGENT_STORE") == "True") ++*port;
  if (*port < 1 || *port > 65535) {
    fail(ErrorCode::kUsage, "the port {} after environment variable MASTER_PORT must be from 1 to 65535",
         *port);
  }
  const bool bare_ipv6 = host->find(':') != std::string::npos && !host->starts_with('[');
  return fmt::format("{}{}{}:{}", bare_ipv6 ? "[" : "", *host, bare_ipv6 ? "]" : "", *port);
}

constexpr Names kOpenMpi = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"};
constexpr Names kTorchrun = {"RANK", "WORLD_SIZE"};
constexpr Names kSlurm = {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"};
constexpr Names kPmi = {"PMI_RANK", "PMI_SIZE"};

}  // namespace

Launch read_launch(const Variable& variable) {
  const Environment environment(variable);
  // Two of them can be there at once. torchrun starts its processes itself, so where it was used it is the
  // inner one; a batch script's SLURM_PROCID says nothing, only a step's processes know their number.
  const bool by_torchrun = environment.has("TORCHELASTIC_RUN_ID");
  const bool slurm_step = environment.has("SLURM_PROCID") && environment.has("SLURM_STEP_NUM_TASKS");
  const bool slurm_mpi = slurm_step && (environment.has("PMIX_RANK") || environment.has("PMI_RANK"));
  Launch launch;
  const auto as = [&](Launch::By by, const Names& names) {
    launch.by = by;
    read_ranks(environment, names, launch);
  };
  if (!by_torchrun && (environment.has(kOpenMpi.rank) || environment.has(kOpenMpi.size))) {
    as(Launch::By::kMpi, kOpenMpi);
  } else if (!by_torchrun && slurm_mpi) {
    as(Launch::By::kMpi, kSlurm);
  } else if (!by_torchrun && environment.has(kPmi.rank)) {
    as(Launch::By::kMpi, kPmi);
  } else if (environment.has(kTorchrun.rank) || environment.has(kTorchrun.size)) {
    as(Launch::By::kVariables, kTorchrun);
  } else if (slurm_step) {
    as(Launch::By::kVariables, kSlurm);
  }
  if (launch.size == 1) return {};
  if (launch.by == Launch::By::kVariables) {
    launch.address = meeting_address(environment);
    if (launch.address.empty()) {
      fail(
          ErrorCode::kUsage,
          "this process is rank {} of {}, but nothing says where they meet: set MASTER_ADDR and MASTER_PORT, "
          "or BOLIDE_MEETING=HOST:PORT or file:FOLDER{}",
          launch.rank, launch.size, slurm_step ? ", or use srun --mpi=pmix" : "");
    }
  }
  return launch;
}

}  // namespace bolide
