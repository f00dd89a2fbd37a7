#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include "base/error.h"
#include "tensor/cuda/check.h"
#include "tensor/dtype.h"

// What Hopper's copy engine is told of a tensor, and whether there is one.
namespace bolide::cuda {

using EncodeTensorMap = decltype(&cuTensorMapEncodeTiled);

// The driver's function by way of the runtime, so that nothing links with the driver. Null where it has none.
inline EncodeTensorMap tensor_map_encoder() {
  static const EncodeTensorMap encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault,
                                           &found),
          "cudaGetDriverEntryPointByVersion");
    return found == cudaDriverEntryPointSuccess ? reinterpret_cast<EncodeTensorMap>(function) : nullptr;
  }();
  return encode;
}

// A tensor of 16-bit or int8 elements in boxes of 128 bytes of columns, which lie in shared memory as
// hopper_ptx.cuh's operand() has them. Extents innermost first, strides in bytes of all but the innermost;
// `box`: extents of all but the innermost.
template <int kRank>
CUtensorMap tensor_map(const void* data, DType dtype, const uint64_t (&extents)[kRank],
                       const uint64_t (&strides)[kRank - 1], const uint32_t (&box)[kRank - 1]) {
  CUtensorMap map;
  uint32_t boxes[kRank] = {static_cast<uint32_t>(128 / size_of(dtype))}, steps[kRank] = {1};
  for (int i = 1; i < kRank; ++i) {
    boxes[i] = box[i - 1];
    steps[i] = 1;
  }
  const CUtensorMapDataType type = dtype == DType::kI8    ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                                   : dtype == DType::kF16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                          : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const CUresult status =
      tensor_map_encoder()(&map, type, kRank, const_cast<void*>(data), extents, strides, boxes, steps,
                           CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  BOLIDE_CHECK(status == CUDA_SUCCESS, "cuTensorMapEncodeTiled: {}", static_cast<int>(status));
  return map;
}

// Whether this is a Hopper GPU, with that much shared memory for a block, and `kernel` was compiled for it:
// such a kernel is empty elsewhere, and must have static shared memory here.
template <class Kernel>
bool has_hopper_kernel(Kernel* kernel, size_t shared_bytes) {
  int device = 0, major = 0, bytes = 0;
  cudaFuncAttributes attributes = {};
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "cudaDeviceGetAttribute");
  check(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes");
  return major == 9 && attributes.sharedSizeBytes > 0 &&
         static_cast<size_t>(bytes) >= shared_bytes + attributes.sharedSizeBytes &&
         tensor_map_encoder() != nullptr;
}

}  // namespace bolide::cuda
