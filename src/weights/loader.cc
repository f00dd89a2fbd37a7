#include "weights/loader.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>

#include "base/log.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "checkpoint/diagnostics.h"
#include "weights/block_plan.h"
#include "weights/staging.h"
#include "weights/value_check.h"

namespace bolide {
namespace {

// A read of this size keeps staging small (8 MiB of fp32 a thread) and still runs at the speed of a large
// one.
constexpr int64_t kBlockElements = int64_t{2} << 20;

void allocate(const Context& context, const WeightSpec& spec, const Dist& dist, DType dtype) {
  const Shape shape = local_shape(spec, dist);
  if (spec.is_matrix()) {
    *std::get<Weight*>(spec.into) = kDenseFormat.allocate(shape[0], shape[1], dtype, context.device);
  } else {
    *std::get<Tensor*>(spec.into) =
        Tensor::zeros(shape, spec.as_activation ? context.activation : DType::kF32, context.device);
  }
}

// A run of a vector: few elements, converted on the host.
void store_vector(const Context& context, const BlockRead::Piece& piece, const void* from, DType dtype,
                  Tensor& vector) {
  const size_t count = static_cast<size_t>(piece.rows);
  const Tensor converted = Tensor::allocate({piece.rows}, vector.dtype());
  convert_elements(from, dtype, converted.view().data, vector.dtype(), count);
  const size_t begin = static_cast<size_t>(piece.row0) * size_of(vector.dtype());
  copy_to_device(context, static_cast<std::byte*>(vector.view().data) + begin, converted.view().data,
                 converted.bytes());
  synchronize(context);
}

// Stores what one BlockRead put into the memory of staging.next().
void store(Staging& staging, const std::byte* data, const WeightSpec& spec, const BlockRead& read,
           DType dtype) {
  const Context& context = staging.context();
  if (spec.is_matrix()) data = staging.upload(static_cast<size_t>(read.shape.count()) * size_of(dtype));
  for (const BlockRead::Piece& piece : read.pieces) {
    const std::byte* from = data + static_cast<size_t>(piece.offset) * size_of(dtype);
    if (!spec.is_matrix()) {
      store_vector(context, piece, from, dtype, *std::get<Tensor*>(spec.into));
      continue;
    }
    View block(const_cast<std::byte*>(from), dtype, Shape{piece.rows, piece.cols}, context.device);
    block.row_stride = piece.row_stride;
    Weight& weight = *std::get<Weight*>(spec.into);
    weight.format->store(context, block, read.transposed, piece.row0, piece.col0, weight);
  }
}

// Runs body(staging, i) for every i in [0, count), a staging for each thread.
template <class Body>
void for_each_block(const Context& context, int64_t count, const Body& body) {
  // Each thread pins 16 MiB: not one for every core of a large host.
  const int threads = context.device == Device::kCpu ? context.threads : std::min(context.threads, 8);
  std::atomic<int64_t> next{0};
  parallel_for(threads, threads, [&](int64_t) {
    if (context.device == Device::kCuda) use_cuda_device(context.device_index);
    Staging staging(context);
    try {
      for (int64_t i = next++; i < count; i = next++) body(staging, i);
    } catch (...) {
      next = count;  // nobody goes on after a fault
      throw;
    }
    synchronize(staging.context());
  });
}

// Counts what loader threads have done, and says so one at a time.
class Progress {
 public:
  Progress(const LoadProgress& tell, int64_t total) : tell_(tell), total_(total) {
    if (tell_) tell_(0, total_);
  }
  void add(int64_t bytes) {
    if (!tell_) return;
    std::lock_guard lock(mutex_);
    tell_(done_ += bytes, total_);
  }

