#pragma once

#include "quant/weight_scheme.h"

namespace bolide {

// logits [n, local vocab] fp32 = norm(hidden [n, hidden]) W^T, W = the (possibly tied) [local vocab, hidden]
// matrix: this rank's columns. Who draws from them puts the ranks' together (decode/slices.h). With `argmax`,
// as in ops/matmul.h.
inline void head_logits(const Context& context, const Weight& weight, const Norm& norm, const View& hidden,
                        const View& logits, const Argmax& argmax) {
  weight->matmul(context, {.x = hidden, .y = logits, .norm = norm, .argmax = argmax});
}

}  // namespace bolide
