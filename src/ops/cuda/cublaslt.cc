#include "ops/cuda/cublaslt.h"

#include <array>

#include "tensor/cuda/check.h"

namespace bolide::cuda {
namespace {

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBF16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

cublasLtEpilogue_t epilogue(const CublasLtGemm& p) {
  if (p.gelu) return p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  return p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

void make_layout(cublasLtMatrixLayout_t& to, cudaDataType_t type, int64_t rows, int64_t cols,
                 int64_t stride) {
  check_lt(
      cublasLtMatrixLayoutCreate(&to, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), stride),
      "cublasLtMatrixLayoutCreate");
}

class Preference {
 public:
  explicit Preference(const Problem& problem) {
    check_lt(cublasLtMatmulPreferenceCreate(&preference_), "cublasLtMatmulPreferenceCreate");
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    // Sums that are split over blocks must not be rounded to y's type in between: an ulp and more.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{16});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, uint32_t{16});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, problem.y_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, problem.y_alignment);
  }
  ~Preference() { cublasLtMatmulPreferenceDestroy(preference_); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    check_lt(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof(value)),
             "cublasLtMatmulPreferenceSetAttribute");
  }
  cublasLtMatmulPreference_t preference_ = nullptr;
};

struct Attribute {
  cublasLtMatmulAlgoConfigAttributes_t name;
  int64_t CublasLtAlgorithm::*field;
  size_t bytes;
};
// All but the id, which an algorithm is made with.
constexpr Attribute kAttributes[] = {
    {CUBLASLT_ALGO_CONFIG_TILE_ID, &CublasLtAlgorithm::tile, 4},
    {CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &CublasLtAlgorithm::splits, 4},
    {CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &CublasLtAlgorithm::reduction, 4},
    {CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, &CublasLtAlgorithm::swizzle, 4},
    {CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, &CublasLtAlgorithm::custom_option, 4},
    {CUBLASLT_ALGO_CONFIG_STAGES_ID, &CublasLtAlgorithm::stages, 4},
    {CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, &CublasLtAlgorithm::inner_shape, 2},
    {CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, &CublasLtAlgorithm::cluster_shape, 2},
};

std::optional<int64_t> get(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t name,
                           size_t bytes) {
  uint32_t wide = 0;
  uint16_t narrow = 0;
  size_t written = 0;
  void* to = bytes == 4 ? static_cast<void*>(&wide) : &narrow;
  if (cublasLtMatmulAlgoConfigGetAttribute(&algorithm, name, to, bytes, &written) != CUBLAS_STATUS_SUCCESS)
    return std::nullopt;
  return bytes == 4 ? static_cast<int64_t>(static_cast<int32_t>(wide)) : static_cast<int64_t>(narrow);
}

bool set(cublasLtMatmulAlgo_t& algorithm, const Attribute& attribute, int64_t value) {
  const auto wide = static_cast<uint32_t>(value);
  const auto narrow = static_cast<uint16_t>(value);
  const void* from = attribute.bytes == 4 ? static_cast<const void*>(&wide) : &narrow;
  return cublasLtMatmulAlgoConfigSetAttribute(&algorithm, attribute.name, from, attribute.bytes) ==
         CUBLAS_STATUS_SUCCESS;
}

}  // namespace

int64_t rounded_tokens(int64_t tokens) {
  int64_t step = 16;
  while (tokens > 8 * step) step *= 2;
  return (tokens + step - 1) / step * step;
}

void check_lt(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::kResource : ErrorCode::kInternal,
       "cuBLASLt: {} failed: {}", what, cublasLtGetStatusString(status));
}

Problem dense_problem(const CublasLtGemm& p) {
  const int64_t vector = 16 / static_cast<int64_t>(size_of(p.in_dtype));
  const int64_t padded = (p.in + vector - 1) / vector * vector;
  const auto row_bytes = static_cast<uint64_t>(p.out) * size_of(p.y_dtype) | 16;
  return {.product = p,
          .w_stride = padded,
          .x_stride = padded,
          .y_stride = p.out,
          .y_alignment = p.tokens > 1 ? static_cast<uint32_t>(row_bytes & (~row_bytes + 1)) : 16};
}

