#pragma once

// Apart from all else, so that a build with CUDA and one without compile most files to the same, and ccache
// compiles them once.
namespace bolide {

// Whether this build has Device::kCuda. Used with `if constexpr`, so that no other file needs an #ifdef.
#ifdef BOLIDE_HAS_CUDA
inline constexpr bool kHasCuda = true;
#else
inline constexpr bool kHasCuda = false;
#endif

}  // namespace bolide
