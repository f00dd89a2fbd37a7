#include <cmath>
#include <limits>

#include "ops/cases.h"
#include "ops/guarded.h"
#include "ops/ref/ref.h"
#include "ops/shapes.h"

namespace bolide::test {
namespace {

// Magnitudes of what is expected, and 1: what the bounds are shares of.
std::vector<double> bounds_of(const std::vector<double>& expected) {
  std::vector<double> bounds;
  for (const double x : expected) bounds.push_back(1 + std::abs(x));
  return bounds;
}

class HeadNormCase : public OpCase {
 public:
  explicit HeadNormCase(const HeadNormShape& s)
      : OpCase(fmt::format("head_norm/{}/{}/{}x{}+{}x{}{}{}/ranks{}/gap{}", s.rms ? "rms" : "layer",
                           name_of(s.dtype), s.tokens, s.heads, s.kv_heads, s.head_size,
                           s.whole_rows ? "/rows" : "", s.each_head ? "/each" : "", s.ranks, s.gap)),
        shape_(s) {
    Source source(41);
    const auto make = [&](Side& side, int64_t heads) {
      const int64_t width = heads * s.head_size, size = s.whole_rows || s.each_head ? width : s.head_size;
      side.before = Guarded::random(s.tokens, width, s.gap, source, 2, s.dtype);
      side.x = Guarded(s.tokens, width, s.gap, s.dtype);
      side.weight = Guarded::random(1, size, 0, source);
      side.bias = Guarded::random(1, size, 0, source);
    };
    make(q_, s.heads);
    make(k_, s.kv_heads);
    squares_ = Guarded(s.tokens, 2, 0);
    for (int64_t t = 0; t < s.tokens; ++t)
      for (int64_t i = 0; i < 2; ++i) squares_.row(t)[i] = 50 + std::abs(source.normal());
  }
  void prepare(const Context& context) override {
    for (Side* side : {&q_, &k_}) {
      side->x.assign(side->before);
      side->x.bring(context);
    }
    args(context);
  }
  void compute(const Context& context) override { head_norm(context, args(context)); }
  void finish(const Context& context) override {
    q_.x.fetch(context);
    k_.x.fetch(context);
  }
  void poison() override {
    q_.x.poison();
    k_.x.poison();
  }
  std::vector<std::byte> output() const override {
    std::vector<std::byte> all = q_.x.bytes(), more = k_.x.bytes();
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::string check() const override {
    HeadNormArgs like = args({});
    like.q = q_.before.view();
    like.k = k_.before.view();
    const std::vector<double> both = ref::head_norm(like);
    const auto middle = both.begin() + q_.x.view().shape.count();
    const std::vector<double> q(both.begin(), middle), k(middle, both.end());
    for (const auto& [side, expected] : {std::pair(&q_, &q), std::pair(&k_, &k)}) {
      if (std::string wrong = side->x.check_written(); !wrong.empty()) return wrong;
      if (std::string wrong = side->x.compare(*expected, bounds_of(*expected), shape_.rms ? 2e-6 : 2e-5);
          !wrong.empty())
        return wrong;
    }
    return "";
  }
  double bytes() const override {
    return 2.0 * static_cast<double>(q_.x.view().shape.count() + k_.x.view().shape.count()) *
           static_cast<double>(size_of(shape_.dtype));
  }
  DType activation() const override { return shape_.dtype; }

 private:
  struct Side {
    Guarded before, x, weight, bias;
  };
  HeadNormArgs args(const Context& context) const {
    const auto norm_of = [&](const Side& side) {
      return Norm{.weight = side.weight.vector(context),
                  .bias = shape_.rms ? View() : side.bias.vector(context),
                  .rms = shape_.rms};
    };
    return {.q = q_.x.view(context),
            .k = k_.x.view(context),
            .head_size = shape_.whole_rows ? 0 : shape_.head_size,
            .q_norm = norm_of(q_),
            .k_norm = norm_of(k_),
            .squares = shape_.ranks > 0 ? squares_.view(context) : View(),
            .ranks = std::max<int64_t>(shape_.ranks, 1)};
  }
  HeadNormShape shape_;
  Side q_, k_;
  Guarded squares_;
};

class RowSquaresCase : public OpCase {
 public:
  RowSquaresCase(int64_t tokens, int64_t q, int64_t k, DType dtype, int64_t gap)
      : OpCase(fmt::format("row_squares/{}/{}x{}+{}/gap{}", name_of(dtype), tokens, q, k, gap)) {
    Source source(43);
    q_ = Guarded::random(tokens, q, gap, source, 1, dtype);
    k_ = Guarded::random(tokens, k, gap, source, 1, dtype);
    y_ = Guarded(tokens, 2, 0);
  }
  void prepare(const Context& context) override {
    y_.bring(context);
    args(context);
  }
  void compute(const Context& context) override { row_squares(context, args(context)); }
  void finish(const Context& context) override { y_.fetch(context); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    const std::vector<double> expected = ref::row_squares(args({}));
    return y_.compare(expected, bounds_of(expected), 2e-6);
  }
  double bytes() const override {
    return static_cast<double>(q_.view().shape.count() + k_.view().shape.count()) *
           static_cast<double>(size_of(q_.dtype()));
  }
  DType activation() const override { return q_.dtype(); }

