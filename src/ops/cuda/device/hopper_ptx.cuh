#pragma once

#include <cuda.h>

#include <cstdint>

#include "ops/cuda/device/scalar.cuh"

// Hopper's own instructions, for code compiled for sm_90a: barriers in shared memory, the copy engine,
// products of warpgroups.
namespace bolide::cuda {

// A barrier whose phase ends when `arrivals` have arrived and all announced bytes have come.
__device__ __forceinline__ void barrier_init(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// After barrier_init(), before the copy engine uses the barriers.
__device__ __forceinline__ void barrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void barrier_arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Arrives and announces bytes of the copy engine.
__device__ __forceinline__ void barrier_expect(uint32_t barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
// Waits for the end of the phase of this parity: phases count from 0. Of a fresh barrier, the phase before
// (1) has ended.
__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// A barrier of `threads` threads by number (0 is __syncthreads()'s): all wait, or some only arrive.
__device__ __forceinline__ void named_wait(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
__device__ __forceinline__ void named_arrive(int number, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// A box of a tensor, its first element at these coordinates, innermost first, into shared memory; what is
// beyond the tensor's edge comes as zero. Its bytes count on the barrier.
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap& map, int x, int y,
                                         uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], "
      "[%4];" ::"r"(to),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(x), "r"(y), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap& map, int x, int y, int z,
                                         uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, "
      "%4}], [%5];" ::"r"(to),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(x), "r"(y), "r"(z), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap& map, int x, int y, int z, int w,
                                         uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, "
      "%4, %5}], [%6];" ::"r"(to),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(x), "r"(y), "r"(z), "r"(w), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(&map)) : "memory");
}
// Makes this thread's ordinary writes to shared memory seen by tensor cores and copy engine, once threads
// have met at a barrier after it.
__device__ __forceinline__ void async_proxy_fence() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// y[0] += a, y[1] += b, where y lies: nobody waits for what was there.
__device__ __forceinline__ void add_pair(void* y, float a, float b) {
  asm volatile("red.relaxed.gpu.global.add.v2.f32 [%0], {%1, %2};" ::"l"(y), "f"(a), "f"(b) : "memory");
}

// Registers of a thread of this warpgroup from here on; all its warps must call it.
template <int kCount>
__device__ __forceinline__ void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ __forceinline__ void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

// Where operands of products lie in shared memory: rows of 128 bytes in which the copy engine has permuted
// 16-byte pieces (128-byte swizzle), in blocks of 8 rows that begin at multiples of 1024 bytes, one block
// after the other. `leading`: bytes from one block of 64 columns to the next, for operands whose rows are the
// inner dimension of the product (values); of no meaning for others.
__device__ __forceinline__ uint64_t operand(uint32_t address, uint32_t leading) {
  return uint64_t{(address & 0x3ffff) >> 4} | uint64_t{leading >> 4} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}

// Products run by themselves from group_issue() on. Registers that they read or write must be left alone
// until group_wait(); pass them through keep() before group_begin() and after the wait, so that the compiler
// does not move their uses across.
__device__ __forceinline__ void group_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void group_issue() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void group_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
template <int kBlocks>
__device__ __forceinline__ void keep(float (&x)[kBlocks][4]) {
#pragma unroll
  for (int n = 0; n < kBlocks; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(x[n][i])::"memory");
}
template <int kSteps>
__device__ __forceinline__ void keep(uint32_t (&x)[kSteps][4]) {
#pragma unroll
  for (int n = 0; n < kSteps; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+r"(x[n][i])::"memory");
}

#define BOLIDE_BLOCK(c, n) "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])
#define BOLIDE_BLOCKS(c, n) \
  BOLIDE_BLOCK(c, n), BOLIDE_BLOCK(c, n + 1), BOLIDE_BLOCK(c, n + 2), BOLIDE_BLOCK(c, n + 3)
#define BOLIDE_REGISTERS_8 "{%0, %1, %2, %3, %4, %5, %6, %7}"
#define BOLIDE_REGISTERS_16 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}"
#define BOLIDE_REGISTERS_32                                                                               \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, " \
  "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define BOLIDE_REGISTERS_64                                                                               \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, " \
  "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, "  \
  "%42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "  \
  "%62, %63}"

// c[64, n] = a[64, 16] b[n, 16]^T, or += if `add`, for the 128 threads of a warpgroup; c as in
// multiply_add(), 16 rows for each warp. a and b: operand() of 16 columns of rows.
#define BOLIDE_MULTIPLY_ROWS(columns, blocks, registers, a_at, b_at, add_at, ...)                         \
  template <class T>                                                                                      \
  __device__ __forceinline__ void multiply_rows(float(&c)[blocks][4], uint64_t a, uint64_t b, bool add) { \
    if constexpr (__is_same(T, __half)) {                                                                 \
      BOLIDE_MULTIPLY("f16", columns, registers, a_at, b_at, add_at, __VA_ARGS__);                        \
    } else {                                                                                              \
      BOLIDE_MULTIPLY("bf16", columns, registers, a_at, b_at, add_at, __VA_ARGS__);                       \
    }                                                                                                     \
  }
#define BOLIDE_MULTIPLY(type, columns, registers, a_at, b_at, add_at, ...)                          \
  asm volatile(                                                                                     \
      "{\n"                                                                                         \
      ".reg .pred add;\n"                                                                           \
      "setp.ne.b32 add, %" add_at                                                                   \
      ", 0;\n"                                                                                      \
      "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." type "." type " " registers ", %" a_at \
      ", %" b_at                                                                                    \
      ", add, 1, 1, 0, 0;\n"                                                                        \
      "}\n"                                                                                         \
      : __VA_ARGS__                                                                                 \
      : "l"(a), "l"(b), "r"(static_cast<int>(add)))
BOLIDE_MULTIPLY_ROWS("16", 2, BOLIDE_REGISTERS_8, "8", "9", "10", BOLIDE_BLOCK(c, 0), BOLIDE_BLOCK(c, 1))
BOLIDE_MULTIPLY_ROWS("32", 4, BOLIDE_REGISTERS_16, "16", "17", "18", BOLIDE_BLOCKS(c, 0))
BOLIDE_MULTIPLY_ROWS("64", 8, BOLIDE_REGISTERS_32, "32", "33", "34", BOLIDE_BLOCKS(c, 0), BOLIDE_BLOCKS(c, 4))
BOLIDE_MULTIPLY_ROWS("128", 16, BOLIDE_REGISTERS_64, "64", "65", "66", BOLIDE_BLOCKS(c, 0),
                     BOLIDE_BLOCKS(c, 4), BOLIDE_BLOCKS(c, 8), BOLIDE_BLOCKS(c, 12))
#undef BOLIDE_MULTIPLY
#undef BOLIDE_MULTIPLY_ROWS

// c[64, n] += a[64, 16] b[n, 16]^T, a in registers as in multiply_add().
#define BOLIDE_MULTIPLY_ROWS(columns, blocks, registers, a_at, b_at, ...)                                  \
  template <class T>                                                                                       \
  __device__ __forceinline__ void multiply_rows(float(&c)[blocks][4], const uint32_t(&a)[4], uint64_t b) { \
    if constexpr (__is_same(T, __half)) {                                                                  \
      BOLIDE_MULTIPLY("f16", columns, registers, a_at, b_at, __VA_ARGS__);                                 \
    } else {                                                                                               \
      BOLIDE_MULTIPLY("bf16", columns, registers, a_at, b_at, __VA_ARGS__);                                \
    }                                                                                                      \
  }
#define BOLIDE_MULTIPLY(type, columns, registers, a_at, b_at, ...)                                  \
  asm volatile(                                                                                     \
      "{\n"                                                                                         \
      ".reg .pred add;\n"                                                                           \
      "setp.ne.b32 add, 1, 0;\n"                                                                    \
      "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." type "." type " " registers ", {" a_at \
      "}, %" b_at                                                                                   \
      ", add, 1, 1, 0;\n"                                                                           \
      "}\n"                                                                                         \
      : __VA_ARGS__                                                                                 \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
BOLIDE_MULTIPLY_ROWS("16", 2, BOLIDE_REGISTERS_8, "%8, %9, %10, %11", "12", BOLIDE_BLOCK(c, 0),
                     BOLIDE_BLOCK(c, 1))
BOLIDE_MULTIPLY_ROWS("32", 4, BOLIDE_REGISTERS_16, "%16, %17, %18, %19", "20", BOLIDE_BLOCKS(c, 0))
BOLIDE_MULTIPLY_ROWS("64", 8, BOLIDE_REGISTERS_32, "%32, %33, %34, %35", "36", BOLIDE_BLOCKS(c, 0),
                     BOLIDE_BLOCKS(c, 4))
#undef BOLIDE_MULTIPLY
#undef BOLIDE_MULTIPLY_ROWS

// c[64, 64] += a[64, 16] b[16, 64], a in registers as in multiply_add(), b: operand() of 16 rows.
template <class T>
__device__ __forceinline__ void multiply_values(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b) {
#define BOLIDE_MULTIPLY(type)                                                             \
  asm volatile(                                                                           \
      "{\n"                                                                               \
      ".reg .pred add;\n"                                                                 \
      "setp.ne.b32 add, 1, 0;\n"                                                          \
      "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type " " BOLIDE_REGISTERS_32 \
      ", {%32, %33, %34, %35}, %36, add, 1, 1, 1;\n"                                      \
      "}\n"                                                                               \
      : BOLIDE_BLOCKS(c, 0), BOLIDE_BLOCKS(c, 4)                                          \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
  if constexpr (__is_same(T, __half)) {
    BOLIDE_MULTIPLY("f16");
  } else {
    BOLIDE_MULTIPLY("bf16");
  }
#undef BOLIDE_MULTIPLY
}
// c[64, 128] += a[64, 16] b[16, 128].
template <class T>
__device__ __forceinline__ void multiply_values(float (&c)[16][4], const uint32_t (&a)[4], uint64_t b) {
#define BOLIDE_MULTIPLY(type)                                                               \
  asm volatile(                                                                             \
      "{\n"                                                                                 \
      ".reg .pred add;\n"                                                                   \
      "setp.ne.b32 add, 1, 0;\n"                                                            \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " " BOLIDE_REGISTERS_64  \
      ", {%64, %65, %66, %67}, %68, add, 1, 1, 1;\n"                                        \
      "}\n"                                                                                 \
      : BOLIDE_BLOCKS(c, 0), BOLIDE_BLOCKS(c, 4), BOLIDE_BLOCKS(c, 8), BOLIDE_BLOCKS(c, 12) \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
  if constexpr (__is_same(T, __half)) {
    BOLIDE_MULTIPLY("f16");
  } else {
    BOLIDE_MULTIPLY("bf16");
  }
#undef BOLIDE_MULTIPLY
}
#undef BOLIDE_BLOCK
#undef BOLIDE_BLOCKS
#undef BOLIDE_REGISTERS_8
#undef BOLIDE_REGISTERS_16
#undef BOLIDE_REGISTERS_32
#undef BOLIDE_REGISTERS_64

}  // namespace bolide::cuda