template <class T>
void Descriptors::set(cublasLtMatmulDescAttributes_t attribute, T value) {
  check_lt(cublasLtMatmulDescSetAttribute(product_, attribute, &value, sizeof(value)),
           "cublasLtMatmulDescSetAttribute");
}

Descriptors::Descriptors(const Problem& problem) {
  const CublasLtGemm& p = problem.product;
  // Row-major y [tokens, out] = x W^T is column-major y^T [out, tokens] = W x^T, W's rows being columns.
  check_lt(cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue(p));
  if (p.bias) set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(data_type(p.y_dtype)));
  make_layout(w_, data_type(p.in_dtype), p.in, p.out, problem.w_stride);
  make_layout(x_, data_type(p.in_dtype), p.in, p.tokens, problem.x_stride);
  make_layout(y_, data_type(p.y_dtype), p.out, p.tokens, problem.y_stride);
}

Descriptors::~Descriptors() {
  if (product_) cublasLtMatmulDescDestroy(product_);
  for (cublasLtMatrixLayout_t layout : {w_, x_, y_})
    if (layout) cublasLtMatrixLayoutDestroy(layout);
}

void Descriptors::set_tokens(int64_t tokens) {
  const auto columns = static_cast<uint64_t>(tokens);
  for (cublasLtMatrixLayout_t layout : {x_, y_}) {
    check_lt(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof(columns)),
             "cublasLtMatrixLayoutSetAttribute");
  }
}

void Descriptors::set_bias(const void* bias) { set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias); }

std::optional<CublasLtAlgorithm> numbers_of(const cublasLtMatmulAlgo_t& algorithm) {
  CublasLtAlgorithm numbers;
  const std::optional<int64_t> id = get(algorithm, CUBLASLT_ALGO_CONFIG_ID, 4);
  if (!id) return std::nullopt;
  numbers.id = *id;
  for (const Attribute& attribute : kAttributes) {
    const std::optional<int64_t> value = get(algorithm, attribute.name, attribute.bytes);
    if (!value) return std::nullopt;
    numbers.*attribute.field = *value;
  }
  return numbers;
}

Library::Library() { check_lt(cublasLtCreate(&handle_), "cublasLtCreate"); }

cublasStatus_t Library::run(const Context& context, Descriptors& d, const Problem& problem,
                            const Operands& operands, const cublasLtMatmulAlgo_t& algorithm) const {
  d.set_tokens(problem.product.tokens);
  if (problem.product.bias) d.set_bias(operands.bias);
  const float alpha = 1, beta = problem.product.accumulate ? 1 : 0;
  return cublasLtMatmul(handle_, d.product(), &alpha, operands.w, d.w(), operands.x, d.x(), &beta, operands.y,
                        d.y(), operands.y, d.y(), &algorithm, operands.workspace, kWorkspaceBytes,
                        static_cast<cudaStream_t>(context.stream));
}

void Library::run(const Context& context, const Problem& problem, const Operands& operands) {
  const std::lock_guard lock(mutex_);
  Problem rounded = problem;
  if (!directed_.contains(problem.product)) rounded.product.tokens = rounded_tokens(problem.product.tokens);
  const Choice& chosen = choice(rounded);
  check_lt(run(context, *chosen.descriptors, problem, operands, chosen.algorithm), "cublasLtMatmul");
}

const Library::Choice& Library::choice(const Problem& problem) {
  Choice& made = choices_[problem];
  if (made.descriptors) return made;
  auto descriptors = std::make_unique<Descriptors>(problem);
  std::optional<cublasLtMatmulHeuristicResult_t> directed;
  // Where this problem's rows lie unlike those that the algorithm was chosen for, it may not take them.
  if (const auto found = directed_.find(problem.product); found != directed_.end())
    directed = make(found->second, problem, *descriptors);
  made.algorithm = directed ? directed->algo : proposals(problem, *descriptors, 1).front();
  made.descriptors = std::move(descriptors);
  return made;
}

