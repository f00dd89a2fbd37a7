#include "weights/loader.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
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

// Weights whose scheme keeps them as they were read until all of them is there are loaded some at a time, of
// so many bytes together.
constexpr int64_t kWaveBytes = int64_t{1} << 30;

void allocate(const Context& context, const WeightSpec& spec, const Dist& dist,
              const WeightStorage& storage) {
  const Shape shape = local_shape(spec, dist);
  if (spec.is_matrix()) {
    *std::get<Weight*>(spec.into) = Weight(shape[0], shape[1], storage_of(spec, storage), context);
  } else {
    const DType dtype = spec.as_activation ? context.activation : DType::kF32;
    *std::get<Tensor*>(spec.into) = context.counting() ? Tensor::without_memory(shape, dtype, context.device)
                                                       : Tensor::zeros(shape, dtype, context.device);
  }
}

int64_t loading_bytes(const WeightSpec& spec, const Dist& dist, const WeightStorage& storage, Device device) {
  if (!spec.is_matrix()) return 0;
  const Shape shape = local_shape(spec, dist);
  return storage_of(spec, storage).scheme->loading_bytes(shape[0], shape[1], device);
}

// Where the wave ends that begins with specs[begin].
size_t wave_end(std::span<const WeightSpec> specs, size_t begin, const Dist& dist,
                const WeightStorage& storage, Device device) {
  int64_t bytes = 0;
  for (size_t end = begin; end < specs.size(); ++end) {
    bytes += loading_bytes(specs[end], dist, storage, device);
    if (end > begin && bytes > kWaveBytes) return end;
  }
  return specs.size();
}

// A run of a vector: few elements, converted on the host.
void store_vector(const Context& context, const BlockRead::Piece& piece, const void* from, DType dtype,
                  float offset, Tensor& vector) {
  const size_t count = static_cast<size_t>(piece.rows);
  std::vector<float> moved(offset != 0 ? count : 0);
  if (offset != 0) {
    convert_elements(from, dtype, moved.data(), DType::kF32, count);
    for (float& value : moved) value += offset;
    from = moved.data();
    dtype = DType::kF32;
  }
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
      store_vector(context, piece, from, dtype, spec.offset, *std::get<Tensor*>(spec.into));
      continue;
    }
    View block(const_cast<std::byte*>(from), dtype, Shape{piece.rows, piece.cols}, context.device);
    block.row_stride = piece.row_stride;
    (*std::get<Weight*>(spec.into))->store(context, block, read.transposed, piece.row0, piece.col0);
  }
}

// One read, of values in a checkpoint or of random ones.
struct Task {
  const WeightSpec* spec;
  std::string name;  // in the checkpoint
  DType dtype;
  BlockRead read;
  bool rows_alone = false;  // only to see how large rows are
  int64_t bytes() const { return read.shape.count() * static_cast<int64_t>(size_of(dtype)); }
};

// The largest magnitudes of the rows that a read has brought.
void see_rows(const std::byte* data, const Task& task) {
  const auto& weight = *std::get<Weight*>(task.spec->into);
  std::vector<float> values;
  for (const BlockRead::Piece& piece : task.read.pieces) {
    const bool transposed = task.read.transposed;
    std::vector<float> largest(static_cast<size_t>(transposed ? piece.cols : piece.rows));
    values.resize(static_cast<size_t>(piece.cols));
    for (int64_t r = 0; r < piece.rows; ++r) {
      const auto at = static_cast<size_t>(piece.offset + r * piece.row_stride);
      convert_elements(data + at * size_of(task.dtype), task.dtype, values.data(), DType::kF32,
                       values.size());
      for (size_t c = 0; c < values.size(); ++c) {
        float& row = largest[transposed ? c : static_cast<size_t>(r)];
        row = std::max(row, std::abs(values[c]));
      }
    }
    weight->see_rows(piece.row0, largest);
  }
}

// The threads that load, with a staging each.
class Loaders {
 public:
  // Each thread pins 16 MiB: not one for every core of a large host.
  explicit Loaders(const Context& context)
      : context_(context),
        threads_(context.device == Device::kCpu ? context.threads : std::min(context.threads, 8)),
        stagings_(static_cast<size_t>(threads_)) {}

  // Runs body(staging, i) for every i in [0, count). What it has sent to the device has arrived after that.
  template <class Body>
  void run(int64_t count, const Body& body) {
    std::atomic<int64_t> next{0};
    parallel_for(threads_, threads_, [&](int64_t thread) {
      if (context_.device == Device::kCuda) use_cuda_device(context_.device_index);
      auto& staging = stagings_[static_cast<size_t>(thread)];
      if (!staging) staging = std::make_unique<Staging>(context_);
      try {
        for (int64_t i = next++; i < count; i = next++) body(*staging, i);
      } catch (...) {
        next = count;  // nobody goes on after a fault
        throw;
      }
      synchronize(staging->context());
    });
  }

 private:
  const Context& context_;
  const int threads_;
  std::vector<std::unique_ptr<Staging>> stagings_;
};

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

