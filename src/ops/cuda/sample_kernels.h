#pragma once

#include "ops/cuda/launch.h"

// How sample() and candidates() give rows of logits to clusters of blocks, see device/draw.cuh.
namespace bolide::cuda {

constexpr int kDrawThreads = 1024;
constexpr int kDrawCluster = 8;  // the largest that every GPU with clusters can run

struct LogitRows {
  const float* logits;
  int64_t stride;
  int columns;
  int chunk;     // columns of a warp: a multiple of 128
  bool vectors;  // rows are 16-byte aligned
  bool staged;   // into shared memory, behind Shared
};
// `logits` [rows, columns]; `select`: more than each row's largest logit and the sum of its weights is asked
// for.
struct DrawLaunch {
  LogitRows rows;
  LaunchShape shape;
};
DrawLaunch draw_launch(const View& logits, bool select);

}  // namespace bolide::cuda
