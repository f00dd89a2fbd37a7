# Compiler flags, third-party packages and the options that are promised but not built yet.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

# ccache where it is there: a rebuild after a branch switch then costs seconds.
find_program(BOLIDE_CCACHE ccache)
if(BOLIDE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${BOLIDE_CCACHE})
endif()

if(BOLIDE_PYTHON)
  message(FATAL_ERROR "BOLIDE_PYTHON=ON is not available in version ${PROJECT_VERSION}: see CHANGELOG.md for what is built")
endif()

if(BOLIDE_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    # The GPU of this machine, or Hopper (with its own instructions) where there is none, as in CI.
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE gpu ERROR_QUIET
                    RESULT_VARIABLE no_gpu)
    if(no_gpu EQUAL 0 AND NOT gpu MATCHES "^9\\.0")
      set(CMAKE_CUDA_ARCHITECTURES native)
    else()
      set(CMAKE_CUDA_ARCHITECTURES 90a-real)
    endif()
  endif()
  find_program(BOLIDE_NVCC nvcc PATHS /usr/local/cuda/bin)
  if(NOT BOLIDE_NVCC)
    message(FATAL_ERROR "BOLIDE_CUDA=ON needs CUDA's compiler, nvcc, which is not on the PATH nor in /usr/local/cuda/bin")
  endif()
  set(CMAKE_CUDA_COMPILER ${BOLIDE_NVCC})
  if(BOLIDE_CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${BOLIDE_CCACHE})
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)  # which CMake 3.25 does not know of nvcc
  find_package(CUDAToolkit 12.3 REQUIRED)
endif()

add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wall> $<$<COMPILE_LANGUAGE:CXX>:-Wextra>)
add_compile_options($<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra> $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>)
if(BOLIDE_WERROR)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Werror> $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
endif()
if(BOLIDE_SANITIZE)
  add_compile_options(-fsanitize=${BOLIDE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g1)
  # g++ 12 with sanitizers takes members of std::regex for uninitialised.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_link_options(-fsanitize=${BOLIDE_SANITIZE})
endif()

find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(ONIG REQUIRED IMPORTED_TARGET oniguruma)
find_package(ICU REQUIRED COMPONENTS uc)

# Transports between processes: on where their library is, unless told otherwise.
if(BOLIDE_MPI)
  set(MPI_CXX_SKIP_MPICXX ON)  # MPI's C functions are called, from C++
  find_package(MPI QUIET COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    message(STATUS "MPI: on, loaded when it is used")
  elseif(BOLIDE_MPI STREQUAL "AUTO")
    message(STATUS "MPI: off, because OpenMPI (openmpi-bin, libopenmpi-dev) is not installed")
  else()
    message(FATAL_ERROR "BOLIDE_MPI=ON needs OpenMPI: install openmpi-bin and libopenmpi-dev")
  endif()
endif()

if(BOLIDE_GLOO)
  find_package(Gloo QUIET)
  if(Gloo_FOUND)
    message(STATUS "Gloo: on")
  elseif(BOLIDE_GLOO STREQUAL "AUTO")
    message(STATUS "Gloo: off, because it (libgloo-dev) is not installed")
  else()
    message(FATAL_ERROR "BOLIDE_GLOO=ON needs Gloo: install libgloo-dev")
  endif()
endif()

# bolide_vector_kernels(FILES...): sources of the bolide library that Highway compiles once per target. Only AVX2 and AVX-512 on x86
# besides the baseline, to bound compile time: a machine between them (SSE4, AVX) would gain nothing worth having, and AVX3_DL adds no
# float instruction.
function(bolide_vector_kernels)
  target_sources(bolide PRIVATE ${ARGN})
  set_source_files_properties(
    ${ARGN} TARGET_DIRECTORY bolide PROPERTIES COMPILE_DEFINITIONS
    "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3_DL|HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128|HWY_RVV)")
endfunction()
