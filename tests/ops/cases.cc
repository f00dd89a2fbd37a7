#include "ops/cases.h"

#include <algorithm>

#include "ops/guarded.h"
#include "ops/ref/ref.h"

namespace bolide::test {
namespace {

// Half an ulp of fp32 is 6e-8; sums of a few thousand terms of random sign, in blocks, stay well under this
// share of the sum of magnitudes.
constexpr double kSumError = 1e-6;

// The bound of an element where values are of size one: what is off is compared with the value, but with no
// less than 1e-2.
std::vector<double> around(const std::vector<double>& expected) {
  std::vector<double> bound;
  for (double x : expected) bound.push_back(std::max(std::abs(x), 1e-2));
  return bound;
}

class MatmulCase : public OpCase {
 public:
  explicit MatmulCase(const MatmulShape& s)
      : OpCase(fmt::format(
            "matmul/{}/{}x{}x{}{}{}{}", name_of(s.dtype), s.tokens, s.out, s.in, s.bias ? "/bias" : "",
            s.activation == Activation::kNone ? ""
                                              : fmt::format("/activation{}", static_cast<int>(s.activation)),
            s.gap ? "/strided" : "")),
        shape_(s),
        w_(random_packed(s.out, s.in, s.dtype, 7)) {
    Source source(11);
    x_ = Guarded::random(s.tokens, s.in, s.gap, source);
    bias_ = Guarded::random(1, s.out, 0, source);
    y_ = Guarded(s.tokens, s.out, s.gap);
    args_ = {.x = x_.view(),
             .w = &w_,
             .bias = s.bias ? bias_.vector() : View(),
             .y = y_.view(),
             .activation = s.activation};
  }
  void run(const Context& context) override { matmul(context, args_); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    std::string wrong = compare(x_);
    if (wrong.empty() || shape_.dtype != DType::kBF16) return wrong;
    // bf16 weights may meet x rounded to bf16; all rows alike.
    Guarded rounded(shape_.tokens, shape_.in, 0);
    for (int64_t r = 0; r < shape_.tokens; ++r)
      for (int64_t k = 0; k < shape_.in; ++k) rounded.row(r)[k] = to_float(to_bf16(x_.row(r)[k]));
    return compare(rounded).empty() ? "" : wrong;
  }
  double bytes() const override {
    return static_cast<double>(w_.data.bytes()) +
           4.0 * static_cast<double>(shape_.tokens * (shape_.in + shape_.out));
  }
  double flops() const override { return 2.0 * static_cast<double>(shape_.tokens * shape_.in * shape_.out); }
  DType dtype() const override { return shape_.dtype; }

 private:
  std::string compare(const Guarded& x) const {
    MatmulArgs args = args_;
    args.x = x.view();
    const std::vector<double> expected = ref::matmul(args);
    std::vector<double> bound;
    for (int64_t t = 0; t < shape_.tokens; ++t) {
      for (int64_t row = 0; row < shape_.out; ++row) {
        double sum = shape_.bias ? std::abs(bias_.row(0)[row]) : 0;
        for (int64_t k = 0; k < shape_.in; ++k)
          sum += std::abs(static_cast<double>(x.row(t)[k]) * ref::element(w_, row, k));
        bound.push_back(sum + 1e-3);
      }
    }
    return y_.compare(expected, bound, kSumError);
  }
  MatmulShape shape_;
  PackedMatrix w_;
  Guarded x_, bias_, y_;
  MatmulArgs args_;
};

class LayerNormCase : public OpCase {
 public:
  LayerNormCase(int64_t tokens, int64_t hidden, bool in_place)
      : OpCase(fmt::format("layer_norm/{}x{}{}", tokens, hidden, in_place ? "/in_place" : "")),
        in_place_(in_place) {
    Source source(3);
    x_ = Guarded::random(tokens, hidden, 3, source, 2);
    for (int64_t i = 0; i < hidden; ++i) x_.row(0)[i] += 100;  // a mean far from 0 must not cancel
    weight_ = Guarded::random(1, hidden, 0, source);
    bias_ = Guarded::random(1, hidden, 0, source);
    y_ = in_place ? Guarded(tokens, hidden, 3) : Guarded(tokens, hidden, 5);
    args_ = {.x = x_.view(), .norm = {.weight = weight_.vector(), .bias = bias_.vector()}, .y = y_.view()};
    bytes_ = 8.0 * static_cast<double>(tokens * hidden);
  }
  void run(const Context& context) override {
    LayerNormArgs args = args_;
    if (in_place_) {
      for (int64_t r = 0; r < args.y.shape[0]; ++r) std::copy_n(x_.row(r), args.y.shape[1], y_.row(r));
      args.x = args.y;
    }
    layer_norm(context, args);
  }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    // The row of mean 100 has lost 50 times the precision of the others in its input already.
    const std::vector<double> expected = ref::layer_norm(args_);
    std::vector<double> bound = around(expected);
    for (double& b : bound) b = std::max(b, 1.0);
    return y_.compare(expected, bound, 2e-5);
  }
  double bytes() const override { return bytes_; }

