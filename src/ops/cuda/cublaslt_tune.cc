// Which of cuBLASLt's algorithms runs a product fastest.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "ops/cuda/cublaslt.h"
#include "ops/cuda/measure.h"
#include "tensor/device.h"

namespace bolide::cuda {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// A product's matrices, and how long an algorithm takes over them.
class Workbench {
 public:
  Workbench(const Context& context, const CublasLtGemm& product);

  std::vector<cublasLtMatmulAlgo_t> proposals(int most) const {
    return library_.proposals(problem_, descriptors_, most);
  }
  std::optional<cublasLtMatmulHeuristicResult_t> make(const CublasLtAlgorithm& algorithm) {
    return library_.make(algorithm, problem_, descriptors_);
  }
  // Of one product in a series; kNever for an algorithm that does not run. One that is clearly slower than
  // `best` is not timed to the end.
  double seconds(const cublasLtMatmulAlgo_t& algorithm, double best);
  // Whether it gives what `reference` gives, but for rounding.
  bool agrees(const cublasLtMatmulAlgo_t& algorithm, const cublasLtMatmulAlgo_t& reference);

 private:
  cublasStatus_t run(const cublasLtMatmulAlgo_t& algorithm, int64_t copy, const Tensor& y);

  const Context& context_;
  Library& library_;
  Problem problem_;
  Descriptors descriptors_;
  int64_t copy_elements_ = 0, copies_ = 0, series_ = 0;
  Tensor weights_, x_, bias_, y_, expected_, workspace_;
};

Workbench::Workbench(const Context& context, const CublasLtGemm& product)
    : context_(context), library_(library()), problem_(dense_problem(product)), descriptors_(problem_) {
  const auto buffer = [&](int64_t elements, DType dtype) {
    const Tensor made = Tensor::allocate({elements}, dtype, Device::kCuda);
    fill_noise(context, made);
    return made;
  };
  // In a step each product's weights come from memory. So they do here when as many others as fill the cache
  // twice come between two uses of the same.
  const auto element = static_cast<int64_t>(size_of(product.in_dtype));
  copy_elements_ = (product.out * problem_.w_stride * element + 255) / 256 * 256 / element;
  const auto fill_cache = static_cast<int64_t>(cuda_properties().l2_bytes) / (copy_elements_ * element) + 1;
  copies_ = std::clamp<int64_t>(4 * fill_cache, 1, 256);
  series_ = std::clamp<int64_t>(2 * fill_cache, 4, 256);
  weights_ = buffer(copies_ * copy_elements_, product.in_dtype);
  x_ = buffer(product.tokens * problem_.x_stride, product.in_dtype);
  bias_ = buffer(product.out, product.y_dtype);
  y_ = buffer(product.tokens * product.out, product.y_dtype);
  expected_ = buffer(product.tokens * product.out, product.y_dtype);
  workspace_ = Tensor::allocate({static_cast<int64_t>(kWorkspaceBytes)}, DType::kU8, Device::kCuda);
}

cublasStatus_t Workbench::run(const cublasLtMatmulAlgo_t& algorithm, int64_t copy, const Tensor& y) {
  const auto bytes =
      static_cast<size_t>(copy % copies_ * copy_elements_) * size_of(problem_.product.in_dtype);
  return library_.run(context_, descriptors_, problem_,
                      {.w = static_cast<const std::byte*>(weights_.view().data) + bytes,
                       .x = x_.view().data,
                       .bias = bias_.view().data,
                       .y = y.view().data,
                       .workspace = workspace_.view().data},
                      algorithm);
}

double Workbench::seconds(const cublasLtMatmulAlgo_t& algorithm, double best) {
  constexpr int kRuns = 3;
  if (run(algorithm, 0, y_) != CUBLAS_STATUS_SUCCESS) return kNever;
  synchronize(context_);
  Graph graph;
  graph.capture(context_, [&] {
    for (int64_t i = 0; i < series_; ++i) check_lt(run(algorithm, i, y_), "cublasLtMatmul in a graph");
  });
  double least = kNever;
  for (int i = 0; i <= kRuns; ++i) {
    const double took = seconds_of(context_, [&] { graph.launch(context_); }) / static_cast<double>(series_);
    if (i > 0) least = std::min(least, took);  // the first warms up
    if (std::min(least, took) > (i == 0 ? 2 : 1.25) * best) return took;
  }
  return least;
}

bool Workbench::agrees(const cublasLtMatmulAlgo_t& algorithm, const cublasLtMatmulAlgo_t& reference) {
  // Four units in the last place of the largest result; of fp32 sums those of a long one.
  const DType dtype = problem_.product.y_dtype;
  const double bound = dtype == DType::kF32 ? 1e-3 : dtype == DType::kF16 ? 0x1p-8 : 0x1p-5;
  const auto once = [&](const cublasLtMatmulAlgo_t& by, const Tensor& y) {
    fill_zero(context_, y.view().data, y.bytes());
    return run(by, 0, y) == CUBLAS_STATUS_SUCCESS;
  };
  return once(reference, expected_) && once(algorithm, y_) &&
         relative_difference(context_, expected_, y_) <= bound;
}

template <class T>
T capability(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoCapAttributes_t name) {
  T value{};
  size_t written = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoCapGetAttribute(&algorithm, name, &value, sizeof(value), &written);
  return status == CUBLAS_STATUS_SUCCESS ? value : T{};
}

std::vector<int64_t> capabilities(const cublasLtMatmulAlgo_t& algorithm,
                                  cublasLtMatmulAlgoCapAttributes_t name) {
  size_t bytes = 0;
  if (cublasLtMatmulAlgoCapGetAttribute(&algorithm, name, nullptr, 0, &bytes) != CUBLAS_STATUS_SUCCESS)
    return {};
  std::vector<uint32_t> ids(bytes / sizeof(uint32_t));
  if (ids.empty() ||
      cublasLtMatmulAlgoCapGetAttribute(&algorithm, name, ids.data(), bytes, &bytes) != CUBLAS_STATUS_SUCCESS)
    return {};
  return {ids.begin(), ids.end()};
}

std::vector<int64_t> up_to(int64_t last) {
  std::vector<int64_t> values;
  for (int64_t value = 0; value <= last; ++value) values.push_back(value);
  return values;
}

// All that differ from it in one attribute.
std::vector<CublasLtAlgorithm> neighbours(const CublasLtAlgorithm& middle,
                                          const cublasLtMatmulAlgo_t& algorithm) {
  std::vector<CublasLtAlgorithm> all;
  const auto vary = [&](int64_t CublasLtAlgorithm::*field, const std::vector<int64_t>& values) {
    for (int64_t value : values) {
      all.push_back(middle);
      all.back().*field = value;
    }
  };
  vary(&CublasLtAlgorithm::tile, capabilities(algorithm, CUBLASLT_ALGO_CAP_TILE_IDS));
  vary(&CublasLtAlgorithm::stages, capabilities(algorithm, CUBLASLT_ALGO_CAP_STAGES_IDS));
  vary(&CublasLtAlgorithm::cluster_shape, up_to(CUBLASLT_CLUSTER_SHAPE_1x16x1));
  if (capability<uint32_t>(algorithm, CUBLASLT_ALGO_CAP_CTA_SWIZZLING_SUPPORT))
    vary(&CublasLtAlgorithm::swizzle, up_to(1));
  constexpr int32_t kMaxOptions = 15;
  vary(&CublasLtAlgorithm::custom_option,
       up_to(std::min(kMaxOptions, capability<int32_t>(algorithm, CUBLASLT_ALGO_CAP_CUSTOM_OPTION_MAX))));
  if (capability<int32_t>(algorithm, CUBLASLT_ALGO_CAP_SPLITK_SUPPORT)) {
    const size_t first = all.size();
    vary(&CublasLtAlgorithm::splits, {1, 2, 3, 4, 6, 8, 12, 16});
    for (size_t i = first; i < all.size(); ++i) {
      all[i].reduction =
          all[i].splits > 1 ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE;
    }
  }
  return all;
}

struct Candidate {
  CublasLtAlgorithm numbers;
  cublasLtMatmulAlgo_t algorithm;
  double seconds = kNever;
};

// Of all candidates that can be made again from their numbers, the fastest first.
class Search {
 public:
  Search(Workbench& bench, double best) : bench_(bench), best_(best) {}

