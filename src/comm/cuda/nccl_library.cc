#include "comm/cuda/nccl_library.h"

#include <dlfcn.h>

#include <cstdlib>

#include "base/error.h"

namespace bolide::cuda {
namespace {

constexpr const char* kFile = "libnccl.so.2";

template <class Function>
void resolve(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function) {
    fail(ErrorCode::kUnsupported, "{} on this machine has no {}: install NCCL 2.13 or newer", kFile, name);
  }
}

NcclLibrary load() {
  setenv("NCCL_NVLS_ENABLE", "0", 1);
  setenv("NCCL_RUNTIME_CONNECT", "0", 0);
  void* library = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* reason = dlerror();
    fail(
        ErrorCode::kUnsupported,
        "several GPUs need NCCL, and {} cannot be loaded ({}): install NVIDIA's package libnccl2, or put its "
        "folder on LD_LIBRARY_PATH",
        kFile, reason ? reason : "no reason given");
  }
  NcclLibrary functions = {};
  resolve(library, "ncclGetUniqueId", functions.get_unique_id);
  resolve(library, "ncclCommInitRank", functions.comm_init_rank);
  resolve(library, "ncclCommDestroy", functions.comm_destroy);
  resolve(library, "ncclCommAbort", functions.comm_abort);
  resolve(library, "ncclCommGetAsyncError", functions.comm_get_async_error);
  resolve(library, "ncclGetErrorString", functions.get_error_string);
  resolve(library, "ncclGetLastError", functions.get_last_error);
  resolve(library, "ncclAllReduce", functions.all_reduce);
  resolve(library, "ncclAllGather", functions.all_gather);
  resolve(library, "ncclReduceScatter", functions.reduce_scatter);
  resolve(library, "ncclBroadcast", functions.broadcast);
  resolve(library, "ncclGroupStart", functions.group_start);
  resolve(library, "ncclGroupEnd", functions.group_end);
  resolve(library, "ncclSend", functions.send);
  resolve(library, "ncclRecv", functions.recv);
  return functions;
}

}  // namespace

const NcclLibrary& nccl_library() {
  static const NcclLibrary library = load();  // after a failure the next call tries again
  return library;
}

}  // namespace bolide::cuda
