#pragma once

#include "comm/communicator.h"
#include "quant/weight_format.h"

namespace bolide {

// logits [n, vocab] fp32 = norm(hidden [n, hidden]) W^T, W = the (possibly tied) [local vocab, hidden]
// matrix; ranks' columns gathered.
void head_logits(const Context& context, const Weight& weight, const Norm& norm, const View& hidden,
                 const View& logits);

}  // namespace bolide
