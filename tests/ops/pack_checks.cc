#include "ops/pack_checks.h"

#include <gtest/gtest.h>

#include "ops/guarded.h"
#include "ops/packed_matrix.h"

namespace bolide::test {
namespace {

Mirrored random_block(int64_t rows, int64_t cols, DType dtype) {
  Source source(37);
  Tensor wide = Tensor::allocate({rows, cols}, DType::kF32), block = Tensor::allocate({rows, cols}, dtype);
  for (int64_t i = 0; i < rows * cols; ++i) wide.as<float>()[i] = source.normal();
  if (dtype == DType::kF64) {
    for (int64_t i = 0; i < rows * cols; ++i)
      block.as<double>()[i] = static_cast<double>(wide.as<float>()[i]);
  } else {
    convert_elements(wide.view().data, DType::kF32, block.view().data, dtype,
                     static_cast<size_t>(rows * cols));
  }
  return Mirrored(block);
}

float value(const Tensor& block, int64_t i) {
  if (block.dtype() == DType::kF64) return static_cast<float>(block.as<double>()[i]);
  return static_cast<float>(ref::element(block.view().data, block.dtype(), i));
}

std::vector<std::byte> bytes_of(const Context& context, const PackedMatrix& matrix) {
  std::vector<std::byte> bytes(matrix.data.bytes());
  copy_to_host(context, bytes.data(), matrix.data.view().data, bytes.size());
  synchronize(context);
  return bytes;
}

// One block, placed anywhere: its elements where offset() says, rounded once, and everything else still 0.
void expect_packed(const Context& context, int64_t rows, int64_t cols, int64_t row0, int64_t col0, DType from,
                   DType to, bool transposed) {
  SCOPED_TRACE(fmt::format("[{}, {}] at ({}, {}) {} to {}{}", rows, cols, row0, col0, name_of(from),
                           name_of(to), transposed ? " transposed" : ""));
  const Mirrored block = transposed ? random_block(cols, rows, from) : random_block(rows, cols, from);
  PackedMatrix matrix = allocate_packed(row0 + rows + 9, col0 + cols + 5, to, context.device);
  pack_block(context, block.on(context), transposed, row0, col0, matrix);
  Tensor expected = Tensor::zeros(matrix.data.shape(), to);
  dispatch_float(to, [&]<class T>() {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        expected.as<T>()[matrix.offset(row0 + r, col0 + c)] =
            from_float<T>(value(block.host(), transposed ? c * rows + r : r * cols + c));
  });
  EXPECT_EQ(std::memcmp(expected.view().data, bytes_of(context, matrix).data(), expected.bytes()), 0);
}

}  // namespace

void expect_blocks_go_anywhere(const Context& context) {
  for (DType to : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (DType from : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64}) {
      for (bool transposed : {false, true}) {
        expect_packed(context, 48, 64, 0, 0, from, to, transposed);
        expect_packed(context, 16, 300, 16, 32, from, to, transposed);
        expect_packed(context, 37, 51, 5, 7, from, to, transposed);
        expect_packed(context, 200, 9, 3, 1, from, to, transposed);
        expect_packed(context, 1, 1, 0, 0, from, to, transposed);
      }
    }
  }
}

// A matrix assembled from blocks is the matrix packed whole: the loader reads q, k and v head by head.
void expect_blocks_meet(const Context& context) {
  const Mirrored whole = random_block(50, 40, DType::kF32);
  for (DType to : {DType::kF32, DType::kF16, DType::kBF16}) {
    PackedMatrix at_once = allocate_packed(50, 40, to, context.device);
    PackedMatrix pieces = allocate_packed(50, 40, to, context.device);
    pack_block(context, whole.on(context), false, 0, 0, at_once);
    for (int64_t r = 0; r < 50; r += 7)
      for (int64_t c = 0; c < 40; c += 9) {
        const View rows = whole.on(context).view().slice_rows(r, std::min<int64_t>(r + 7, 50));
        pack_block(context, rows.slice_columns(c, std::min<int64_t>(c + 9, 40)), false, r, c, pieces);
      }
    EXPECT_EQ(bytes_of(context, at_once), bytes_of(context, pieces));
  }
}

void expect_rows_quantized(const Context& context) {
  for (const auto& [rows, cols] :
       {std::pair<int64_t, int64_t>{1, 1}, {16, 32}, {17, 33}, {40, 300}, {100, 5000}}) {
    for (const bool more : {false, true}) {
      SCOPED_TRACE(fmt::format("[{}, {}]{}", rows, cols, more ? ", at least" : ""));
      Mirrored block = random_block(rows, cols, DType::kF32);
      auto* w = block.host().as<float>();
      std::fill_n(w, cols, 0.0f);                     // a row of zeros
      for (int64_t c = 0; c < cols && rows > 1; ++c)  // one of ties: its scale is 1
        w[cols + c] = c == 0 ? -127.0f : static_cast<float>(c % 250) - 124.5f;
      block.bring(context);
      std::vector<float> least(static_cast<size_t>(rows));
      for (size_t r = 0; r < least.size(); ++r) least[r] = r % 3 == 2 ? 10.0f : 0.0f;
      const Mirrored at_least(least);
      at_least.bring(context);
      PackedMatrix from = allocate_packed(rows, cols, DType::kF32, context.device);
      pack_block(context, block.on(context), false, 0, 0, from);
      PackedMatrix to = allocate_packed_int8(rows, cols, DType::kF32, context.device);
      View bound = at_least.on(context);
      bound = View(bound.data, DType::kF32, Shape{rows}, context.device);
      quantize_rows(context, {.from = &from, .at_least = more ? bound : View(), .to = &to});
      Tensor y = Tensor::allocate({rows, cols}, DType::kF32, context.device);
      unpack(context, to, y);
      Tensor host_y = Tensor::allocate({rows, cols}, DType::kF32);
      Tensor scales = Tensor::allocate({rows}, DType::kF32);
      copy_to_host(context, host_y.view().data, y.view().data, y.bytes());
      copy_to_host(context, scales.view().data, to.scales.view().data, scales.bytes());
      synchronize(context);
      for (int64_t r = 0; r < rows; ++r) {
        float largest = more ? least[static_cast<size_t>(r)] : 0.0f;
        for (int64_t c = 0; c < cols; ++c) largest = std::max(largest, std::abs(w[r * cols + c]));
        const float scale = largest / 127.0f;
        ASSERT_EQ(scales.as<float>()[r], scale);
        for (int64_t c = 0; c < cols; ++c) {
          const float whole = scale == 0 ? 0.0f : std::nearbyint(w[r * cols + c] / scale);
          ASSERT_EQ(host_y.as<float>()[r * cols + c], whole * scale) << r << ", " << c;
        }
      }
    }
  }
}

}  // namespace bolide::test
