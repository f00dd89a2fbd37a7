#include "ops/cases.h"

#include <algorithm>

#include "ops/cuda/matmul_kernels.h"
#include "ops/guarded.h"
#include "ops/ref/parallel.h"
#include "ops/ref/ref.h"

namespace bolide::test {
namespace {

// The bound of an element where values are of size one: what is off is compared with the value, but with no
// less than `least`.
std::vector<double> around(const std::vector<double>& expected, double least = 1e-2) {
  std::vector<double> bound;
  for (double x : expected) bound.push_back(std::max(std::abs(x), least));
  return bound;
}

// What y should hold, and by how much each element may be off.
struct Wanted {
  std::vector<double> values, bounds;
  std::vector<double> widened;  // what rounding int8 weights to x's type costs a product, altogether
};

float rounded(float value, DType dtype) {
  return dispatch_float(dtype, [&]<class T>() { return to_float(from_float<T>(value)); });
}

// Made on first use in each memory: a benchmark on a GPU needs none on the host, and no oracle's layout.
class Weights {
 public:
  Weights(int64_t rows, int64_t cols, DType dtype, uint32_t seed, DType int8_x = DType::kF32)
      : rows_(rows), cols_(cols), dtype_(dtype), int8_x_(int8_x), seed_(seed) {}
  const PackedMatrix& on(const Context& context) const {
    PackedMatrix& matrix = context.device == Device::kCpu ? host_ : device_;
    if (matrix.data.empty()) matrix = random_packed(context, rows_, cols_, dtype_, seed_, int8_x_);
    return matrix;
  }
  const PackedMatrix& host() const { return on({.threads = 2}); }
  double bytes() const { return static_cast<double>(rows_ * cols_) * static_cast<double>(size_of(dtype_)); }

 private:
  int64_t rows_, cols_;
  DType dtype_, int8_x_;
  uint32_t seed_;
  mutable PackedMatrix host_, device_;
};

class MatmulCase : public OpCase {
 public:
  explicit MatmulCase(const MatmulShape& s)
      : OpCase(fmt::format(
            "matmul/{}/{}x{}x{}/{}to{}{}{}{}{}{}",
            s.dtype == DType::kI8 ? fmt::format("int8_{}", name_of(s.int8_x)) : name_of(s.dtype), s.tokens,
            s.out, s.in, name_of(s.x), name_of(s.y), s.norm ? s.rms ? "/rms_norm" : "/norm" : "",
            s.bias ? "/bias" : "",
            s.activation == Activation::kNone ? ""
                                              : fmt::format("/activation{}", static_cast<int>(s.activation)),
            s.accumulate ? "/accumulate"
            : s.gated    ? "/gated"
                         : "",
            s.gap ? "/strided" : "")),
        shape_(s),
        w_(s.gated ? 2 * s.out : s.out, s.in, s.dtype, 7, s.int8_x),
        met_(s.dtype == DType::kI8 ? s.int8_x : s.dtype) {
    Source source(11);
    x_ = Guarded::random(s.tokens, s.in, s.gap, source, 1, s.x);
    bias_ = Guarded::random(1, s.gated ? 2 * s.out : s.out, 0, source, 1, s.y);
    norm_weight_ = Guarded::random(1, s.in, 0, source);
    norm_bias_ = Guarded::random(1, s.in, 0, source);
    before_ = Guarded::random(s.accumulate ? s.tokens : 0, s.out, 0, source);
    y_ = Guarded(s.tokens, s.out, s.gap, s.y);
  }
  void prepare(const Context& context) override {
    on_gpu_ = context.device == Device::kCuda;
    library_ = on_gpu_ && !context.deterministic && cuda::cublaslt_wins(w_.on(context), shape_.tokens);
    if (shape_.accumulate) y_.assign(before_);
    y_.bring(context);
    args(context);
  }
  void compute(const Context& context) override { matmul(context, args(context)); }
  void finish(const Context& context) override { y_.fetch(context); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    // A GPU rounds x to the weights' type. A CPU may, to bf16; all rows alike.
    const bool narrow = met_ == DType::kBF16 || (on_gpu_ && met_ == DType::kF16);
    if (on_gpu_) return compare(narrow);
    std::string wrong = compare(false);
    return wrong.empty() || !narrow || compare(true).empty() ? "" : wrong;
  }
  double bytes() const override {
    return w_.bytes() + static_cast<double>(shape_.tokens) *
                            static_cast<double>(shape_.in * static_cast<int64_t>(size_of(shape_.x)) +
                                                shape_.out * static_cast<int64_t>(size_of(shape_.y)) *
                                                    (shape_.accumulate ? 2 : 1));
  }
  double flops() const override {
    return (shape_.gated ? 4.0 : 2.0) * static_cast<double>(shape_.tokens * shape_.in * shape_.out);
  }
  DType dtype() const override { return met_; }
  DType activation() const override { return shape_.x != DType::kF32 ? shape_.x : shape_.y; }