 private:
  bool in_place_;
  Guarded x_, weight_, bias_, y_;
  LayerNormArgs args_;
  double bytes_ = 0;
};

class AddCase : public OpCase {
 public:
  AddCase(int64_t tokens, int64_t hidden) : OpCase(fmt::format("add/{}x{}", tokens, hidden)) {
    Source source(5);
    x_ = Guarded::random(tokens, hidden, 1, source);
    before_ = Guarded::random(tokens, hidden, 2, source);
    y_ = Guarded(tokens, hidden, 2);
  }
  void run(const Context& context) override {
    for (int64_t r = 0; r < y_.view().shape[0]; ++r)
      std::copy_n(before_.row(r), y_.view().shape[1], y_.row(r));
    add(context, {.x = x_.view(), .y = y_.view()});
  }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    const std::vector<double> expected = ref::add({.x = x_.view(), .y = before_.view()});
    return y_.compare(expected, around(expected), 2e-6);
  }
  double bytes() const override { return 12.0 * static_cast<double>(y_.view().shape.count()); }

 private:
  Guarded x_, before_, y_;
};

class EmbeddingCase : public OpCase {
 public:
  EmbeddingCase(int64_t tokens, int64_t vocab, int64_t hidden, DType dtype, int64_t vocab_begin)
      : OpCase(fmt::format("embedding/{}/{}x{}x{}{}", name_of(dtype), tokens, vocab, hidden,
                           vocab_begin ? "/slice" : "")),
        table_(random_packed(vocab, hidden, dtype, 13)),
        y_(tokens, hidden, 2) {
    Source source(17);
    for (int64_t t = 0; t < tokens; ++t)
      ids_.push_back(
          static_cast<int32_t>(vocab_begin ? source.below(vocab + 2 * vocab_begin) : source.below(vocab)));
    ids_[0] = static_cast<int32_t>(vocab_begin + vocab - 1);
    args_ = {.ids = ids_, .table = &table_, .vocab_begin = vocab_begin, .y = y_.view()};
  }
  void run(const Context& context) override { embedding(context, args_); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    const std::vector<double> expected = ref::embedding(args_);
    return y_.compare(expected, around(expected), 0);
  }
  double bytes() const override {
    return static_cast<double>(ids_.size()) * static_cast<double>(table_.cols) *
           static_cast<double>(4 + size_of(table_.dtype));
  }

 private:
  PackedMatrix table_;
  std::vector<int32_t> ids_;
  Guarded y_;
  EmbeddingArgs args_;
};

class GatherRowsCase : public OpCase {
 public:
  GatherRowsCase(int64_t rows, int64_t hidden)
      : OpCase(fmt::format("gather_rows/{}x{}", rows, hidden)), y_(rows, hidden, 1) {
    Source source(19);
    x_ = Guarded::random(rows * 2, hidden, 3, source);
    for (int64_t i = 0; i < rows; ++i) rows_.push_back(static_cast<int32_t>(source.below(rows * 2)));
    args_ = {.x = x_.view(), .rows = rows_, .y = y_.view()};
  }
  void run(const Context& context) override { gather_rows(context, args_); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    const std::vector<double> expected = ref::gather_rows(args_);
    return y_.compare(expected, around(expected), 0);
  }
  double bytes() const override { return 8.0 * static_cast<double>(args_.y.shape.count()); }

 private:
  std::vector<int32_t> rows_;
  Guarded x_, y_;
  GatherRowsArgs args_;
};

