#include <algorithm>
#include <cmath>

#include "ops/cases.h"
#include "ops/guarded.h"
#include "ops/ref/ref.h"

namespace bolide::test {
namespace {

class RotaryCase : public OpCase {
 public:
  RotaryCase(int64_t tokens, int64_t heads, int64_t head_size, int64_t pairs, bool interleaved, DType dtype,
             int64_t gap)
      : OpCase(fmt::format("rotary/{}/{}x{}x{}/pairs{}{}/gap{}", name_of(dtype), tokens, heads, head_size,
                           pairs, interleaved ? "/interleaved" : "", gap)),
        head_size_(head_size),
        interleaved_(interleaved) {
    Source source(31);
    before_ = Guarded::random(tokens, heads * head_size, gap, source, 1, dtype);
    const bool aligned = gap % 8 == 0;
    cos_ = Guarded::random(tokens, pairs, aligned ? gap : 1, source);
    sin_ = Guarded::random(tokens, pairs, aligned ? gap : 2, source);
    x_ = Guarded(tokens, heads * head_size, gap, dtype);
  }
  void prepare(const Context& context) override {
    x_.assign(before_);
    x_.bring(context);
    args(context);
  }
  void compute(const Context& context) override { rotary(context, args(context)); }
  void finish(const Context& context) override { x_.fetch(context); }
  void poison() override { x_.poison(); }
  std::vector<std::byte> output() const override { return x_.bytes(); }
  std::string check() const override {
    if (std::string wrong = x_.check_written(); !wrong.empty()) return wrong;
    RotaryArgs like = args({});
    like.x = before_.view();
    const std::vector<double> expected = ref::rotary(like);
    // Two products of up to 4 may cancel.
    std::vector<double> bounds;
    for (const double x : expected) bounds.push_back(1e-6 * std::max(std::abs(x), 4.0));
    return x_.compare(expected, bounds, 1);
  }
  double bytes() const override {
    return 2.0 * static_cast<double>(x_.view().shape.count()) * static_cast<double>(size_of(x_.dtype()));
  }
  DType activation() const override { return x_.dtype(); }

 private:
  RotaryArgs args(const Context& context) const {
    return {.x = x_.view(context),
            .head_size = head_size_,
            .cos = cos_.view(context),
            .sin = sin_.view(context),
            .interleaved = interleaved_};
  }
  int64_t head_size_;
  bool interleaved_;
  Guarded before_, cos_, sin_, x_;
};

class RotaryAnglesCase : public OpCase {
 public:
  RotaryAnglesCase(const std::vector<int64_t>& queries, int64_t pairs, int64_t first_position,
                   int64_t trained, bool long_frequencies)
      : OpCase(fmt::format("rotary_angles/{}/pairs{}/from{}/trained{}{}", fmt::join(queries, ","), pairs,
                           first_position, trained, long_frequencies ? "/long" : "")),
        has_long_(long_frequencies) {
    // Of every two sequences one is in the middle of a prompt, and one is beyond it.
    std::vector<int32_t> positions, offsets = {0}, prompts;
    int64_t position = first_position;
    for (const int64_t count : queries) {
      const bool inside = prompts.size() % 2 == 0;
      for (int64_t i = 0; i < count; ++i) positions.push_back(static_cast<int32_t>(position + i));
      prompts.push_back(
          static_cast<int32_t>(inside ? position + count + 10 : std::max<int64_t>(position / 2, 1)));
      offsets.push_back(static_cast<int32_t>(positions.size()));
      position += 37;
    }
    growth_ = {.trained = trained, .theta = 10000, .factor = 2.5};
    positions_ = Mirrored(positions);
    offsets_ = Mirrored(offsets);
    prompts_ = Mirrored(prompts);
    frequencies_ = Guarded(1, pairs, 0);
    for (int64_t i = 0; i < pairs; ++i)
      frequencies_.row(0)[i] = std::pow(10000.0f, -static_cast<float>(i) / static_cast<float>(pairs));
    long_ = Guarded(1, pairs, 0);
    for (int64_t i = 0; i < pairs; ++i)
      long_.row(0)[i] = frequencies_.row(0)[i] / (1.5f + static_cast<float>(i));
    cos_ = Guarded(offsets.back(), pairs, 3);
    sin_ = Guarded(offsets.back(), pairs, 2);
  }
  void prepare(const Context& context) override {
    cos_.bring(context);
    sin_.bring(context);
    args(context);
  }
  void compute(const Context& context) override { rotary_angles(context, args(context)); }
  void finish(const Context& context) override {
    cos_.fetch(context);
    sin_.fetch(context);
  }
  void poison() override {
    cos_.poison();
    sin_.poison();
  }
  std::vector<std::byte> output() const override {
    std::vector<std::byte> all = cos_.bytes(), more = sin_.bytes();
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::string check() const override {
    for (const Guarded* y : {&cos_, &sin_})
      if (std::string wrong = y->check_written(); !wrong.empty()) return wrong;
    std::vector<double> cosines, sines, bounds;
    for (const double angle : ref::rotary_angles(args({}))) {
      cosines.push_back(kScale * std::cos(angle));
      sines.push_back(kScale * std::sin(angle));
      // fp32's powers, of frequencies that grow with the text, are not always the nearest number; nor are
      // sines and cosines.
      bounds.push_back(4e-7 + (growth_.trained > 0 && !has_long_ ? 4e-7 * angle : 0));
    }
    const std::string wrong = cos_.compare(cosines, bounds, 1);
    return wrong.empty() ? sin_.compare(sines, bounds, 1) : wrong;
  }
  double bytes() const override { return 8.0 * static_cast<double>(cos_.view().shape.count()); }

 private:
  static constexpr float kScale = 1.25f;
  RotaryAnglesArgs args(const Context& context) const {
    return {.positions = positions_.span<const int32_t>(context),
            .frequencies = frequencies_.vector(context),
            .scale = kScale,
            .growth = growth_,
            .query_offsets = offsets_.span<const int32_t>(context),
            .prompt_lengths = prompts_.span<const int32_t>(context),
            .long_frequencies = has_long_ ? long_.vector(context) : View(),
            .cos = cos_.view(context),
            .sin = sin_.view(context)};
  }
  bool has_long_;
  RotaryGrowth growth_;
  Mirrored positions_, offsets_, prompts_;
  Guarded frequencies_, long_, cos_, sin_;
};

}  // namespace

Case rotary_case(int64_t tokens, int64_t heads, int64_t head_size, int64_t pairs, bool interleaved,
                 DType dtype, int64_t gap) {
  return std::make_unique<RotaryCase>(tokens, heads, head_size, pairs, interleaved, dtype, gap);
}
Case rotary_angles_case(const std::vector<int64_t>& queries, int64_t pairs, int64_t first_position,
                        int64_t trained, bool long_frequencies) {
  return std::make_unique<RotaryAnglesCase>(queries, pairs, first_position, trained, long_frequencies);
}
}  // namespace bolide::test