 private:
  MatmulArgs args(const Context& context) const {
    MatmulArgs made = {.x = x_.view(context),
                       .w = &w_.on(context),
                       .bias = shape_.bias ? bias_.vector(context) : View(),
                       .y = y_.view(context),
                       .activation = shape_.activation,
                       .accumulate = shape_.accumulate,
                       .gated = shape_.gated};
    if (shape_.norm) {
      made.norm = {.weight = norm_weight_.vector(context),
                   .bias = shape_.rms ? View() : norm_bias_.vector(context),
                   .rms = shape_.rms};
    }
    return made;
  }
  // x as the products see it, in fp32.
  Guarded seen(bool narrow) const {
    const MatmulShape& s = shape_;
    Guarded x(s.tokens, s.in, 0);
    const std::vector<double> normed =
        s.norm ? ref::layer_norm({.x = x_.view(), .norm = args({}).norm, .y = {}}) : std::vector<double>();
    for (int64_t t = 0; t < s.tokens; ++t) {
      for (int64_t k = 0; k < s.in; ++k) {
        const double value = s.norm ? normed[static_cast<size_t>(t * s.in + k)] : x_.get(t, k);
        const bool round = narrow && !s.norm;
        x.row(t)[k] = round ? rounded(static_cast<float>(value), met_) : static_cast<float>(value);
      }
    }
    return x;
  }
  MatmulArgs after_norm(const Guarded& x) const {
    MatmulArgs like = args({});
    like.x = x.view();
    like.norm = {};
    if (shape_.accumulate) like.y = before_.view();
    return like;
  }
  // Where a normed value lies near the middle between two of the weights' type, fp32 and double may round it
  // differently: those errors are bounded by what rounding costs altogether, 6 sigma of a sum of independent
  // ones.
  Wanted oracle(bool narrow) const {
    const MatmulShape& s = shape_;
    const Guarded x = seen(narrow);
    const PackedMatrix& w = w_.host();
    MatmulArgs plain = after_norm(x);
    plain.gated = false;
    if (s.gated) plain.activation = Activation::kNone;
    Wanted wanted = {.values = ref::matmul(plain), .bounds = {}, .widened = {}};
    wanted.bounds.resize(wanted.values.size());
    wanted.widened.resize(wanted.values.size());
    ref::for_each(w.rows, s.tokens * w.rows * s.in, [&](int64_t row) {
      const std::vector<double> weights = ref::row_of(w, row);
      for (int64_t t = 0; t < s.tokens; ++t) {
        double sum = s.bias ? std::abs(bias_.get(0, row)) : 0, squares = 0;
        for (int64_t k = 0; k < s.in; ++k) {
          const double term = x.row(t)[k] * weights[static_cast<size_t>(k)];
          sum += std::abs(term);
          squares += term * term;
        }
        if (s.accumulate) sum += std::abs(before_.get(t, row));
        double& allowed = wanted.bounds[static_cast<size_t>(t * w.rows + row)];
        allowed = kSumError * (sum + 1e-3);
        if (s.norm && narrow) allowed += 6 * half_ulp(met_) * std::sqrt(squares);
        wanted.widened[static_cast<size_t>(t * w.rows + row)] = 6 * half_ulp(met_) * std::sqrt(squares);
      }
    });
    return s.gated ? gated(x, wanted) : wanted;
  }
  // Of the sums of gates and ups: what either is off by meets the other, and no activation is steeper
  // than 1.13. After cuBLASLt they have been rounded to y's type.
  Wanted gated(const Guarded& x, const Wanted& sums) const {
    Wanted wanted = {.values = ref::matmul(after_norm(x)), .bounds = {}, .widened = {}};
    for (int64_t i = 0; i < shape_.tokens * shape_.out; ++i) {
      const auto gate = static_cast<size_t>(i / shape_.out * 2 * shape_.out + i % shape_.out);
      const size_t up = gate + static_cast<size_t>(shape_.out);
      const auto off = [&](size_t at) {
        const double narrowed = 1.5 * half_ulp(shape_.y) * std::abs(sums.values[at]);
        const double widened = shape_.dtype == DType::kI8 ? sums.widened[at] : 0;
        return sums.bounds[at] + (library_ ? narrowed + widened : 0);
      };
      wanted.bounds.push_back(
          1.13 * (off(gate) * (std::abs(sums.values[up]) + off(up)) + std::abs(sums.values[gate]) * off(up)) +
          2e-6 * std::abs(wanted.values[static_cast<size_t>(i)]));
    }
    return wanted;
  }
  std::string compare(bool narrow) const {
    const Wanted& wanted = wanted_[narrow].get([&] { return oracle(narrow); });
    std::vector<double> bounds = wanted.bounds;
    if (shape_.gated) return y_.compare(wanted.values, bounds, 1);
    if (library_ && shape_.dtype == DType::kI8)
      for (size_t i = 0; i < bounds.size(); ++i) bounds[i] += wanted.widened[i];
    if (!library_ || (shape_.activation == Activation::kNone && !shape_.bias))
      return y_.compare(wanted.values, bounds, 1);
    // An activation after cuBLASLt takes the sum as rounded to y's type, and so do some of cuBLASLt's own
    // GELUs, before or after they add the bias, or both. No activation is steeper than GELU at 1.4:
    // 1.13; 1.5, because an output of 43 columns was seen 6 % further off than these roundings explain.
    const std::vector<double>& sums = sums_.get([&] {
      const Guarded x = seen(narrow);
      MatmulArgs plain = after_norm(x);
      plain.activation = Activation::kNone;
      return ref::matmul(plain);
    });
    for (size_t i = 0; i < bounds.size(); ++i) {
      const double bias = shape_.bias ? bias_.get(0, static_cast<int64_t>(i) % shape_.out) : 0;
      bounds[i] += 1.5 * half_ulp(shape_.y) * (std::abs(sums[i]) + std::abs(bias) + std::abs(sums[i] + bias));
    }
    return y_.compare(wanted.values, bounds, 1);
  }

