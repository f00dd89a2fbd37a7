#pragma once

// What this build has. Used with `if constexpr`, so that no other file needs an #ifdef.
namespace bolide {
#ifdef BOLIDE_HAS_CUDA
inline constexpr bool kHasCuda = true;
#else
inline constexpr bool kHasCuda = false;
#endif
#ifdef BOLIDE_HAS_MPI
inline constexpr bool kHasMpi = true;
#else
inline constexpr bool kHasMpi = false;
#endif
#ifdef BOLIDE_HAS_GLOO
inline constexpr bool kHasGloo = true;
#else
inline constexpr bool kHasGloo = false;
#endif
}  // namespace bolide
