#include <algorithm>
#include <limits>

#include "ops/cases.h"
#include "ops/guarded.h"
#include "ops/ref/ref.h"

namespace bolide::test {
namespace {

// Rows of keys and values and where they belong.
struct Tokens {
  Guarded k, v;
  std::vector<int64_t> places;  // slots, on the host
  Mirrored slots;
};

// Keys and values reach the pages through kv_write, or those of the queries with the attention itself, so
// that one case proves all of it.
class AttentionCase : public OpCase {
 public:
  static std::string name_of_case(const AttentionShape& s) {
    std::string name = fmt::format("attention/{}/{}/queries{}/lengths{}/{}x{}x{}/page{}", name_of(s.dtype),
                                   name_of(s.activation), fmt::join(s.queries, "+"),
                                   fmt::join(s.lengths, "+"), s.heads, s.kv_heads, s.head_size, s.page_size);
    if (s.mask == MaskKind::kFull) name += "/full";
    if (s.mask == MaskKind::kPrefix) name += fmt::format("/prefix{}", fmt::join(s.prefixes, "+"));
    if (s.window > 0) name += fmt::format("/window{}", s.window);
    if (s.alibi) name += "/alibi";
    if (s.far >= 0) name += fmt::format("/relative{}", s.far);
    if (s.soft_cap > 0) name += fmt::format("/cap{}", s.soft_cap);
    if (s.rotary > 0) name += fmt::format("/rotary{}{}", s.rotary, s.interleaved ? "/interleaved" : "");
    return name + (s.fused ? "/fused" : "") + (s.poisoned ? "/poisoned" : "");
  }
  explicit AttentionCase(const AttentionShape& s) : OpCase(name_of_case(s)), shape_(s) {
    Source source(23);
    std::vector<int32_t> offsets = {0}, lengths;
    int64_t pages = 2;
    for (size_t i = 0; i < s.queries.size(); ++i) {
      offsets.push_back(offsets.back() + static_cast<int32_t>(s.queries[i]));
      lengths.push_back(static_cast<int32_t>(s.lengths[i]));
      max_pages_ = std::max(max_pages_, page_count(i));
      pages += page_count(i);
    }
    // Pages in no order: the last free page first.
    std::vector<int32_t> table(s.queries.size() * static_cast<size_t>(max_pages_), 0);
    int32_t page = static_cast<int32_t>(pages) - 1;
    for (size_t i = 0; i < s.queries.size(); ++i)
      for (int64_t p = 0; p < page_count(i); ++p)
        table[i * static_cast<size_t>(max_pages_) + static_cast<size_t>(p)] = --page;
    // Pages that no query sees are somebody else's by now, who left NaN in them.
    std::vector<int32_t> given = table;
    for (size_t i = 0; i < s.queries.size() && s.window > 0; ++i) {
      const int64_t unseen = std::max<int64_t>(s.lengths[i] - s.queries[i] - s.window + 1, 0) / s.page_size;
      std::fill_n(given.begin() + static_cast<std::ptrdiff_t>(i) * max_pages_, unseen,
                  static_cast<int32_t>(pages) - 1);
    }
    table_ = Mirrored(given);
    prefixes_ = Mirrored(s.prefixes);
    offsets_ = Mirrored(offsets);
    lengths_ = Mirrored(lengths);
    // What an earlier owner left where nothing is written must not show.
    const Shape of_pages = {pages, s.kv_heads, s.page_size, s.head_size};
    for (Tensor* cache : {&before_, &wanted_k_, &wanted_v_}) {
      *cache = Tensor::allocate(of_pages, s.dtype);
      dispatch_float(s.dtype, [&]<class T>() {
        const int64_t last = of_pages.count() / pages;
        std::fill_n(cache->as<T>(), of_pages.count() - last, from_float<T>(100));
        std::fill_n(cache->as<T>() + of_pages.count() - last, last,
                    from_float<T>(std::numeric_limits<float>::quiet_NaN()));
      });
    }
    k_ = Mirrored(Tensor::allocate(of_pages, s.dtype));
    v_ = Mirrored(Tensor::allocate(of_pages, s.dtype));
    cos_ = Guarded(offsets.back(), s.rotary, 1);
    sin_ = Guarded(offsets.back(), s.rotary, 1);
    for (int64_t t = 0; t < offsets.back(); ++t) {
      for (int64_t i = 0; i < s.rotary; ++i) {
        const float angle = 3 * source.normal();
        cos_.row(t)[i] = std::cos(angle);
        sin_.row(t)[i] = std::sin(angle);
      }
    }
    fill(table, source);
    const int64_t width = s.heads * s.head_size;
    q_ = Guarded::random(offsets.back(), width, s.gap, source, 1, s.activation);
    y_ = Guarded(offsets.back(), width, s.gap, s.activation);
    if (s.poisoned) {  // of head 0, the rows in which each sequence ends
      q_.set(offsets[1] - 1, 0, std::numeric_limits<float>::quiet_NaN());
      q_.set(offsets[2] - 1, s.head_size - 1, std::numeric_limits<float>::infinity());
    }
    turned_q_ = q_;
    if (s.rotary > 0) {
      turned_q_ = turned(q_, s.heads);
      q_before_ = copy(q_, width);
    }
    slopes_ = Guarded(1, s.heads, 0);
    for (int64_t h = 0; h < s.heads; ++h) slopes_.row(0)[h] = alibi_slopes(s.heads)[static_cast<size_t>(h)];
    if (s.far >= 0) relative_ = Guarded::random(s.heads, 2 * s.far + 1, 0, source);
  }
  void prepare(const Context& context) override {
    for (Mirrored* cache : {&k_, &v_}) {
      std::memcpy(cache->host().view().data, before_.view().data, before_.bytes());
      cache->bring(context);
    }
    write(context, old_);
    if (!shape_.fused) write(context, new_);
    if (shape_.rotary > 0) {  // they may have been left turned
      q_.assign(q_before_);
      q_.bring(context);
      new_.k.assign(k_before_);
      new_.k.bring(context);
    }
    y_.bring(context);
    args(context);
  }
  void compute(const Context& context) override { attention(context, args(context)); }
  void finish(const Context& context) override {
    y_.fetch(context);
    k_.fetch(context);
    v_.fetch(context);
  }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    const auto same = [this](const Mirrored& a, const Tensor& b) {
      return shape_.rotary > 0 ? near(a.host(), b)
                               : std::memcmp(a.host().view().data, b.view().data, b.bytes()) == 0;
    };
    // (NaN has many patterns.)
    if (!shape_.poisoned && !same(k_, wanted_k_)) return "the pages of keys are not as they should be";
    if (!shape_.poisoned && !same(v_, wanted_v_)) return "the pages of values are not as they should be";
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    const std::vector<double>& expected = expected_.get([&] {
      AttentionArgs like = args({});
      like.q = turned_q_.view();
      like.kv.k = shape_.rotary > 0 ? k_.host() : wanted_k_;  // as they were rounded
      like.kv.v = wanted_v_;
      return ref::attention(like);
    });
    // Tensor cores take probabilities as the values' type, whose rounding is a share of sum p |v|.
    const bool narrow = shape_.activation != DType::kF32;
    return y_.compare(expected, std::vector<double>(expected.size(), 1.0),
                      narrow ? 2 * half_ulp(shape_.activation) : 4e-6);
  }
  double bytes() const override {
    double tokens = 0;
    for (int64_t length : shape_.lengths) tokens += static_cast<double>(length);
    return tokens * 2 * static_cast<double>(shape_.kv_heads * shape_.head_size) *
           static_cast<double>(size_of(shape_.dtype));
  }
  double flops() const override {
    double pairs = 0;
    for (size_t i = 0; i < shape_.queries.size(); ++i) {
      const double q = static_cast<double>(shape_.queries[i]), n = static_cast<double>(shape_.lengths[i]);
      pairs += q * (n - q) + q * (q + 1) / 2;
    }
    return pairs * 4 * static_cast<double>(shape_.heads * shape_.head_size);
  }
  DType dtype() const override { return shape_.dtype; }
  DType activation() const override { return shape_.activation; }

