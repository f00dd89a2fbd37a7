#pragma once

#include <vector>

#include "ops/add.h"
#include "ops/attention.h"
#include "ops/candidates.h"
#include "ops/embedding.h"
#include "ops/gate.h"
#include "ops/gather_rows.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/rotary.h"
#include "ops/sample.h"
#include "ops/soft_cap.h"

// The oracle of the tests: every op in double, written for reading, not for speed. It takes the arguments
// that the op takes, leaves y alone, and returns what y should hold, row by row without padding.
namespace bolide::ref {

std::vector<double> matmul(const MatmulArgs& args);
std::vector<double> embedding(const EmbeddingArgs& args);
std::vector<double> layer_norm(const LayerNormArgs& args);
// Rows of q and then of k, as they become.
std::vector<double> head_norm(const HeadNormArgs& args);
std::vector<double> row_squares(const RowSquaresArgs& args);
std::vector<double> soft_cap(const SoftCapArgs& args);  // what x becomes
// Of rows as wide as the norm, one after the other.
std::vector<double> norm_rows(const std::vector<double>& x, const Norm& norm);
std::vector<double> add(const AddArgs& args);
std::vector<double> attention(const AttentionArgs& args);
std::vector<double> gather_rows(const GatherRowsArgs& args);
std::vector<double> gate(const GateArgs& args);
std::vector<double> rotary(const RotaryArgs& args);  // what x becomes
// The angles that the op has the cosines and sines of, in fp32 as its contract says, and not yet scaled.
std::vector<double> rotary_angles(const RotaryAnglesArgs& args);

// One row of sample().
struct Drawn {
  int32_t id = 0;
  double log_prob = 0;
  double margin = 0;  // how far, as a share of the kept mass, the draw was from choosing another id
  int32_t other = 0;  // that other id
};
Drawn sample(const float* logits, int64_t vocab, const SampleRow& row);

// One row of candidates(), by rising column and without what is left of the k.
struct Candidates {
  std::vector<int64_t> columns;
  double max = 0, sum = 0;  // of `totals`
};
Candidates candidates(const float* logits, int64_t columns, const SampleRow& row);

}  // namespace bolide::ref
