#pragma once

#include "quant/weight_scheme.h"

namespace bolide {

// A matrix in the layout of the ops: what schemes share whose numbers these multiply as they lie.
class PackedWeight : public StoredWeight {
 public:
  explicit PackedWeight(PackedMatrix matrix) : matrix_(std::move(matrix)) {}

  void matmul(const Context& context, MatmulArgs args) const override {
    args.w = &matrix_;
    bolide::matmul(context, args);
  }
  void gather(const Context& context, EmbeddingArgs args) const override {
    args.table = &matrix_;
    embedding(context, args);
  }
  void dequantize(const Context& context, const View& y) const override { unpack(context, matrix_, y); }

 protected:
  PackedMatrix matrix_;
};

}  // namespace bolide
