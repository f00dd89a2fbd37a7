#include "weights/loader.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "weights/block_plan.h"

namespace bolide {
namespace {

// A read of this size keeps staging small (8 MiB of fp32 a thread) and still runs at the speed of a large
// one.
constexpr int64_t kBlockElements = int64_t{2} << 20;

void allocate(const Slot& slot, const Dist& dist, DType dtype) {
  const Shape shape = local_shape(slot, dist);
  if (slot.is_matrix()) {
    *std::get<Weight*>(slot.into) = kDenseFormat.allocate(shape[0], shape[1], dtype);
  } else {
    *std::get<Tensor*>(slot.into) = Tensor::zeros(shape, DType::kF32);
  }
}

// Stores what one BlockRead gave.
void store(const Context& context, const Slot& slot, const BlockRead& read, const void* data, DType dtype) {
  for (const BlockRead::Part& part : read.parts) {
    const std::byte* from =
        static_cast<const std::byte*>(data) + static_cast<size_t>(part.offset) * size_of(dtype);
    if (!slot.is_matrix()) {
      Tensor& vector = *std::get<Tensor*>(slot.into);
      convert_elements(from, dtype, vector.as<float>() + part.row0, DType::kF32,
                       static_cast<size_t>(part.rows));
      continue;
    }
    View block(const_cast<std::byte*>(from), dtype, Shape{part.rows, part.cols});
    block.row_stride = part.row_stride;
    Weight& weight = *std::get<Weight*>(slot.into);
    weight.format->store(context, block, read.transposed, part.row0, part.col0, weight);
  }
}

struct Task {
  const Slot* slot;
  std::string name;
  DType dtype;
  BlockRead read;
};

}  // namespace

const SlotSource& source_of(const Slot& slot, CheckpointFormat format) {
  return format == CheckpointFormat::kHuggingFace ? slot.hf : slot.ft;
}

std::string find_name(const TensorSource& source, const SlotSource& slot) {
  for (const std::string& name : slot.names) {
    if (source.contains(name)) return name;
  }
  return {};
}

void check_complete(const TensorSource& source, CheckpointFormat format, std::span<const Slot> slots,
                    std::span<const std::string> ignored) {
  std::vector<std::string> findings;
  std::set<std::string> known(ignored.begin(), ignored.end());
  for (const Slot& slot : slots) {
    const SlotSource& wanted = source_of(slot, format);
    const std::string name = find_name(source, wanted);
    if (name.empty()) {
      findings.push_back(fmt::format("'{}' is missing", wanted.names.front()));
      continue;
    }
    known.insert(name);
    const TensorInfo info = source.info(name);
    const Shape shape = source_shape(slot, wanted.layout);
    if (info.shape != shape) {
      findings.push_back(fmt::format("'{}' in {} has shape {}, the config wants {}", name, source.where(name),
                                     info.shape.str(), shape.str()));
    }
    if (!is_float(info.dtype)) {
      findings.push_back(fmt::format("'{}' in {} has data type {}, not a float", name, source.where(name),
                                     name_of(info.dtype)));
    }
  }
  for (const std::string& name : source.names()) {
    if (!known.contains(name))
      findings.push_back(fmt::format("'{}' in {} is not used by this model", name, source.where(name)));
  }
  if (findings.empty()) return;
  constexpr size_t kShown = 10;
  std::string text;
  for (size_t i = 0; i < std::min(findings.size(), kShown); ++i) text += (i ? "; " : "") + findings[i];
  if (findings.size() > kShown) text += fmt::format("; and {} more", findings.size() - kShown);
  fail(ErrorCode::kCorrupt, "the checkpoint does not match the model: {}", text);
}

void load_weights(const Context& context, const TensorSource& source, CheckpointFormat format,
                  std::span<const Slot> slots, const Dist& dist, DType dtype) {
  std::vector<Task> tasks;
  for (const Slot& slot : slots) {
    allocate(slot, dist, dtype);
    if (slot.shard == Shard::kOnce && dist.tensor_rank != 0) continue;  // stays zero
    const SlotSource& wanted = source_of(slot, format);
    const std::string name = find_name(source, wanted);
    const DType stored = source.info(name).dtype;
    for (BlockRead& read : plan_blocks(slot, wanted.layout, dist, kBlockElements)) {
      tasks.push_back({&slot, name, stored, std::move(read)});
    }
  }
  Context single = context;
  single.threads = 1;  // parallel over blocks instead
  parallel_for(context.threads, static_cast<int64_t>(tasks.size()), [&](int64_t i) {
    const Task& task = tasks[i];
    static thread_local Tensor staging;
    const size_t bytes = static_cast<size_t>(task.read.shape.count()) * size_of(task.dtype);
    if (staging.bytes() < bytes) staging = Tensor::allocate({static_cast<int64_t>(bytes)}, DType::kU8);
    source.read(task.name, task.read.slice, staging.view().data);
    store(single, *task.slot, task.read, staging.view().data, task.dtype);
    if (i + 1 == static_cast<int64_t>(tasks.size())) staging = {};
  });
  log::debug("loaded {} tensors in {} reads", slots.size(), tasks.size());
}

void load_dummy_weights(const Context& context, std::span<const Slot> slots, const Dist& dist, DType dtype,
                        uint64_t seed) {
  constexpr float kSpread =
      0.035f;  // uniform in +-0.035: a standard deviation of 0.02, Hugging Face's initialisation
  std::vector<std::pair<size_t, BlockRead>> tasks;
  for (size_t s = 0; s < slots.size(); ++s) {
    allocate(slots[s], dist, dtype);
    for (BlockRead& read : plan_blocks(slots[s], Layout::kAsIs, dist, kBlockElements))
      tasks.emplace_back(s, std::move(read));
  }
  Context single = context;
  single.threads = 1;
  parallel_for(context.threads, static_cast<int64_t>(tasks.size()), [&](int64_t i) {
    const auto& [s, read] = tasks[i];
    std::vector<float> values(static_cast<size_t>(read.shape.count()));
    // The counter starts at the block's place in the whole tensor, so that the values do not depend on the
    // tensor size.
    const uint64_t start = static_cast<uint64_t>(read.slice.begin[0]);
    for (size_t v = 0; v < values.size(); v += 4) {
      const auto words =
          philox4x32(seed + s, {static_cast<uint32_t>(v), static_cast<uint32_t>(v >> 32),
                                static_cast<uint32_t>(start), static_cast<uint32_t>(read.slice.begin[1])});
      for (size_t w = 0; w < 4 && v + w < values.size(); ++w) {
        values[v + w] = slots[s].dummy_mean + (2 * to_unit_float(words[w]) - 1) * kSpread;
      }
    }
    store(single, slots[s], read, values.data(), DType::kF32);
  });
}

}  // namespace bolide