  MatmulShape shape_;
  Weights w_;
  DType met_;  // what x meets the weights as
  Guarded x_, bias_, norm_weight_, norm_bias_, before_, y_;
  bool on_gpu_ = false, library_ = false;
  Kept<Wanted> wanted_[2];          // by whether x is narrow
  Kept<std::vector<double>> sums_;  // that the activation takes
};

class LayerNormCase : public OpCase {
 public:
  LayerNormCase(int64_t tokens, int64_t hidden, bool in_place, DType y, int64_t gap, bool rms,
                bool accumulate)
      : OpCase(fmt::format("{}_norm/{}/{}x{}/gap{}{}{}", rms ? "rms" : "layer", name_of(y), tokens, hidden,
                           gap, in_place ? "/in_place" : "", accumulate ? "/accumulate" : "")),
        in_place_(in_place),
        rms_(rms),
        accumulate_(accumulate) {
    Source source(3);
    x_ = Guarded::random(tokens, hidden, gap, source, 2);
    for (int64_t i = 0; i < hidden; ++i) x_.row(0)[i] += 100;  // a mean far from 0 must not cancel
    weight_ = Guarded::random(1, hidden, 0, source);
    bias_ = Guarded::random(1, hidden, 0, source);
    y_ = Guarded(tokens, hidden, gap, y);
    if (accumulate) before_ = Guarded::random(tokens, hidden, 1, source);
    bytes_ = static_cast<double>(4 + size_of(y)) * static_cast<double>(tokens * hidden);
  }
  void prepare(const Context& context) override {
    if (in_place_) y_.assign(x_);
    if (accumulate_) y_.assign(before_);
    y_.bring(context);
    args(context);
  }
  void compute(const Context& context) override { layer_norm(context, args(context)); }
  void finish(const Context& context) override { y_.fetch(context); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    LayerNormArgs like = args({});
    like.x = x_.view();
    if (accumulate_) like.y = before_.view();
    // The row of mean 100 has lost 50 times the precision of the others in its input already.
    const std::vector<double> expected = ref::layer_norm(like);
    return y_.compare(expected, around(expected, 1), 2e-5);
  }
  double bytes() const override { return bytes_; }
  DType activation() const override { return y_.dtype(); }

