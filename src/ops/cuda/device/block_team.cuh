#pragma once

#include <cooperative_groups.h>

namespace bolide::cuda {

// The blocks that work on one thing together and see each other's shared memory: a cluster of the launch, or
// one block alone, which is all that there is before compute capability 9.0.
class BlockTeam {
 public:
  __device__ __forceinline__ BlockTeam() {
#if __CUDA_ARCH__ >= 900
    rank_ = static_cast<int>(cooperative_groups::this_cluster().block_rank());
    size_ = static_cast<int>(cooperative_groups::this_cluster().num_blocks());
#endif
  }
  __device__ __forceinline__ int rank() const { return rank_; }
  __device__ __forceinline__ int size() const { return size_; }
  // All threads of all blocks; shared memory written before, by whomever and in whichever block, is seen
  // after.
  __device__ __forceinline__ void sync() const {
#if __CUDA_ARCH__ >= 900
    if (size_ > 1) return cooperative_groups::this_cluster().sync();
#endif
    __syncthreads();
  }
  // Where block `rank` has what is `mine` in this one. It must be there already, and still: sync() first of
  // all, and before a block ends.
  template <class T>
  __device__ __forceinline__ T* at(T* mine, int rank) const {
#if __CUDA_ARCH__ >= 900
    if (size_ > 1) return cooperative_groups::this_cluster().map_shared_rank(mine, rank);
#endif
    return mine;
  }

 private:
  int rank_ = 0, size_ = 1;
};

}  // namespace bolide::cuda