// Loads specs: tasks(spec, dist) says what is to be read of one, read(task, to) does so.
template <class Tasks, class Read>
void load(const Context& context, std::span<const WeightSpec> specs, const Dist& dist,
          const WeightStorage& storage, const LoadProgress& on_load, const Tasks& tasks, const Read& read) {
  Dist alone = dist;  // holds all columns
  alone.tensor_size = 1;
  alone.tensor_rank = 0;
  std::vector<std::vector<Task>> all;
  int64_t total = 0;
  for (const WeightSpec& spec : specs) {
    allocate(context, spec, dist, storage);
    std::vector<Task>& own = all.emplace_back(tasks(spec, dist));
    if (spec.is_matrix() && spec.shard == Shard::kIn && dist.tensor_size > 1 &&
        storage_of(spec, storage).scheme->whole_rows) {
      for (Task& task : tasks(spec, alone)) {
        task.rows_alone = true;
        own.push_back(std::move(task));
      }
    }
    for (const Task& task : own) total += task.bytes();
  }
  Progress progress(on_load, total);
  Loaders loaders(context);
  for (size_t begin = 0; begin < specs.size();) {
    const size_t end = wave_end(specs, begin, dist, storage, context.device);
    std::vector<const Task*> wave;
    for (size_t s = begin; s < end; ++s)
      for (const Task& task : all[s]) wave.push_back(&task);
    loaders.run(static_cast<int64_t>(wave.size()), [&](Staging& staging, int64_t i) {
      const Task& task = *wave[static_cast<size_t>(i)];
      std::byte* data = staging.next(static_cast<size_t>(task.bytes()));
      read(task, data);
      if (task.rows_alone) {
        see_rows(data, task);
      } else {
        store(staging, data, *task.spec, task.read, task.dtype);
      }
      progress.add(task.bytes());
    });
    for (; begin < end; ++begin)
      if (specs[begin].is_matrix()) (*std::get<Weight*>(specs[begin].into))->finish(context);
  }
  log::debug("loaded {} weights", specs.size());
}

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
    if (!known.contains(name) && !is_buffer(names, name) &&
        std::none_of(ignored.begin(), ignored.end(), is_this))
      diagnostics.add(fmt::format("'{}' in {} is not used by this model", name, checkpoint.where(name)));
  }
  diagnostics.raise_if_any(ErrorCode::kCorrupt);
}

int64_t loading_bytes(std::span<const WeightSpec> specs, const Dist& dist, const WeightStorage& storage,
                      Device device, int threads) {
  int64_t most = 0;
  for (size_t begin = 0; begin < specs.size();) {
    const size_t end = wave_end(specs, begin, dist, storage, device);
    int64_t wave = 0;
    for (; begin < end; ++begin) wave += loading_bytes(specs[begin], dist, storage, device);
    most = std::max(most, wave);
  }
  return most + threads * kBlockElements * static_cast<int64_t>(sizeof(float));
}

void load_weights(const Context& context, const TensorSource& checkpoint, const NameTable& names,
                  std::span<const WeightSpec> specs, const Dist& dist, const WeightStorage& storage,
                  const LoadProgress& on_load) {
  const auto tasks = [&](const WeightSpec& spec, const Dist& share) {
    std::vector<Task> made;
    for (const WeightSource& wanted : sources_of(spec, names)) {
      const std::string name = find_name(checkpoint, wanted);
      const DType stored = checkpoint.info(name).dtype;
      for (BlockRead& read : plan_blocks(spec, wanted, share, kBlockElements))
        made.push_back({&spec, name, stored, std::move(read)});
    }
    return made;
  };
  load(context, specs, dist, storage, on_load, tasks, [&](const Task& task, std::byte* data) {
    checkpoint.read(task.name, task.read.slice, data);
    check_values(checkpoint, task.name, task.read.slice, data,
                 task.spec->is_matrix() ? storage.dtype : std::get<Tensor*>(task.spec->into)->dtype());
  });
}

void load_dummy_weights(const Context& context, std::span<const WeightSpec> specs, const Dist& dist,
                        const WeightStorage& storage, uint64_t seed, const LoadProgress& on_load) {
  constexpr float kSpread =
      0.035f;  // uniform in +-0.035: a standard deviation of 0.02, Hugging Face's initialisation
  const auto tasks = [&](const WeightSpec& spec, const Dist& share) {
    std::vector<Task> made;
    const WeightSource canonical = {.names = {}, .first_part = 0, .parts = parts_of(spec).size()};
    for (BlockRead& read : plan_blocks(spec, canonical, share, kBlockElements))
      made.push_back({&spec, {}, DType::kF32, std::move(read)});
    return made;
  };
  load(context, specs, dist, storage, on_load, tasks, [&](const Task& task, std::byte* data) {
    const WeightSpec& spec = *task.spec;
    const BlockRead& read = task.read;
    const bool matrix = spec.is_matrix();
    const int64_t rows = matrix ? read.shape[0] : 1, cols = read.shape.count() / std::max<int64_t>(rows, 1);
    const int64_t row_begin = matrix ? read.slice.begin[0] : 0, col_begin = read.slice.begin[matrix ? 1 : 0];
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
  });
}

void shape_weights(const Context& context, std::span<const WeightSpec> specs, const Dist& dist,
                   const WeightStorage& storage) {
  BOLIDE_CHECK(context.counting());
  for (const WeightSpec& spec : specs) allocate(context, spec, dist, storage);
}

}  // namespace bolide
