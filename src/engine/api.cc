#include <sys/resource.h>

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "base/threads.h"
#include "comm/launcher.h"
#include "engine/engine.h"
#include "engine/resolve.h"
#include "machine/resources.h"
#include "ops/roof.h"
#include "tensor/device.h"

// What of the public API needs neither a loaded model nor a running thread.
namespace bolide {
std::string_view name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength:
      return "length";
    case FinishReason::kEndId:
      return "end_id";
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

std::vector<Result> Engine::generate(std::vector<Request> requests) {
  const std::vector<uint64_t> ids = submit_all(std::move(requests));
  std::vector<Result> results;
  std::exception_ptr fault;
  for (uint64_t id : ids) {
    // After a fault nobody will see the other results: end them too, and leave nothing behind.
    if (fault) cancel(id);
    try {
      results.push_back(wait(id));
    } catch (...) {
      if (!fault) fault = std::current_exception();
    }
  }
  if (fault) std::rethrow_exception(fault);
  return results;
}

int64_t peak_memory_bytes(const std::string& device) {
  if (parse_device(device) == Device::kCuda) return static_cast<int64_t>(device_bytes_peak());
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

Roof measure_roof(const std::string& device, const std::string& data_type, int threads) {
  // More threads than cores, as many ranks have together, make no higher ceiling.
  check_threads(std::min(threads, usable_cores()));
  const int team_size = threads > 0 ? std::min(threads, usable_cores()) : default_threads();
  if (startable_threads(team_size) < team_size) {
    fail(ErrorCode::kResource,
         "cannot start {} threads to measure this machine with: lower threads, or the limit on "
         "threads is too low (ulimit -u, or the pids of a control group)",
         team_size);
  }
  const Device where = parse_device(device);
  Arena arena(where);
  const Context context{.device = where, .threads = team_size, .arena = &arena};
  const DType dtype = parse_data_type(data_type);
  const TeamScope team;
  return {.bytes_per_second = measure_read_bandwidth(context), .flops = measure_peak_flops(context, dtype)};
}

int process_rank() { return read_launch().rank; }

bool said_by_first_rank() {
  const Launch launch = read_launch();
  return launch.by == Launch::By::kMpi && launch.rank > 0 && !mpi_started();
}

}  // namespace bolide