 private:
  const LoadProgress& tell_;
  const int64_t total_;
  std::mutex mutex_;
  int64_t done_ = 0;
};

struct Task {
  const WeightSpec* spec;
  std::string name;
  DType dtype;
  BlockRead read;
  int64_t bytes() const { return read.shape.count() * static_cast<int64_t>(size_of(dtype)); }
};

}  // namespace

void check_complete(const TensorSource& checkpoint, const NameTable& names, std::span<const WeightSpec> specs,
                    std::span<const std::string> ignored) {
  Diagnostics diagnostics("the checkpoint does not match the model");
  std::set<std::string> known;
  for (const WeightSpec& spec : specs) {
    for (const WeightSource& wanted : sources_of(spec, names)) {
      const std::string name = find_name(checkpoint, wanted);
      if (name.empty()) {
        diagnostics.add(fmt::format("'{}' is missing", wanted.names.front()));
        continue;
      }
      known.insert(checkpoint.stored_name(name));
      const TensorInfo info = checkpoint.info(name);
      const Shape shape = stored_shape(spec, wanted);
      if (info.shape != shape) {
        diagnostics.add(fmt::format("'{}' in {} has shape {}, the config wants {}", name,
                                    checkpoint.where(name), info.shape.str(), shape.str()));
      }
      if (!is_float(info.dtype)) {
        diagnostics.add(fmt::format("'{}' in {} has data type {}, not a float", name, checkpoint.where(name),
                                    name_of(info.dtype)));
      }
    }
  }
  for (const std::string& name : checkpoint.names()) {
    const auto is_this = [&](std::string_view pattern) { return matches_name(pattern, name); };
    if (!known.contains(name) && std::none_of(names.ignored.begin(), names.ignored.end(), is_this) &&
        std::none_of(ignored.begin(), ignored.end(), is_this))
      diagnostics.add(fmt::format("'{}' in {} is not used by this model", name, checkpoint.where(name)));
  }
  diagnostics.raise_if_any(ErrorCode::kCorrupt);
}

int64_t load_staging_bytes(int threads) {
  return threads * kBlockElements * static_cast<int64_t>(sizeof(float));
}

void load_weights(const Context& context, const TensorSource& checkpoint, const NameTable& names,
                  std::span<const WeightSpec> specs, const Dist& dist, DType dtype,
                  const LoadProgress& on_load) {
  std::vector<Task> tasks;
  int64_t total = 0;
  for (const WeightSpec& spec : specs) {
    allocate(context, spec, dist, dtype);
    for (const WeightSource& wanted : sources_of(spec, names)) {
      const std::string name = find_name(checkpoint, wanted);
      const DType stored = checkpoint.info(name).dtype;
      for (BlockRead& read : plan_blocks(spec, wanted, dist, kBlockElements)) {
        tasks.push_back({&spec, name, stored, std::move(read)});
        total += tasks.back().bytes();
      }
    }
  }
  Progress progress(on_load, total);
  for_each_block(context, static_cast<int64_t>(tasks.size()), [&](Staging& staging, int64_t i) {
    const Task& task = tasks[i];
    std::byte* data = staging.next(static_cast<size_t>(task.bytes()));
    checkpoint.read(task.name, task.read.slice, data);
    check_values(checkpoint, task.name, task.read.slice, data,
                 task.spec->is_matrix() ? dtype : std::get<Tensor*>(task.spec->into)->dtype());
    store(staging, data, *task.spec, task.read, task.dtype);
    progress.add(task.bytes());
  });
  log::debug("loaded {} weights in {} reads", specs.size(), tasks.size());
}

void load_dummy_weights(const Context& context, std::span<const WeightSpec> specs, const Dist& dist,
                        DType dtype, uint64_t seed, const LoadProgress& on_load) {
  constexpr float kSpread =
      0.035f;  // uniform in +-0.035: a standard deviation of 0.02, Hugging Face's initialisation
  std::vector<std::pair<size_t, BlockRead>> tasks;
  int64_t total = 0;
  for (size_t s = 0; s < specs.size(); ++s) {
    allocate(context, specs[s], dist, dtype);
    const WeightSource canonical = {.names = {}, .first_part = 0, .parts = parts_of(specs[s]).size()};
    for (BlockRead& read : plan_blocks(specs[s], canonical, dist, kBlockElements)) {
      total += read.shape.count() * static_cast<int64_t>(sizeof(float));
      tasks.emplace_back(s, std::move(read));
    }
  }
  Progress progress(on_load, total);
  for_each_block(context, static_cast<int64_t>(tasks.size()), [&](Staging& staging, int64_t i) {
    const auto& [s, read] = tasks[i];
    const WeightSpec& spec = specs[s];
    const bool matrix = spec.is_matrix();
    const int64_t rows = matrix ? read.shape[0] : 1, cols = read.shape.count() / std::max<int64_t>(rows, 1);
    const int64_t row_begin = matrix ? read.slice.begin[0] : 0, col_begin = read.slice.begin[matrix ? 1 : 0];
    std::byte* data = staging.next(static_cast<size_t>(rows * cols) * sizeof(float));
    auto* values = reinterpret_cast<float*>(data);
    // A value depends on the tensor's name and on the place in the whole tensor: ranks hold slices of the
    // same model, whatever their number.
    const uint64_t key = seed + std::hash<std::string>()(spec.name);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols;) {
        const int64_t at = col_begin + c;
        const auto words =
            philox4x32(key, {static_cast<uint32_t>(at / 4), 0, static_cast<uint32_t>(row_begin + r), 0});
        for (int64_t w = at % 4; w < 4 && c < cols; ++w, ++c)
          *values++ = spec.dummy_mean + (2 * to_unit_float(words[static_cast<size_t>(w)]) - 1) * kSpread;
      }
    }
    store(staging, data, spec, read, DType::kF32);
    progress.add(read.shape.count() * static_cast<int64_t>(sizeof(float)));
  });
}

}  // namespace bolide