std::vector<cublasLtMatmulAlgo_t> Library::proposals(const Problem& problem, const Descriptors& d,
                                                     int most) const {
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(most));
  int found = 0;
  const Preference preference(problem);
  check_lt(cublasLtMatmulAlgoGetHeuristic(handle_, d.product(), d.w(), d.x(), d.y(), d.y(), preference.get(),
                                          most, results.data(), &found),
           "cublasLtMatmulAlgoGetHeuristic");
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (int i = 0; i < found; ++i)
    if (results[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS)
      algorithms.push_back(results[static_cast<size_t>(i)].algo);
  if (algorithms.empty()) {
    const CublasLtGemm& p = problem.product;
    fail(ErrorCode::kInternal, "cuBLASLt has no algorithm for {} x {} x {} in {}", p.tokens, p.out, p.in,
         name_of(p.in_dtype));
  }
  return algorithms;
}

std::optional<cublasLtMatmulHeuristicResult_t> Library::make(const CublasLtAlgorithm& wanted,
                                                             const Problem& problem, Descriptors& d) const {
  if (wanted.reduction != CUBLASLT_REDUCTION_SCHEME_NONE &&
      wanted.reduction != CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)
    return std::nullopt;
  const CublasLtGemm& p = problem.product;
  const cudaDataType_t in = data_type(p.in_dtype), y = data_type(p.y_dtype);
  cublasLtMatmulAlgo_t algorithm{};
  if (cublasLtMatmulAlgoInit(handle_, CUBLAS_COMPUTE_32F, CUDA_R_32F, in, in, y, y,
                             static_cast<int>(wanted.id), &algorithm) != CUBLAS_STATUS_SUCCESS)
    return std::nullopt;
  for (const Attribute& attribute : kAttributes) {
    const int64_t value = wanted.*attribute.field;
    // Not every algorithm lets itself be told what it is anyway.
    if (get(algorithm, attribute.name, attribute.bytes) == value) continue;
    if (!set(algorithm, attribute, value)) return std::nullopt;
  }
  // The check may look at the bias's address, which is not known yet: any that is aligned.
  if (p.bias) d.set_bias(reinterpret_cast<const void*>(uintptr_t{4096}));
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status =
      cublasLtMatmulAlgoCheck(handle_, d.product(), d.w(), d.x(), d.y(), d.y(), &algorithm, &result);
  if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > kWorkspaceBytes) return std::nullopt;
  result.algo = algorithm;
  return result;
}

std::vector<CublasLtGemm> Library::met() const {
  const std::lock_guard lock(mutex_);
  std::vector<CublasLtGemm> products;
  for (const auto& [problem, choice] : choices_) {
    if (products.empty() || products.back() != problem.product) products.push_back(problem.product);
  }
  return products;
}

void Library::forget() {
  const std::lock_guard lock(mutex_);
  choices_.clear();
}

void Library::use(const CublasLtGemm& product, const CublasLtAlgorithm& algorithm) {
  const Problem problem = dense_problem(product);
  Descriptors descriptors(problem);
  const std::lock_guard lock(mutex_);
  if (!make(algorithm, problem, descriptors)) {
    fail(ErrorCode::kUnsupported,
         "cuBLASLt does not take algorithm {} for {} x {} x {} in {} with these attributes", algorithm.id,
         product.tokens, product.out, product.in, name_of(product.in_dtype));
  }
  directed_[product] = algorithm;
  std::erase_if(choices_, [&](const auto& choice) { return choice.first.product == product; });
}

Library& library() {
  static std::mutex mutex;
  static std::map<int, std::unique_ptr<Library>> all;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const std::lock_guard lock(mutex);
  std::unique_ptr<Library>& one = all[device];
  if (!one) one = std::make_unique<Library>();
  return *one;
}

std::string cublaslt_version() { return fmt::format("cuBLASLt {}", cublasLtGetVersion()); }
std::vector<CublasLtGemm> gemms_met(const Context&) { return library().met(); }
void forget_gemms(const Context&) { library().forget(); }
void use_algorithm(const Context&, const CublasLtGemm& product, const CublasLtAlgorithm& algorithm) {
  library().use(product, algorithm);
}

}  // namespace bolide::cuda
