#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/matmul.h"

namespace bolide::test {

// One op with its inputs: what the tests run on every instruction set and thread count and compare with the
// oracle, and what the benchmark times.
class OpCase {
 public:
  explicit OpCase(std::string name) : name_(std::move(name)) {}
  virtual ~OpCase() = default;
  const std::string& name() const { return name_; }
  virtual void run(const Context& context) = 0;
  virtual void poison() = 0;                          // the outputs, before a run
  virtual std::string check() const = 0;              // the outputs against the oracle: "" or what is wrong
  virtual std::vector<std::byte> output() const = 0;  // all of it, guards included
  // For the benchmark: bytes that must move at least, and FLOPs.
  virtual double bytes() const = 0;
  virtual double flops() const { return 0; }
  virtual DType dtype() const { return DType::kF32; }  // of the weights or the cache

 private:
  std::string name_;
};
using Case = std::unique_ptr<OpCase>;

struct MatmulShape {
  int64_t tokens = 1, out = 1, in = 1;
  DType dtype = DType::kF32;
  bool bias = false;
  Activation activation = Activation::kNone;
  int64_t gap = 0;  // between rows of x and y
};
Case matmul_case(const MatmulShape& shape);

struct AttentionShape {
  std::vector<int64_t> queries, lengths;  // by sequence
  int64_t heads = 1, kv_heads = 1, head_size = 64, page_size = 16;
  DType dtype = DType::kF32;
  bool alibi = true;
};
Case attention_case(const AttentionShape& shape);

Case layer_norm_case(int64_t tokens, int64_t hidden, bool in_place);
Case add_case(int64_t tokens, int64_t hidden);
Case embedding_case(int64_t tokens, int64_t vocab, int64_t hidden, DType dtype, int64_t vocab_begin);
Case gather_rows_case(int64_t rows, int64_t hidden);

// Random weights of one dtype in the packed layout.
PackedMatrix random_packed(int64_t rows, int64_t cols, DType dtype, uint32_t seed);

}  // namespace bolide::test