 private:
  RowSquaresArgs args(const Context& context) const {
    return {.q = q_.view(context), .k = k_.view(context), .y = y_.view(context)};
  }
  Guarded q_, k_, y_;
};

class SoftCapCase : public OpCase {
 public:
  SoftCapCase(int64_t rows, int64_t columns, float cap, int64_t gap)
      : OpCase(fmt::format("soft_cap/{}x{}/cap{}/gap{}", rows, columns, cap, gap)), cap_(cap) {
    Source source(47);
    before_ = Guarded::random(rows, columns, gap, source, 20);
    before_.row(0)[0] = std::numeric_limits<float>::infinity();
    before_.row(1)[columns - 1] = std::numeric_limits<float>::quiet_NaN();
    before_.row(rows - 1)[columns / 2] = -std::numeric_limits<float>::infinity();
    x_ = Guarded(rows, columns, gap);
  }
  void prepare(const Context& context) override {
    x_.assign(before_);
    x_.bring(context);
  }
  void compute(const Context& context) override { soft_cap(context, {.x = x_.view(context), .cap = cap_}); }
  void finish(const Context& context) override { x_.fetch(context); }
  void poison() override { x_.poison(); }
  std::vector<std::byte> output() const override { return x_.bytes(); }
  std::string check() const override {
    if (std::string wrong = x_.check_written(); !wrong.empty()) return wrong;
    const std::vector<double> expected = ref::soft_cap({.x = before_.view(), .cap = cap_});
    const int64_t columns = x_.view().shape[1];
    for (int64_t i = 0; i < std::ssize(expected); ++i) {
      const double got = x_.get(i / columns, i % columns), want = expected[static_cast<size_t>(i)];
      const bool equal = std::isfinite(want) ? std::abs(got - want) <= 4e-7 * (std::abs(want) + cap_)
                                             : got == want || (std::isnan(got) && std::isnan(want));
      if (!equal) return fmt::format("element {} is {} instead of {}", i, got, want);
    }
    return "";
  }
  double bytes() const override { return 8.0 * static_cast<double>(x_.view().shape.count()); }

 private:
  float cap_;
  Guarded before_, x_;
};

}  // namespace

Case head_norm_case(const HeadNormShape& shape) { return std::make_unique<HeadNormCase>(shape); }
Case row_squares_case(int64_t tokens, int64_t q, int64_t k, DType dtype, int64_t gap) {
  return std::make_unique<RowSquaresCase>(tokens, q, k, dtype, gap);
}
Case soft_cap_case(int64_t rows, int64_t columns, float cap, int64_t gap) {
  return std::make_unique<SoftCapCase>(rows, columns, cap, gap);
}

// Norms of q and k, and the cap of logits.
Cases head_norms(Device device) {
  Cases cases;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (device == Device::kCpu && dtype != DType::kF32) continue;
    for (const int64_t head_size : {2, 7, 16, 33, 64, 80, 128, 256}) {
      for (const bool rms : {false, true}) {
        if (!rms && head_size == 2) continue;  // two that are almost equal say little about their mean
        HeadNormShape shape = {
            .tokens = 5, .heads = 6, .kv_heads = 2, .head_size = head_size, .rms = rms, .dtype = dtype};
        cases.push_back([shape] { return head_norm_case(shape); });
        shape.each_head = true;
        shape.kv_heads = 3;
        cases.push_back([shape] { return head_norm_case(shape); });
        shape.heads = 20;
        shape.tokens = head_size <= 33 ? 200 : 40;  // on several threads
        cases.push_back([shape] { return head_norm_case(shape); });
        shape.whole_rows = true;
        shape.tokens = 9;
        shape.gap = 8;
        cases.push_back([shape] { return head_norm_case(shape); });
        shape.ranks = 4;
        if (rms) cases.push_back([shape] { return head_norm_case(shape); });
      }
      cases.push_back([=] { return row_squares_case(9, 6 * head_size, head_size, dtype); });
    }
  }
  for (const int64_t columns : {1, 7, 16, 33, 1000, 9001})
    for (const float cap : {0.5f, 4.0f, 30.0f})
      cases.push_back([=] { return soft_cap_case(5, columns, cap); });
  return cases;
}

}  // namespace bolide::test