// Fills the cache through kv_write, so that one case proves both.
class AttentionCase : public OpCase {
 public:
  explicit AttentionCase(const AttentionShape& s)
      : OpCase(fmt::format("attention/{}/queries{}/lengths{}/{}x{}x{}/page{}{}", name_of(s.dtype),
                           fmt::join(s.queries, "+"), fmt::join(s.lengths, "+"), s.heads, s.kv_heads,
                           s.head_size, s.page_size, s.alibi ? "/alibi" : "")),
        shape_(s) {
    Source source(23);
    const int64_t sequences = static_cast<int64_t>(s.queries.size());
    int64_t tokens = 0, max_pages = 0, pages = 1;
    offsets_.push_back(0);
    for (int64_t i = 0; i < sequences; ++i) {
      tokens += s.queries[static_cast<size_t>(i)];
      offsets_.push_back(static_cast<int32_t>(tokens));
      lengths_.push_back(static_cast<int32_t>(s.lengths[static_cast<size_t>(i)]));
      max_pages = std::max(max_pages, page_count(i));
      pages += page_count(i);
    }
    // Pages in no order: the last free page first.
    table_.assign(static_cast<size_t>(sequences * max_pages), 0);
    int32_t page = static_cast<int32_t>(pages);
    for (int64_t i = 0; i < sequences; ++i)
      for (int64_t p = 0; p < page_count(i); ++p) table_[static_cast<size_t>(i * max_pages + p)] = --page;
    const Shape shape = {pages, s.kv_heads, s.page_size, s.head_size};
    k_ = Tensor::zeros(shape, s.dtype);
    v_ = Tensor::zeros(shape, s.dtype);
    fill(source, max_pages);
    q_ = Guarded::random(tokens, s.heads * s.head_size, 7, source);
    y_ = Guarded(tokens, s.heads * s.head_size, 3);
    slopes_ = Guarded(1, s.heads, 0);
    for (int64_t h = 0; h < s.heads; ++h) slopes_.row(0)[h] = alibi_slopes(s.heads)[static_cast<size_t>(h)];
    args_ = {.q = q_.view(),
             .kv = {.k = k_, .v = v_, .page_table = table_, .max_pages = max_pages},
             .query_offsets = offsets_,
             .kv_lengths = lengths_,
             .max_query = *std::max_element(s.queries.begin(), s.queries.end()),
             .max_kv_length = *std::max_element(s.lengths.begin(), s.lengths.end()),
             .heads = s.heads,
             .alibi_slopes = s.alibi ? slopes_.vector() : View(),
             .scale = 1 / std::sqrt(static_cast<float>(s.head_size)),
             .y = y_.view()};
  }
  void run(const Context& context) override { attention(context, args_); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (!wrote_wrong_.empty()) return wrote_wrong_;
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    const std::vector<double> expected = ref::attention(args_);
    return y_.compare(expected, std::vector<double>(expected.size(), 1.0), 4e-6);
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

 private:
  int64_t page_count(int64_t sequence) const {
    return (shape_.lengths[static_cast<size_t>(sequence)] + shape_.page_size - 1) / shape_.page_size;
  }
  void fill(Source& source, int64_t max_pages) {
    std::vector<int64_t> slots;
    for (size_t i = 0; i < lengths_.size(); ++i)
      for (int64_t j = 0; j < lengths_[i]; ++j)
        slots.push_back(
            table_[i * static_cast<size_t>(max_pages) + static_cast<size_t>(j / shape_.page_size)] *
                shape_.page_size +
            j % shape_.page_size);
    const int64_t width = shape_.kv_heads * shape_.head_size, tokens = static_cast<int64_t>(slots.size());
    const Guarded k = Guarded::random(tokens, width, 5, source),
                  v = Guarded::random(tokens, width, 1, source);
    kv_write({.threads = 2}, {.k = k.view(), .v = v.view(), .slots = slots, .k_pages = k_, .v_pages = v_});
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = 0; i < width; ++i) {
        const int64_t at =
            ((slots[static_cast<size_t>(t)] / shape_.page_size * shape_.kv_heads + i / shape_.head_size) *
                 shape_.page_size +
             slots[static_cast<size_t>(t)] % shape_.page_size) *
                shape_.head_size +
            i % shape_.head_size;
        dispatch_float(shape_.dtype, [&]<class T>() {
          if (to_float(k_.as<T>()[at]) != to_float(from_float<T>(k.row(t)[i])) ||
              to_float(v_.as<T>()[at]) != to_float(from_float<T>(v.row(t)[i])))
            wrote_wrong_ = fmt::format("kv_write: token {} element {}", t, i);
        });
      }
    }
  }
  AttentionShape shape_;
  std::vector<int32_t> table_, offsets_, lengths_;
  Tensor k_, v_;
  Guarded q_, y_, slopes_;
  AttentionArgs args_;
  std::string wrote_wrong_;
};

}  // namespace

PackedMatrix random_packed(int64_t rows, int64_t cols, DType dtype, uint32_t seed) {
  PackedMatrix matrix = allocate_packed(rows, cols, dtype);
  Source source(seed);
  // A pool of values repeated at a prime length: the benchmark's gigabytes would take minutes to draw.
  Tensor pool = Tensor::allocate({std::min<int64_t>(rows * cols, 65521)}, DType::kF32);
  for (int64_t i = 0; i < pool.shape()[0]; ++i) pool.as<float>()[i] = source.normal();
  Tensor block = Tensor::allocate({std::min<int64_t>(rows, 256), cols}, DType::kF32);
  int64_t next = 0;
  for (int64_t row = 0; row < rows; row += 256) {
    const int64_t count = std::min<int64_t>(256, rows - row);
    for (int64_t i = 0; i < count * cols; ++i)
      block.as<float>()[i] = pool.as<float>()[next++ % pool.shape()[0]];
    pack_block({.threads = 2}, block.view().slice_rows(0, count), false, row, 0, matrix);
  }
  return matrix;
}

Case matmul_case(const MatmulShape& shape) { return std::make_unique<MatmulCase>(shape); }
Case attention_case(const AttentionShape& shape) { return std::make_unique<AttentionCase>(shape); }
Case layer_norm_case(int64_t tokens, int64_t hidden, bool in_place) {
  return std::make_unique<LayerNormCase>(tokens, hidden, in_place);
}
Case add_case(int64_t tokens, int64_t hidden) { return std::make_unique<AddCase>(tokens, hidden); }
Case embedding_case(int64_t tokens, int64_t vocab, int64_t hidden, DType dtype, int64_t vocab_begin) {
  return std::make_unique<EmbeddingCase>(tokens, vocab, hidden, dtype, vocab_begin);
}
Case gather_rows_case(int64_t rows, int64_t hidden) { return std::make_unique<GatherRowsCase>(rows, hidden); }

}  // namespace bolide::test
