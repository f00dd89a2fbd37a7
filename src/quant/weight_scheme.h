#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "ops/embedding.h"
#include "ops/matmul.h"

namespace bolide {

// One matrix W [rows, cols] as its scheme stores it: what is inside is the scheme's own. Filled while a
// checkpoint is read, constant after finish().
class StoredWeight {
 public:
  virtual ~StoredWeight() = default;

  // W[row0 : row0 + n, col0 : col0 + k] = block ([n, k], or [k, n] when transposed, of floats, on the
  // weight's device). Blocks that do not overlap may be stored from several threads at once.
  virtual void store(const Context& context, const View& block, bool transposed, int64_t row0,
                     int64_t col0) = 0;
  // The largest magnitudes of rows [row0, row0 + n) over all their columns, those of other ranks too: where
  // WeightScheme::whole_rows is set. From several threads at once.
  virtual void see_rows(int64_t row0, std::span<const float> largest) {
    (void)row0;
    (void)largest;
  }
  // All blocks are stored, and have arrived.
  virtual void finish(const Context& context) { (void)context; }

  // As the ops of these names. The scheme fills in args.w and args.table.
  virtual void matmul(const Context& context, MatmulArgs args) const = 0;
  virtual void gather(const Context& context, EmbeddingArgs args) const = 0;
  // y [rows, cols] fp32 or context.activation = W as numbers: the oracle of all else, and the way that
  // every scheme can be run by.
  virtual void dequantize(const Context& context, const View& y) const = 0;
};

// A way to store weights. Another one is a folder beside dense/ and a row in weight_scheme.cc.
struct WeightScheme {
  std::string_view name;     // of --weight-scheme
  std::string_view summary;  // a line of help
  // `dtype` is what x meets the weights as. Zero-filled, on the context's device; without memory where the
  // context counts.
  std::unique_ptr<StoredWeight> (*allocate)(const Context& context, int64_t rows, int64_t cols, DType dtype);
  // Memory of a loaded matrix; and what it takes besides from its first store() to finish().
  int64_t (*bytes)(int64_t rows, int64_t cols, DType dtype, Device device);
  int64_t (*loading_bytes)(int64_t rows, int64_t cols, Device device);
  bool whole_rows = false;  // a rank that holds some columns of a row must see all of them
  int int8_mode = 0;        // FT's number for it
  // cuBLASLt gets its products whole, as a gemm_config names them, and may be asked about them beforehand.
  bool library_gets_whole_products = false;
};

extern const WeightScheme kDenseScheme;

// All schemes, the default one first; by name ("": that one), kUsage for another word.
std::span<const WeightScheme* const> all_weight_schemes();
const WeightScheme& find_weight_scheme(std::string_view name);

// How a model's matrices are stored: a scheme, and the type that x meets them as.
struct WeightStorage {
  DType dtype = DType::kF32;
  const WeightScheme* scheme = &kDenseScheme;
  WeightStorage(DType type, const WeightScheme& how = kDenseScheme) : dtype(type), scheme(&how) {}  // NOLINT
};

// What a layer holds: a matrix under some scheme, or nothing.
class Weight {
 public:
  Weight() = default;
  Weight(int64_t rows, int64_t cols, const WeightStorage& storage, const Context& context)
      : rows_(rows),
        cols_(cols),
        dtype_(storage.dtype),
        stored_(storage.scheme->allocate(context, rows, cols, storage.dtype)) {}

  bool empty() const { return stored_ == nullptr; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  DType dtype() const { return dtype_; }  // that x meets it as
  StoredWeight* operator->() const { return stored_.get(); }

 private:
  int64_t rows_ = 0, cols_ = 0;
  DType dtype_ = DType::kF32;
  std::shared_ptr<StoredWeight> stored_;
};

}  // namespace bolide
