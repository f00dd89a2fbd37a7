#pragma once

#include "models/family.h"

namespace bolide {

// Mistral 7B and its like: LLaMA's graph, in which every layer may have a sliding window.
extern const Family kMistralFamily;

}  // namespace bolide
