#pragma once

#include <span>

#include "checkpoint/tensor_source.h"
#include "weights/slot.h"

namespace bolide {

enum class CheckpointFormat : uint8_t { kHuggingFace, kFasterTransformer };

// The slot's names and layout in a checkpoint of this format.
const SlotSource& source_of(const Slot& slot, CheckpointFormat format);

// The name under which `source` holds the slot; kNotFound-worthy when empty.
std::string find_name(const TensorSource& source, const SlotSource& slot);

// Holds a checkpoint against what the model wants, both ways: a missing tensor, one that the model does not
// use (and that is not in `ignored`), a wrong shape or a data type that is not a float. Throws one kCorrupt
// error that lists all findings.
void check_complete(const TensorSource& source, CheckpointFormat format, std::span<const Slot> slots,
                    std::span<const std::string> ignored);

// Fills every slot's field with this rank's part on context.device, matrices as `dtype`, vectors as fp32 or
// context.activation. check_complete() must have passed. Reads and packs on context.threads threads.
void load_weights(const Context& context, const TensorSource& source, CheckpointFormat format,
                  std::span<const Slot> slots, const Dist& dist, DType dtype);

// As load_weights, with reproducible random values instead of a checkpoint.
void load_dummy_weights(const Context& context, std::span<const Slot> slots, const Dist& dist, DType dtype,
                        uint64_t seed);

}  // namespace bolide
