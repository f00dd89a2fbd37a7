#pragma once

#include <nccl.h>

namespace bolide::cuda {

// The functions of NCCL that Bolide calls. The library is loaded when first asked for, so that one GPU, or a
// machine without it, needs none.
struct NcclLibrary {
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRank) comm_init_rank;
  decltype(&ncclCommDestroy) comm_destroy;
  decltype(&ncclCommAbort) comm_abort;
  decltype(&ncclCommGetAsyncError) comm_get_async_error;
  decltype(&ncclGetErrorString) get_error_string;
  decltype(&ncclGetLastError) get_last_error;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclReduceScatter) reduce_scatter;
  decltype(&ncclBroadcast) broadcast;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) recv;
};
// kUnsupported where it cannot be loaded, saying what to install. Before, it sets in the environment
// NCCL_NVLS_ENABLE=0, as Bolide never uses NVLink multicast, and NCCL_RUNTIME_CONNECT=0 unless that is set:
// ranks connect at the start, not in a later call, which would wait on the host and without end for a rank
// that died. Thread-safe among its callers.
const NcclLibrary& nccl_library();

}  // namespace bolide::cuda
