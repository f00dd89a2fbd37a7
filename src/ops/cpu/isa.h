#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace bolide::cpu {

#if defined(__x86_64__)
inline constexpr bool kX86 = true;
#else
inline constexpr bool kX86 = false;
#endif

// What the kernels may use, each level with all of the ones before it. kGeneric is the compiler's baseline
// (SSE2 emulation on x86, NEON on Arm).
enum class Isa : uint8_t { kGeneric, kAvx2, kAvx512, kAvx512Bf16, kAmx };

// The level in use: the best that CPU and operating system offer, or the one that BOLIDE_CPU_ISA names
// (generic, avx2, avx512, avx512_bf16, amx). kUsage for another word, kUnsupported for a level that this
// machine lacks. Decided at the first call; thread-safe. Every op that reaches a vector kernel calls it
// first, because it also sets Highway's target.
Isa isa();
std::string_view name_of(Isa isa);
// All that this machine can run, lowest first.
std::vector<Isa> available_isas();
// For tests and benchmarks; no op may be running.
void set_isa(Isa isa);

}  // namespace bolide::cpu
