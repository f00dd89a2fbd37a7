#include "ops/cpu/isa.h"

#include <atomic>
#include <cstdlib>

#include "base/error.h"
#include "base/printable.h"
#include "hwy/targets.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace bolide::cpu {
namespace {

constexpr std::string_view kNames[] = {"generic", "avx2", "avx512", "avx512_bf16", "amx"};
constexpr int kUnset = -1;
std::atomic<int> g_isa{kUnset};  // NOLINT: the machine has one instruction set, whoever asks

#if defined(__x86_64__)
struct CpuId {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};
CpuId cpuid(unsigned leaf, unsigned subleaf) {
  CpuId id;
  if (!__get_cpuid_count(leaf, subleaf, &id.eax, &id.ebx, &id.ecx, &id.edx)) return {};
  return id;
}

// Linux gives a process AMX's 8 KiB of tile state only on request (5.16 and later; older kernels refuse).
bool request_amx() {
  constexpr long kArchReqXcompPerm = 0x1023, kXfeatureTileData = 18;
  return ::syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureTileData) == 0;
}

bool has_avx512_bf16() { return cpuid(7, 1).eax >> 5 & 1; }
bool has_amx_bf16() {
  const unsigned features = cpuid(7, 0).edx;
  if (!(features >> 24 & 1) || !(features >> 22 & 1) || !(cpuid(1, 0).ecx >> 27 & 1)) return false;
  unsigned low, high;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low >> 17 & 3) == 3 && request_amx();  // bits 17 and 18: the OS saves tile state
}
#endif

// vdpbf16ps runs at half the rate of fp32 multiply-adds on Intel's cores, at twice it on AMD's (Zen 5):
// measured, so that Intel without AMX is better off widening bf16 to fp32.
Isa argmax_of(const std::vector<Isa>& available) {
#if defined(__x86_64__)
  constexpr unsigned kGenuineIntel = 0x756E6547;  // "Genu"
  if (available.back() == Isa::kAvx512Bf16 && cpuid(0, 0).ebx == kGenuineIntel) return Isa::kAvx512;
#endif
  return available.back();
}

Isa from_environment() {
  const std::vector<Isa> available = available_isas();
  const char* wanted = std::getenv("BOLIDE_CPU_ISA");
  if (!wanted || !*wanted) return argmax_of(available);
  for (int i = 0; i < static_cast<int>(std::size(kNames)); ++i) {
    if (kNames[i] != wanted) continue;
    for (Isa have : available)
      if (static_cast<int>(have) == i) return have;
    fail(ErrorCode::kUnsupported, "BOLIDE_CPU_ISA={}: this machine has no more than {}", wanted,
         name_of(available.back()));
  }
  fail(ErrorCode::kUsage, "BOLIDE_CPU_ISA={} is unknown: use generic, avx2, avx512, avx512_bf16 or amx",
       printable(wanted));
}

}  // namespace

std::string_view name_of(Isa isa) { return kNames[static_cast<int>(isa)]; }

std::vector<Isa> available_isas() {
  std::vector<Isa> isas = {Isa::kGeneric};
#if defined(__x86_64__)
  // Highway's own detection, AVX-512's OS support included.
  static const int64_t kTargets = hwy::SupportedTargets();  // before set_isa() narrows it
  if (kTargets & HWY_AVX2) isas.push_back(Isa::kAvx2);
  if (kTargets & HWY_AVX3) {
    isas.push_back(Isa::kAvx512);
    if (has_avx512_bf16()) {
      isas.push_back(Isa::kAvx512Bf16);
      static const bool kAmx = has_amx_bf16();
      if (kAmx) isas.push_back(Isa::kAmx);
    }
  }
#endif
  return isas;
}

void set_isa(Isa isa) {
  int64_t targets = hwy::SupportedTargets();
#if defined(__x86_64__)
  targets = isa == Isa::kGeneric ? 0 : isa == Isa::kAvx2 ? HWY_AVX2 : HWY_AVX3 | HWY_AVX2;
#endif
  hwy::GetChosenTarget().Update(targets);
  g_isa.store(static_cast<int>(isa));
}

Isa isa() {
  const int known = g_isa.load();
  if (known != kUnset) return static_cast<Isa>(known);
  const Isa chosen = from_environment();
  set_isa(chosen);
  return chosen;
}

}  // namespace bolide::cpu