 private:
  LayerNormArgs args(const Context& context) const {
    return {.x = in_place_ ? y_.view(context) : x_.view(context),
            .norm = {.weight = weight_.vector(context),
                     .bias = rms_ ? View() : bias_.vector(context),
                     .rms = rms_},
            .y = y_.view(context),
            .accumulate = accumulate_};
  }
  bool in_place_, rms_, accumulate_;
  Guarded x_, weight_, bias_, y_, before_;
  double bytes_ = 0;
};

class AddCase : public OpCase {
 public:
  AddCase(int64_t tokens, int64_t hidden, DType x, int64_t gap, bool bias)
      : OpCase(fmt::format("add/{}/{}x{}/gap{}{}", name_of(x), tokens, hidden, gap, bias ? "/bias" : "")),
        has_bias_(bias) {
    Source source(5);
    x_ = Guarded::random(tokens, hidden, gap, source, 1, x);
    before_ = Guarded::random(tokens, hidden, 2, source);
    if (bias) bias_ = Guarded::random(1, hidden, 0, source);
    y_ = Guarded(tokens, hidden, gap);
  }
  void prepare(const Context& context) override {
    y_.assign(before_);
    y_.bring(context);
    x_.view(context);
    if (has_bias_) bias_.vector(context);
  }
  void compute(const Context& context) override {
    add(context,
        {.x = x_.view(context), .y = y_.view(context), .bias = has_bias_ ? bias_.vector(context) : View()});
  }
  void finish(const Context& context) override { y_.fetch(context); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    const std::vector<double> expected =
        ref::add({.x = x_.view(), .y = before_.view(), .bias = has_bias_ ? bias_.vector() : View()});
    // Terms of up to 3 in all may cancel: two roundings of such sums.
    return y_.compare(expected, around(expected, has_bias_ ? 3 : 1e-2), 2e-6);
  }
  double bytes() const override {
    return static_cast<double>(8 + size_of(x_.dtype())) * static_cast<double>(y_.view().shape.count());
  }
  DType activation() const override { return x_.dtype(); }

