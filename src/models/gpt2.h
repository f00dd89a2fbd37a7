#pragma once

#include "models/family.h"

namespace bolide {

// GPT-2 and its kin (DistilGPT-2, DialoGPT): learned positions, fused qkv stored [in, out], tied head.
extern const Family kGpt2Family;

}  // namespace bolide
