#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/attention_mask.h"
#include "ops/matmul.h"
#include "ops/sample.h"

namespace bolide::test {

// One op with its inputs: what the tests run on every device, instruction set and thread count and compare
// with the oracle, and what the benchmark times.
class OpCase {
 public:
  explicit OpCase(std::string name) : name_(std::move(name)) {}
  virtual ~OpCase() = default;
  const std::string& name() const { return name_; }
  void run(const Context& context) {
    prepare(context);
    compute(context);
    finish(context);
  }
  // The three parts of a run. compute() is the op alone: it may be repeated, timed and captured.
  virtual void prepare(const Context& context) = 0;  // inputs and outputs into the device's memory
  virtual void compute(const Context& context) = 0;
  virtual void finish(const Context& context) = 0;    // outputs back
  virtual void poison() = 0;                          // the outputs, before a run
  virtual std::string check() const = 0;              // the outputs against the oracle: "" or what is wrong
  virtual std::vector<std::byte> output() const = 0;  // all of it, guards included
  // For the benchmark: bytes that must move at least, and FLOPs.
  virtual double bytes() const = 0;
  virtual double flops() const { return 0; }
  virtual DType dtype() const { return DType::kF32; }       // of the weights or the cache
  virtual DType activation() const { return DType::kF32; }  // Context::activation that it needs

 private:
  std::string name_;
};
using Case = std::unique_ptr<OpCase>;

struct MatmulShape {
  int64_t tokens = 1, out = 1, in = 1;
  DType dtype = DType::kF32;
  DType x = DType::kF32, y = DType::kF32;
  DType int8_x = DType::kF32;  // PackedMatrix::x_dtype of int8 weights
  bool bias = false;
  Activation activation = Activation::kNone;
  bool norm = false, accumulate = false;
  int64_t gap = 0;     // between rows of x and y
  bool rms = false;    // the norm
  bool gated = false;  // W has 2 * out rows
};
Case matmul_case(const MatmulShape& shape);

// MatmulArgs::argmax.
struct ArgmaxShape {
  enum Special : int { kOrdinary, kSomeInfinite, kAllInfinite };

  int64_t tokens = 1, out = 1, in = 1;
  int64_t distinct = 1;  // rows of W, of which the others are copies: their logits are equal
  DType dtype = DType::kF32, x = DType::kF32;  // int8 weights meet x as `x`
  bool norm = false;                           // of x, then fp32
  bool rms = false;                            // the norm
  Special special = kOrdinary;                 // also makes rows of infinities and of NaN; without a norm
  int64_t gap = 0;                             // between rows of x and y
};
Case argmax_case(const ArgmaxShape& shape);

struct AttentionShape {
  std::vector<int64_t> queries, lengths;  // by sequence
  int64_t heads = 1, kv_heads = 1, head_size = 64, page_size = 16;
  DType dtype = DType::kF32;       // of the pages
  DType activation = DType::kF32;  // of q, k, v and y
  bool alibi = true;
  bool fused = false;  // attention() stores the keys and values of its queries itself
  int64_t gap = 3;     // between rows of q, k, v and y
  // A query of NaN, one of infinity, a newest key of NaN and a first value of NaN, in a sequence each: what
  // they are a part of must be NaN, and nothing else. Four sequences, the second of several tokens.
  bool poisoned = false;
  MaskKind mask = MaskKind::kCausal;
  int64_t window = 0;
  std::vector<int32_t> prefixes = {};  // by sequence, of kPrefix
  int64_t far = -1;                    // of a table of biases by distance; below 0: none
  float soft_cap = 0;
  int64_t rotary = 0;        // pairs of a head that turn
  bool interleaved = false;  // these pairs
};
Case attention_case(const AttentionShape& shape);

Case layer_norm_case(int64_t tokens, int64_t hidden, bool in_place, DType y = DType::kF32, int64_t gap = 5,
                     bool rms = false, bool accumulate = false);
// Norms of q and k, with parameters for each head or for all of them; `ranks` over 0: of whole rows of which
// so many ranks have a part.
struct HeadNormShape {
  int64_t tokens = 1, heads = 1, kv_heads = 1, head_size = 8;
  bool whole_rows = false, each_head = false, rms = false;
  DType dtype = DType::kF32;
  int64_t ranks = 0;
  int64_t gap = 3;  // between rows
};
Case head_norm_case(const HeadNormShape& shape);
Case row_squares_case(int64_t tokens, int64_t q, int64_t k, DType dtype, int64_t gap = 3);
// Rows with infinities and NaN among them.
Case soft_cap_case(int64_t rows, int64_t columns, float cap, int64_t gap = 3);
Case add_case(int64_t tokens, int64_t hidden, DType x = DType::kF32, int64_t gap = 1, bool bias = false);
Case embedding_case(int64_t tokens, int64_t vocab, int64_t hidden, DType dtype, int64_t vocab_begin,
                    int64_t gap = 2, bool norm = false, bool accumulate = false, bool rms = false,
                    float scale = 1);
Case gate_case(int64_t tokens, int64_t inner, Activation activation, DType dtype = DType::kF32,
               int64_t gap = 3);
// `gap` is between rows of x, those of cos and sin are as far apart as it, or by one and two.
Case rotary_case(int64_t tokens, int64_t heads, int64_t head_size, int64_t pairs, bool interleaved,
                 DType dtype = DType::kF32, int64_t gap = 3);
// Sequences of so many rows each, in the middle of prompts and beyond them; `trained`: RotaryGrowth's.
Case rotary_angles_case(const std::vector<int64_t>& queries, int64_t pairs, int64_t first_position,
                        int64_t trained, bool long_frequencies = false);
Case gather_rows_case(int64_t rows, int64_t hidden, int64_t gap = 1);
// Every row with these parameters; from the candidates of so many parts of the vocabulary.
Case sample_case(int64_t rows, int64_t vocab, const SampleRow& row, bool log_probs, int64_t parts = 1);
Case candidates_case(int64_t rows, int64_t columns, int64_t k, int64_t gap = 3);
// Parts of [rows, columns], of which y has the first `total` columns.
Case concat_columns_case(int64_t rows, int64_t columns, int64_t parts, int64_t total, int64_t gap = 1);

// Random weights of one dtype in the packed layout of the context's device. The same on all of them.
PackedMatrix random_packed(const Context& context, int64_t rows, int64_t cols, DType dtype, uint32_t seed,
                           DType int8_x = DType::kF32);

}  // namespace bolide::test
