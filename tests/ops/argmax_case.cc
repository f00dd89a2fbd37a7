#include <limits>

#include "ops/cases.h"
#include "ops/guarded.h"
#include "ops/ref/ref.h"
#include "ops/sample.h"

namespace bolide::test {
namespace {

// The largest of each row of a product, against those of the product itself, to the bit, and against the
// oracle.
class ArgmaxCase : public OpCase {
 public:
  explicit ArgmaxCase(const ArgmaxShape& s)
      : OpCase(fmt::format(
            "argmax/{}/{}x{}x{}/{}rows{}{}", name_of(s.dtype), s.tokens, s.out, s.in, s.distinct,
            s.norm ? s.rms ? "/rms_norm" : "/norm" : "",
            s.special == ArgmaxShape::kOrdinary ? "" : fmt::format("/special{}", int{s.special}))),
        shape_(s),
        weights_(s.out, s.in, 0),
        x_(s.tokens, s.in, s.gap, s.norm ? DType::kF32 : s.x),
        values_(s.tokens, 1, 2),
        ids_(s.tokens, 1, 0, DType::kI32),
        y_(s.tokens, s.out, s.gap),
        plain_(s.tokens, s.out, s.gap) {
    Source source(71);
    const Guarded rows = Guarded::random(s.distinct, s.in, 0, source);
    for (int64_t o = 0; o < s.out; ++o) std::copy_n(rows.row(o % s.distinct), s.in, weights_.row(o));
    const Guarded some = Guarded::random(s.tokens, s.in, 0, source);
    for (int64_t t = 0; t < s.tokens; ++t)
      for (int64_t k = 0; k < s.in; ++k) x_.set(t, k, some.row(t)[k]);
    norm_weight_ = Guarded::random(1, s.in, 0, source);
    norm_bias_ = Guarded::random(1, s.in, 0, source);
    if (s.special != ArgmaxShape::kOrdinary) make_special();
  }
  void prepare(const Context& context) override {
    for (Guarded* out : {&values_, &ids_, &y_, &plain_}) out->bring(context);
    args(context);
  }
  void compute(const Context& context) override { matmul(context, args(context)); }
  void finish(const Context& context) override {
    MatmulArgs product = args(context);
    product.y = plain_.view(context);
    product.argmax = {};
    matmul(context, product);
    for (Guarded* out : {&values_, &ids_, &y_, &plain_}) out->fetch(context);
  }
  void poison() override {
    for (Guarded* out : {&values_, &ids_, &y_, &plain_}) out->poison();
  }
  std::vector<std::byte> output() const override {
    std::vector<std::byte> all = values_.bytes();
    const std::vector<std::byte> ids = ids_.bytes();
    all.insert(all.end(), ids.begin(), ids.end());
    return all;
  }
  std::string check() const override {
    for (const Guarded* out : {&values_, &ids_, &plain_})
      if (std::string wrong = out->check_written(); !wrong.empty()) return wrong;
    // All of it or nothing, and nothing beside it.
    if (y_.bytes() != Guarded(shape_.tokens, shape_.out, shape_.gap).bytes())
      if (std::string wrong = y_.check_written(); !wrong.empty()) return "the scratch: " + wrong;
    for (int64_t t = 0; t < shape_.tokens; ++t)
      if (std::string wrong = check_row(t); !wrong.empty()) return fmt::format("row {}: {}", t, wrong);
    return "";
  }
  double bytes() const override {
    return static_cast<double>(shape_.out * shape_.in) * static_cast<double>(size_of(shape_.dtype));
  }
  double flops() const override {
    return 2.0 * static_cast<double>(shape_.tokens) * static_cast<double>(shape_.in * shape_.out);
  }
  DType dtype() const override { return shape_.dtype == DType::kI8 ? shape_.x : shape_.dtype; }
  DType activation() const override { return shape_.x; }

 private:
  static constexpr int64_t kBegin = 1000;