  void try_out(const CublasLtAlgorithm& numbers) {
    if (!seen_.insert(numbers).second) return;
    const auto made = bench_.make(numbers);
    if (!made) return;
    const double seconds = bench_.seconds(made->algo, best_);
    if (seconds == kNever) return;
    best_ = std::min(best_, seconds);
    found_.push_back({numbers, made->algo, seconds});
    found_.back().numbers.workspace_bytes = static_cast<int64_t>(made->workspaceSize);
  }

  // From the two fastest so far.
  void widen() {
    constexpr size_t kMiddles = 2;
    constexpr std::chrono::seconds kPatience(5);
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<Candidate>& sorted = fastest_first();
    const std::vector<Candidate> middles(
        sorted.begin(), sorted.begin() + static_cast<int64_t>(std::min(kMiddles, sorted.size())));
    for (const Candidate& middle : middles) {
      CublasLtAlgorithm numbers = middle.numbers;
      numbers.workspace_bytes = 0;
      for (const CublasLtAlgorithm& neighbour : neighbours(numbers, middle.algorithm)) {
        if (std::chrono::steady_clock::now() - begin > kPatience) return;
        try_out(neighbour);
      }
    }
  }

  const std::vector<Candidate>& fastest_first() {
    std::sort(found_.begin(), found_.end(),
              [](const Candidate& a, const Candidate& b) { return a.seconds < b.seconds; });
    return found_;
  }