 private:
  bool has_bias_;
  Guarded x_, before_, bias_, y_;
};

class EmbeddingCase : public OpCase {
 public:
  EmbeddingCase(int64_t tokens, int64_t vocab, int64_t hidden, DType dtype, int64_t vocab_begin, int64_t gap,
                bool norm, bool accumulate, bool rms, float scale)
      : OpCase(fmt::format("embedding/{}/{}x{}x{}/gap{}{}{}{}{}", name_of(dtype), tokens, vocab, hidden, gap,
                           vocab_begin ? "/slice" : "", norm ? rms ? "/rms_norm" : "/norm" : "",
                           accumulate ? "/accumulate" : "", scale != 1 ? "/scale" : "")),
        hidden_(hidden),
        vocab_begin_(vocab_begin),
        dtype_(dtype),
        has_norm_(norm),
        accumulate_(accumulate),
        rms_(rms),
        scale_(scale),
        table_(vocab, hidden, dtype, 13),
        y_(tokens, hidden, gap) {
    Source source(17);
    const auto draw = [&] {
      return static_cast<int32_t>(vocab_begin ? source.below(vocab + 2 * vocab_begin) : source.below(vocab));
    };
    // What the step before drew: the last of it is kNoId, which has no embedding.
    std::vector<int32_t> previous = {draw(), draw(), -1}, ids;
    for (int64_t t = 0; t < tokens; ++t) {
      const bool late = t % 3 == 2;
      ids.push_back(late ? static_cast<int32_t>(-1 - t % 4 % 3) : draw());
      resolved_.push_back(late ? previous[static_cast<size_t>(t % 4 % 3)] : ids.back());
    }
    ids[0] = resolved_[0] = static_cast<int32_t>(vocab_begin + vocab - 1);
    ids_ = Mirrored(ids);
    previous_ = Mirrored(previous);
    if (norm) {
      weight_ = Guarded::random(1, hidden, 0, source);
      bias_ = Guarded::random(1, hidden, 0, source);
    }
    if (accumulate) before_ = Guarded::random(tokens, hidden, 1, source);
  }
  void prepare(const Context& context) override {
    if (accumulate_) y_.assign(before_);
    y_.bring(context);
    args(context);
  }
  void compute(const Context& context) override { embedding(context, args(context)); }
  void finish(const Context& context) override { y_.fetch(context); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    EmbeddingArgs like = args({});
    like.ids = resolved_;
    if (accumulate_) like.y = before_.view();
    const std::vector<double> expected = ref::embedding(like);
    const double rounded = accumulate_ || dtype_ == DType::kI8 || scale_ != 1 ? 2e-7 : 0;
    return y_.compare(expected, around(expected, 1), has_norm_ ? 2e-5 : rounded);
  }
  double bytes() const override {
    return static_cast<double>(static_cast<int64_t>(resolved_.size()) * hidden_) *
           static_cast<double>(4 + size_of(dtype_));
  }

 private:
  EmbeddingArgs args(const Context& context) const {
    return {.ids = ids_.span<int32_t>(context),
            .table = &table_.on(context),
            .vocab_begin = vocab_begin_,
            .y = y_.view(context),
            .previous_ids = previous_.span<int32_t>(context),
            .accumulate = accumulate_,
            .scale = scale_,
            .norm = has_norm_ ? Norm{.weight = weight_.vector(context),
                                     .bias = rms_ ? View() : bias_.vector(context),
                                     .rms = rms_}
                              : Norm()};
  }
  int64_t hidden_, vocab_begin_;
  DType dtype_;
  bool has_norm_, accumulate_, rms_;
  float scale_;
  Weights table_;
  std::vector<int32_t> resolved_;
  Mirrored ids_, previous_;
  Guarded y_, weight_, bias_, before_;
};

class GateCase : public OpCase {
 public:
  GateCase(int64_t tokens, int64_t inner, Activation activation, DType dtype, int64_t gap)
      : OpCase(fmt::format("gate/{}/{}x{}/activation{}/gap{}", name_of(dtype), tokens, inner,
                           static_cast<int>(activation), gap)),
        activation_(activation) {
    Source source(29);
    before_ = Guarded::random(tokens, 2 * inner, gap, source, 2, dtype);
    x_ = Guarded(tokens, 2 * inner, gap, dtype);
    y_ = Guarded(tokens, inner, gap, dtype);
  }
  void prepare(const Context& context) override {
    x_.assign(before_);
    x_.bring(context);
    y_.bring(context);
  }
  void compute(const Context& context) override { gate(context, args(context)); }
  void finish(const Context& context) override { y_.fetch(context); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    GateArgs like = args({});
    like.x = before_.view();
    const std::vector<double> expected = ref::gate(like);
    return y_.compare(expected, around(expected), 2e-6);
  }
  double bytes() const override {
    return 3.0 * static_cast<double>(y_.view().shape.count()) * static_cast<double>(size_of(y_.dtype()));
  }
  DType activation() const override { return y_.dtype(); }