 private:
  int64_t page_count(size_t sequence) const {
    return (shape_.lengths[sequence] + shape_.page_size - 1) / shape_.page_size;
  }
  AttentionArgs args(const Context& context) const {
    AttentionArgs made = {.q = q_.view(context),
                          .k = {},
                          .v = {},
                          .slots = {},
                          .kv = {.k = k_.on(context),
                                 .v = v_.on(context),
                                 .page_table = table_.span<const int32_t>(context),
                                 .max_pages = max_pages_},
                          .query_offsets = offsets_.span<const int32_t>(context),
                          .kv_lengths = lengths_.span<const int32_t>(context),
                          .max_query = *std::max_element(shape_.queries.begin(), shape_.queries.end()),
                          .max_kv_length = *std::max_element(shape_.lengths.begin(), shape_.lengths.end()),
                          .heads = shape_.heads,
                          .mask = {.kind = shape_.mask,
                                   .window = shape_.window,
                                   .prefix_lengths = prefixes_.span<const int32_t>(context)},
                          .position = {.alibi_slopes = shape_.alibi ? slopes_.vector(context) : View(),
                                       .relative = shape_.far >= 0 ? relative_.view(context) : View()},
                          .scale = 1 / std::sqrt(static_cast<float>(shape_.head_size)),
                          .soft_cap = shape_.soft_cap,
                          .y = y_.view(context)};
    if (shape_.rotary > 0) {
      made.cos = cos_.view(context);
      made.sin = sin_.view(context);
      made.interleaved = shape_.interleaved;
    }
    if (shape_.fused) {
      made.k = new_.k.view(context);
      made.v = new_.v.view(context);
      made.slots = new_.slots.span<const int64_t>(context);
    }
    return made;
  }
  void write(const Context& context, const Tokens& tokens) const {
    kv_write(context, {.k = tokens.k.view(context),
                       .v = tokens.v.view(context),
                       .slots = tokens.slots.span<const int64_t>(context),
                       .k_pages = k_.on(context),
                       .v_pages = v_.on(context)});
  }

