#pragma once

#include <compare>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/context.h"

// Which of the vendor library's algorithms (cuBLASLt's) runs a product of many rows. The library's own first
// guess does, unless use_algorithm() says otherwise. All of this is kept for each GPU, for all of the
// process, and is thread-safe. A build without CUDA has no such library: kUnsupported.
namespace bolide {

// What an algorithm is chosen by: y [tokens, out] (+)= gelu(x [tokens, in] W^T + bias).
struct CublasLtGemm {
  int64_t tokens = 0, out = 0, in = 0;
  DType in_dtype = DType::kF16;  // of x and W
  DType y_dtype = DType::kF16;
  bool bias = false, gelu = false, accumulate = false;
  auto operator<=>(const CublasLtGemm&) const = default;
};

// An algorithm as the library numbers its parts: enough for the same version on the same kind of GPU to make
// it again. The numbers are cuBLASLt's (cublasLtMatmulAlgoConfigAttributes_t).
struct CublasLtAlgorithm {
  int64_t id = 0, custom_option = 0, tile = 0, splits = 1, swizzle = 0, reduction = 0, stages = 0;
  int64_t inner_shape = 0, cluster_shape = 0;
  int64_t workspace_bytes = 0;
  auto operator<=>(const CublasLtAlgorithm&) const = default;
};

struct GemmTuning {
  std::optional<CublasLtAlgorithm> best;  // none where no candidate can be made again from its numbers
  double default_seconds = 0;             // of the library's own first guess
  double best_seconds = 0;
  int64_t candidates = 0;  // that ran
};

// Has the library choose and load algorithms for these products at up to `most_tokens` (theirs are not looked
// at), which their first runs would wait for otherwise. On an H200 the library takes a tenth of a second
// once, an algorithm 0.8 ms and a kernel that is new to the process some 10 ms. For a thread beside other
// work, with a stream of its own; takes memory for the largest one.
void prepare_gemms(const Context& context, std::span<const CublasLtGemm> products, int64_t most_tokens);

// "cuBLASLt 130100"
std::string cublaslt_version();

// The products that the library ran on the context's GPU since forget_gemms().
std::vector<CublasLtGemm> gemms_met(const Context& context);
void forget_gemms(const Context& context);

// Times the library's candidates and, unless `quick`, their neighbours, as they run in a step: one after
// another from a graph, with weights that come from memory. Takes memory for the product's matrices and four
// times the second-level cache.
GemmTuning tune_gemm(const Context& context, const CublasLtGemm& product, bool quick);

// From now on `product` runs by `algorithm`. kUnsupported where the library does not take it.
void use_algorithm(const Context& context, const CublasLtGemm& product, const CublasLtAlgorithm& algorithm);

// The backend, called through the functions above.
namespace cuda {
void prepare_gemms(const Context& context, std::span<const CublasLtGemm> products, int64_t most_tokens);
std::string cublaslt_version();
std::vector<CublasLtGemm> gemms_met(const Context& context);
void forget_gemms(const Context& context);
GemmTuning tune_gemm(const Context& context, const CublasLtGemm& product, bool quick);
void use_algorithm(const Context& context, const CublasLtGemm& product, const CublasLtAlgorithm& algorithm);
}  // namespace cuda

}  // namespace bolide