 private:
  Workbench& bench_;
  double best_;
  std::set<CublasLtAlgorithm> seen_;
  std::vector<Candidate> found_;
};

}  // namespace

void prepare_gemms(const Context& context, std::span<const CublasLtGemm> products, int64_t most_tokens) {
  constexpr int64_t kMin = 256;  // fewer go to own kernels, or are quick to follow
  std::vector<Problem> problems;
  for (CublasLtGemm p : products)
    for (p.tokens = kMin; p.tokens <= most_tokens; p.tokens = rounded_tokens(p.tokens + 1))
      problems.push_back(dense_problem(p));
  // Where w, x, bias, y and the workspace begin, and where that ends.
  const auto places = [](const Problem& problem) {
    const CublasLtGemm& p = problem.product;
    const auto bytes = [](int64_t elements, DType dtype) {
      return (elements * static_cast<int64_t>(size_of(dtype)) + 255) / 256 * 256;
    };
    std::array<int64_t, 6> at = {0,
                                 bytes(p.out * problem.w_stride, p.in_dtype),
                                 bytes(p.tokens * problem.x_stride, p.in_dtype),
                                 bytes(p.out, p.y_dtype),
                                 bytes(p.tokens * p.out, p.y_dtype),
                                 kMatmulWorkspaceBytes};
    std::partial_sum(at.begin(), at.end(), at.begin());
    return at;
  };
  int64_t most = 0;
  for (const Problem& problem : problems) most = std::max(most, places(problem).back());
  // One piece for all: to take memory or to give it back, the whole GPU waits, the load of weights as well.
  const Tensor memory = Tensor::zeros({most}, DType::kU8, Device::kCuda);
  auto* const base = static_cast<std::byte*>(memory.view().data);
  for (const Problem& problem : problems) {
    const auto at = places(problem);
    library().run(context, problem,
                  {.w = base + at[0],
                   .x = base + at[1],
                   .bias = base + at[2],
                   .y = base + at[3],
                   .workspace = base + at[4]});
  }
  synchronize(context);
}

GemmTuning tune_gemm(const Context& context, const CublasLtGemm& product, bool quick) {
  constexpr int kProposals = 24, kRounds = 5;
  constexpr size_t kFinalists = 4;
  Workbench bench(context, product);
  const std::vector<cublasLtMatmulAlgo_t> proposals = bench.proposals(kProposals);
  const cublasLtMatmulAlgo_t& first_guess = proposals.front();
  Search search(bench, bench.seconds(first_guess, kNever));
  for (const cublasLtMatmulAlgo_t& proposal : proposals)
    if (const auto numbers = numbers_of(proposal)) search.try_out(*numbers);
  if (!quick) search.widen();

  std::vector<Candidate> finalists;
  for (const Candidate& candidate : search.fastest_first()) {
    if (finalists.size() < kFinalists && bench.agrees(candidate.algorithm, first_guess))
      finalists.push_back({candidate.numbers, candidate.algorithm});
  }
  // In turns, so that a change of the clock meets all of them: the fastest of many is often just the
  // luckiest.
  GemmTuning tuned{.best = {},
                   .default_seconds = kNever,
                   .best_seconds = kNever,
                   .candidates = static_cast<int64_t>(search.fastest_first().size())};
  for (int round = 0; round < kRounds; ++round) {
    tuned.default_seconds = std::min(tuned.default_seconds, bench.seconds(first_guess, kNever));
    for (Candidate& finalist : finalists)
      finalist.seconds = std::min(finalist.seconds, bench.seconds(finalist.algorithm, kNever));
  }
  for (const Candidate& finalist : finalists) {
    if (finalist.seconds >= tuned.best_seconds) continue;
    tuned.best = finalist.numbers;
    tuned.best_seconds = finalist.seconds;
  }
  // Within a hundredth nothing is gained: the library's own guess stays.
  if (tuned.best_seconds <= 0.99 * tuned.default_seconds) return tuned;
  tuned.best_seconds = tuned.default_seconds;
  tuned.best = numbers_of(first_guess);
  const auto again = tuned.best ? bench.make(*tuned.best) : std::nullopt;
  if (again) {
    tuned.best->workspace_bytes = static_cast<int64_t>(again->workspaceSize);
  } else {
    tuned.best = std::nullopt;
  }
  return tuned;
}

}  // namespace bolide::cuda
