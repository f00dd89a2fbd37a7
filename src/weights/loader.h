#pragma once

#include <functional>
#include <span>

#include "weights/name_table.h"

namespace bolide {

// Holds a checkpoint against what the model wants, both ways: a missing tensor, one that the model does not
// use (and that neither the table nor `ignored` leaves out), a wrong shape or a data type that is not a
// float. Throws one kCorrupt error that lists all diagnostics.
void check_complete(const TensorSource& checkpoint, const NameTable& names, std::span<const WeightSpec> specs,
                    std::span<const std::string> ignored = {});

// How far loading is: EngineConfig::on_load. Empty, or called from one thread at a time.
using LoadProgress = std::function<void(int64_t done_bytes, int64_t total_bytes)>;

// Fills every spec's field with this rank's share on context.device, matrices as `storage` says, vectors as
// fp32 or context.activation. check_complete() must have passed. Reads and packs on context.threads threads.
// Refuses NaN, infinity and what the type cannot hold, see check_values().
void load_weights(const Context& context, const TensorSource& checkpoint, const NameTable& names,
                  std::span<const WeightSpec> specs, const Dist& dist, const WeightStorage& storage,
                  const LoadProgress& on_load = {});

// As load_weights, with reproducible random values instead of a checkpoint.
void load_dummy_weights(const Context& context, std::span<const WeightSpec> specs, const Dist& dist,
                        const WeightStorage& storage, uint64_t seed, const LoadProgress& on_load = {});

// Memory that loading on so many threads may take besides the weights.
int64_t loading_bytes(std::span<const WeightSpec> specs, const Dist& dist, const WeightStorage& storage,
                      Device device, int threads);

// Gives every weight its shape and no memory: `context` counts.
void shape_weights(const Context& context, std::span<const WeightSpec> specs, const Dist& dist,
                   const WeightStorage& storage);

}  // namespace bolide