  // Infinite weights at x's first column, whose value then says what becomes of a row: infinity, minus
  // infinity, or NaN of 0 * infinity; and rows of NaN.
  void make_special() {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const int64_t out = shape_.out;
    for (int64_t o = 0; o < out; ++o)
      if (shape_.special == ArgmaxShape::kAllInfinite || o == out / 3 || o == out - 1)
        weights_.row(o)[0] = kInfinity;
    for (int64_t t = 0; t < shape_.tokens; ++t) {
      constexpr float kFirst[] = {1, -1, 0, 1};
      x_.set(t, 0, kFirst[t % 4]);
      if (t % 8 == 3) x_.set(t, shape_.in - 1, std::numeric_limits<float>::quiet_NaN());
    }
  }
  const PackedMatrix& packed(const Context& context) const {
    PackedMatrix& matrix = context.device == Device::kCpu ? host_ : device_;
    if (matrix.data.empty()) {
      const bool int8 = shape_.dtype == DType::kI8;
      matrix = allocate_packed(shape_.out, shape_.in, int8 ? DType::kF32 : shape_.dtype, context.device);
      pack_block(context, weights_.view(context), false, 0, 0, matrix);
      if (int8) {
        PackedMatrix quantized = allocate_packed_int8(shape_.out, shape_.in, shape_.x, context.device);
        quantize_rows(context, {.from = &matrix, .to = &quantized});
        synchronize(context);
        matrix = quantized;
      }
      if (context.device == Device::kCuda) synchronize(context);  // kernels ask for weights at once
    }
    return matrix;
  }
  MatmulArgs args(const Context& context) const {
    MatmulArgs made = {
        .x = x_.view(context),
        .w = &packed(context),
        .y = y_.view(context),
        .argmax = {.values = values_.view(context), .ids = ids_.view(context), .begin = kBegin}};
    if (shape_.norm) {
      made.norm = {.weight = norm_weight_.vector(context),
                   .bias = shape_.rms ? View() : norm_bias_.vector(context),
                   .rms = shape_.rms};
    }
    return made;
  }

  std::string check_row(int64_t t) const {
    const float* row = plain_.row(t);
    const bool nan = std::any_of(row, row + shape_.out, [](float x) { return std::isnan(x); });
    const int64_t column = std::max_element(row, row + shape_.out) - row;  // the first of equals
    const int64_t id = nan || !std::isfinite(row[column]) ? kNoId : kBegin + column;
    const int32_t got = ids_.view().as<int32_t>()[t];
    const float value = values_.row(t)[0];
    // A GPU makes whole logits of such a head in another way than their largest: all is within rounding.
    if (shape_.out % 16 != 0 && id != kNoId && got != kNoId) {
      const int64_t other = got - kBegin;
      if (other < 0 || other >= shape_.out || std::abs(value - row[other]) > error(t, other) ||
          row[column] - row[other] > error(t, column) + error(t, other))
        return fmt::format("{} of {} instead of {} of {}", value, got, row[column], id);
      return shape_.special == ArgmaxShape::kOrdinary ? check_oracle(t, other) : "";
    }
    if (got != id || (nan ? !std::isnan(value) : value != row[column]))
      return fmt::format("{} of {} instead of {} of {}", value, got, nan ? NAN : row[column], id);
    return shape_.special == ArgmaxShape::kOrdinary ? check_oracle(t, column) : "";
  }
  // That no other logit of the oracle's is larger by more than rounding explains.
  std::string check_oracle(int64_t t, int64_t column) const {
    const int64_t out = shape_.out;
    const std::vector<double>& y = oracle_.get([&] {
      MatmulArgs like = args({});
      const std::vector<double> x = inputs();
      Guarded exact(shape_.tokens, shape_.in, 0);
      for (int64_t i = 0; i < shape_.tokens * shape_.in; ++i)
        exact.row(i / shape_.in)[i % shape_.in] = static_cast<float>(x[static_cast<size_t>(i)]);
      like.x = exact.view();
      like.norm = {};
      return ref::matmul(like);
    });
    const auto begin = y.begin() + t * out;
    const int64_t largest = std::max_element(begin, begin + out) - begin;
    const double short_by = begin[largest] - begin[column], allowed = error(t, largest) + error(t, column);
    if (short_by <= allowed) return "";
    return fmt::format("column {} is {:.3g} under column {}, allowed {:.3g}", column, short_by, largest,
                       allowed);
  }
  std::vector<double> inputs() const {
    if (shape_.norm) return ref::layer_norm({.x = x_.view(), .norm = args({}).norm, .y = {}});
    std::vector<double> x;
    for (int64_t t = 0; t < shape_.tokens; ++t)
      for (int64_t k = 0; k < shape_.in; ++k) x.push_back(x_.get(t, k));
    return x;
  }
  // Of a logit: as of any product; and x, or what its norm makes of it, may be rounded to the weights' type,
  // and int8 weights to x's.
  double error(int64_t t, int64_t column) const {
    const std::vector<double>& x = inputs_.get([&] { return inputs(); });
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < shape_.in; ++k) {
      const double term = x[static_cast<size_t>(t * shape_.in + k)] * weights_.row(column)[k];
      sum += std::abs(term);
      squares += term * term;
    }
    return kSumError * (sum + 1e-3) +
           6 * half_ulp(shape_.dtype == DType::kI8 ? shape_.x : shape_.dtype) * std::sqrt(squares);
  }

  ArgmaxShape shape_;
  Guarded weights_, x_, norm_weight_, norm_bias_, values_, ids_, y_, plain_;
  mutable PackedMatrix host_, device_;
  Kept<std::vector<double>> oracle_, inputs_;
};

}  // namespace

Case argmax_case(const ArgmaxShape& shape) { return std::make_unique<ArgmaxCase>(shape); }

}  // namespace bolide::test
