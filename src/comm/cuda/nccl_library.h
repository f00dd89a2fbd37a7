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
  decltype(&ncclSend) send;
  decltype(&ncclRecv) recv;
};
// kUnsupported where it cannot be loaded, saying what to install. Sets NCCL_NVLS_ENABLE=0 in the environment
// before it loads it: Bolide never uses NVLink multicast. Thread-safe among its callers.
const NcclLibrary& nccl_library();

}  // namespace bolide::cuda