 private:
  GateArgs args(const Context& context) const {
    return {.x = x_.view(context), .activation = activation_, .y = y_.view(context)};
  }
  Activation activation_;
  Guarded before_, x_, y_;
};

class GatherRowsCase : public OpCase {
 public:
  GatherRowsCase(int64_t rows, int64_t hidden, int64_t gap)
      : OpCase(fmt::format("gather_rows/{}x{}/gap{}", rows, hidden, gap)), y_(rows, hidden, gap) {
    Source source(19);
    x_ = Guarded::random(rows * 2, hidden, gap, source);
    std::vector<int32_t> chosen;
    for (int64_t i = 0; i < rows; ++i) chosen.push_back(static_cast<int32_t>(source.below(rows * 2)));
    rows_ = Mirrored(chosen);
  }
  void prepare(const Context& context) override {
    y_.bring(context);
    args(context);
  }
  void compute(const Context& context) override { gather_rows(context, args(context)); }
  void finish(const Context& context) override { y_.fetch(context); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    const std::vector<double> expected = ref::gather_rows(args({}));
    return y_.compare(expected, around(expected), 0);
  }
  double bytes() const override { return 8.0 * static_cast<double>(y_.view().shape.count()); }

 private:
  GatherRowsArgs args(const Context& context) const {
    return {.x = x_.view(context), .rows = rows_.span<int32_t>(context), .y = y_.view(context)};
  }
  Mirrored rows_;
  Guarded x_, y_;
};

}  // namespace

PackedMatrix random_packed(const Context& context, int64_t rows, int64_t cols, DType dtype, uint32_t seed,
                           DType int8_x) {
  if (dtype == DType::kI8) {
    const PackedMatrix from = random_packed(context, rows, cols, DType::kF32, seed);
    PackedMatrix to = allocate_packed_int8(rows, cols, int8_x, context.device);
    quantize_rows(context, {.from = &from, .to = &to});
    synchronize(context);
    return to;
  }
  PackedMatrix matrix = allocate_packed(rows, cols, dtype, context.device);
  Source source(seed);
  // A pool of values repeated at a prime length: the benchmark's gigabytes would take minutes to draw.
  Tensor pool = Tensor::allocate({std::min<int64_t>(rows * cols, 65521)}, DType::kF32);
  for (int64_t i = 0; i < pool.shape()[0]; ++i) pool.as<float>()[i] = source.normal();
  Mirrored block(Tensor::allocate({std::min<int64_t>(rows, 256), cols}, DType::kF32));
  float* values = block.host().as<float>();
  int64_t next = 0;
  for (int64_t row = 0; row < rows; row += 256) {
    const int64_t count = std::min<int64_t>(256, rows - row);
    for (int64_t i = 0; i < count * cols; ++i, next = next + 1 < pool.shape()[0] ? next + 1 : 0)
      values[i] = pool.as<float>()[next];
    block.bring(context);
    pack_block(context, block.on(context).view().slice_rows(0, count), false, row, 0, matrix);
  }
  synchronize(context);
  return matrix;
}

Case matmul_case(const MatmulShape& shape) { return std::make_unique<MatmulCase>(shape); }
Case layer_norm_case(int64_t tokens, int64_t hidden, bool in_place, DType y, int64_t gap, bool rms,
                     bool accumulate) {
  return std::make_unique<LayerNormCase>(tokens, hidden, in_place, y, gap, rms, accumulate);
}
Case add_case(int64_t tokens, int64_t hidden, DType x, int64_t gap, bool bias) {
  return std::make_unique<AddCase>(tokens, hidden, x, gap, bias);
}
Case embedding_case(int64_t tokens, int64_t vocab, int64_t hidden, DType dtype, int64_t vocab_begin,
                    int64_t gap, bool norm, bool accumulate, bool rms, float scale) {
  return std::make_unique<EmbeddingCase>(tokens, vocab, hidden, dtype, vocab_begin, gap, norm, accumulate,
                                         rms, scale);
}
Case gate_case(int64_t tokens, int64_t inner, Activation activation, DType dtype, int64_t gap) {
  return std::make_unique<GateCase>(tokens, inner, activation, dtype, gap);
}
Case gather_rows_case(int64_t rows, int64_t hidden, int64_t gap) {
  return std::make_unique<GatherRowsCase>(rows, hidden, gap);
}

}  // namespace bolide::test