  Guarded copy(const Guarded& from, int64_t columns) const {
    Guarded made(cos_.view().shape[0], columns, 0, shape_.activation);
    made.assign(from);
    return made;
  }
  // With each head turned.
  Guarded turned(const Guarded& from, int64_t heads) const {
    const int64_t columns = heads * shape_.head_size;
    Guarded made(cos_.view().shape[0], columns, 0, shape_.activation);
    const std::vector<double> values = ref::rotary({.x = from.view(),
                                                    .head_size = shape_.head_size,
                                                    .cos = cos_.view(),
                                                    .sin = sin_.view(),
                                                    .interleaved = shape_.interleaved});
    for (size_t i = 0; i < values.size(); ++i)
      made.set(static_cast<int64_t>(i) / columns, static_cast<int64_t>(i) % columns,
               static_cast<float>(values[i]));
    return made;
  }
  // Pages of keys that were turned in fp32: a rounding may have gone the other way.
  static bool near(const Tensor& a, const Tensor& b) {
    const std::vector<double> got = ref::elements(a.view().reshape({a.shape().count(), 1})),
                              want = ref::elements(b.view().reshape({b.shape().count(), 1}));
    for (size_t i = 0; i < got.size(); ++i)
      if (!(std::isnan(want[i]) && std::isnan(got[i])) &&
          !(std::abs(got[i] - want[i]) <= 2.1 * half_ulp(a.dtype()) * std::abs(want[i]) + 1e-6))
        return false;
    return true;
  }

  // Draws all keys and values, and puts them where kv_write should.
  void fill(const std::vector<int32_t>& table, Source& source) {
    for (size_t i = 0; i < shape_.lengths.size(); ++i) {
      for (int64_t j = 0; j < shape_.lengths[i]; ++j) {
        const size_t page = i * static_cast<size_t>(max_pages_) + static_cast<size_t>(j / shape_.page_size);
        const bool is_new = j >= shape_.lengths[i] - shape_.queries[i];
        (is_new ? new_ : old_).places.push_back(table[page] * shape_.page_size + j % shape_.page_size);
      }
    }
    for (Tokens* tokens : {&old_, &new_}) {
      const int64_t count = static_cast<int64_t>(tokens->places.size());
      const int64_t width = shape_.kv_heads * shape_.head_size;
      tokens->k = Guarded::random(count, width, shape_.gap, source, 1, shape_.activation);
      tokens->v = Guarded::random(count, width, shape_.gap, source, 1, shape_.activation);
      tokens->slots = Mirrored(tokens->places);
      if (shape_.poisoned) poison(*tokens, table);
      const bool turns = shape_.rotary > 0 && tokens == &new_;
      if (turns) k_before_ = copy(tokens->k, width);
      const Guarded k = turns && shape_.fused ? turned(tokens->k, shape_.kv_heads) : tokens->k;
      for (int64_t t = 0; t < count; ++t) {
        place(k, t, tokens->places[static_cast<size_t>(t)], wanted_k_);
        place(tokens->v, t, tokens->places[static_cast<size_t>(t)], wanted_v_);
      }
    }
  }
  // The newest key of the third sequence, and the first value of the fourth, of the last kv head.
  void poison(Tokens& tokens, const std::vector<int32_t>& table) const {
    const auto slot = [&](size_t sequence, int64_t j) {
      return table[sequence * static_cast<size_t>(max_pages_) + static_cast<size_t>(j / shape_.page_size)] *
                 shape_.page_size +
             j % shape_.page_size;
    };
    const int64_t column = shape_.kv_heads * shape_.head_size - 1;
    for (size_t t = 0; t < tokens.places.size(); ++t) {
      const auto row = static_cast<int64_t>(t);
      if (tokens.places[t] == slot(2, shape_.lengths[2] - 1))
        tokens.k.set(row, column, std::numeric_limits<float>::quiet_NaN());
      if (tokens.places[t] == slot(3, 0)) tokens.v.set(row, column, std::numeric_limits<float>::quiet_NaN());
    }
  }
  void place(const Guarded& from, int64_t row, int64_t slot, const Tensor& pages) const {
    const int64_t size = shape_.head_size, page = shape_.page_size;
    dispatch_float(shape_.dtype, [&]<class T>() {
      for (int64_t head = 0; head < shape_.kv_heads; ++head)
        for (int64_t i = 0; i < size; ++i)
          pages.as<T>()[((slot / page * shape_.kv_heads + head) * page + slot % page) * size + i] =
              from_float<T>(static_cast<float>(from.get(row, head * size + i)));
    });
  }

  AttentionShape shape_;
  int64_t max_pages_ = 0;
  Mirrored table_, offsets_, lengths_, prefixes_;
  Tensor before_, wanted_k_, wanted_v_;
  Mirrored k_, v_;
  Tokens old_, new_;
  Guarded q_, turned_q_, y_, slopes_, relative_, cos_, sin_;
  Guarded q_before_, k_before_;  // where they turn
  Kept<std::vector<double>> expected_;
};

}  // namespace

Case attention_case(const AttentionShape& shape) { return std::make_unique<AttentionCase>(shape); }

}  // namespace bolide::test
