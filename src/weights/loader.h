#pragma once

#include <functional>
#include <span>

#include "checkpoint/tensor_source.h"
#include "weights/slot.h"

namespace bolide {

enum class CheckpointFormat : uint8_t { kHuggingFace, kFasterTransformer };

// The slot's names and layout in a checkpoint of this format.
const SlotSource& source_of(const Slot& slot, CheckpointFormat format);

// The name under which `source` holds the slot; kNotFound-worthy when empty.
std::string find_name(const TensorSource& source, const SlotSource& slot);

// Whether `pattern` is `name` or its last dotted components; "*" stands for any one component.
// "attn.bias" matches "h.0.attn.bias", and neither "h.0.attn.bias.scale" nor "h.0.crossattn.bias".
bool matches_name(std::string_view pattern, std::string_view name);

// Holds a checkpoint against what the model wants, both ways: a missing tensor, one that the model does not
// use (and that no pattern of `ignored` matches), a wrong shape or a data type that is not a float. Throws
// one kCorrupt error that lists all findings.
void check_complete(const TensorSource& source, CheckpointFormat format, std::span<const Slot> slots,
                    std::span<const std::string_view> ignored);

// How far loading is: EngineConfig::on_load. Empty, or called from one thread at a time.
using LoadProgress = std::function<void(int64_t done_bytes, int64_t total_bytes)>;

// Fills every slot's field with this rank's part on context.device, matrices as `dtype`, vectors as fp32 or
// context.activation. check_complete() must have passed. Reads and packs on context.threads threads. Refuses
// NaN, infinity and what the type cannot hold, see check_values().
void load_weights(const Context& context, const TensorSource& source, CheckpointFormat format,
                  std::span<const Slot> slots, const Dist& dist, DType dtype,
                  const LoadProgress& on_load = {});

// Memory that load_weights() on so many threads may take besides the weights.
int64_t load_staging_bytes(int threads);

// As load_weights, with reproducible random values instead of a checkpoint.
void load_dummy_weights(const Context& context, std::span<const Slot> slots, const Dist& dist, DType dtype,
                        uint64_t seed, const LoadProgress& on_load = {});

}  // namespace bolide
