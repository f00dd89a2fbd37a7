#pragma once

#include <cublasLt.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "ops/matmul.h"
#include "ops/tune.h"

// cuBLASLt, behind cublaslt_matmul() and ops/tune.h.
namespace bolide::cuda {

// CUBLAS_STATUS_ALLOC_FAILED is kResource, any other failure kInternal.
void check_lt(cublasStatus_t status, const char* what);

inline constexpr size_t kWorkspaceBytes = kMatmulWorkspaceBytes;

// What an algorithm is chosen for, four numbers an octave from 128 on: every step of ragged prompts has
// another number of tokens, and a choice costs what prepare_gemms() says.
int64_t rounded_tokens(int64_t tokens);

// A product and where its matrices lie: what decides which algorithms can serve it.
struct Problem {
  CublasLtGemm product;
  int64_t w_stride = 0, x_stride = 0, y_stride = 0;
  uint32_t y_alignment = 16;  // of its rows, in bytes
  auto operator<=>(const Problem&) const = default;
};
// With rows side by side, those of x and W padded to 16 bytes: as they nearly always lie.
Problem dense_problem(const CublasLtGemm& product);

class Descriptors {
 public:
  explicit Descriptors(const Problem& problem);
  ~Descriptors();
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  void set_bias(const void* bias);
  void set_tokens(int64_t tokens);
  cublasLtMatmulDesc_t product() const { return product_; }
  cublasLtMatrixLayout_t w() const { return w_; }
  cublasLtMatrixLayout_t x() const { return x_; }
  cublasLtMatrixLayout_t y() const { return y_; }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value);
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr, x_ = nullptr, y_ = nullptr;
};

struct Operands {
  const void* w = nullptr;
  const void* x = nullptr;
  const void* bias = nullptr;  // where the product has one
  void* y = nullptr;
  void* workspace = nullptr;  // of kWorkspaceBytes
};

// One for each GPU. Thread-safe: engines of several threads may share a GPU.
class Library {
 public:
  Library();

  void run(const Context& context, const Problem& problem, const Operands& operands);
  // By an algorithm of the caller's, and descriptors that may have been made for another number of tokens.
  // CUBLAS_STATUS_NOT_SUPPORTED and the like are for the caller to judge.
  cublasStatus_t run(const Context& context, Descriptors& descriptors, const Problem& problem,
                     const Operands& operands, const cublasLtMatmulAlgo_t& algorithm) const;

  // What the library proposes, best first, at most `most`; kInternal for nothing at all. Candidates whose
  // split sums are rounded to y's type in between are not among them.
  std::vector<cublasLtMatmulAlgo_t> proposals(const Problem& problem, const Descriptors& descriptors,
                                              int most) const;
  // From its numbers, with the workspace that it wants; nothing where the library does not take them for this
  // problem, or where split sums would be rounded in between.
  std::optional<cublasLtMatmulHeuristicResult_t> make(const CublasLtAlgorithm& algorithm,
                                                      const Problem& problem, Descriptors& descriptors) const;

  std::vector<CublasLtGemm> met() const;
  void forget();
  void use(const CublasLtGemm& product, const CublasLtAlgorithm& algorithm);

 private:
  // With what a product runs.
  struct Choice {
    std::unique_ptr<Descriptors> descriptors;
    cublasLtMatmulAlgo_t algorithm;
  };
  const Choice& choice(const Problem& problem);

  cublasLtHandle_t handle_ = nullptr;
  mutable std::mutex mutex_;
  // Of all problems met, tokens rounded up unless they are directed_ as they are.
  std::map<Problem, Choice> choices_;
  std::map<CublasLtGemm, CublasLtAlgorithm> directed_;  // by use()
};

// Of the current GPU.
Library& library();

// Nothing for one that lacks an attribute.
std::optional<CublasLtAlgorithm> numbers_of(const cublasLtMatmulAlgo_t& algorithm);

}  // namespace bolide::cuda
