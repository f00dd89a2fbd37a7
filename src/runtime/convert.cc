#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>

#include "base/log.h"
#include "base/parallel.h"
#include "bolide/checkpoint.h"
#include "checkpoint/ft_writer.h"
#include "models/registry.h"
#include "weights/block_plan.h"
#include "weights/value_check.h"

namespace bolide {
namespace {

// One file to write: a slot, for one rank (or for all, rank -1).
struct Job {
  const Slot* slot;
  Dist dist;
  int rank;
  std::string source_name;
  bool embedding() const { return slot->ft.layout == Layout::kAsIs; }  // or the head
};

bool is_split(const Slot& slot) { return slot.shard == Shard::kOut || slot.shard == Shard::kIn; }

// Writes block [rows, cols] into file [.., width] as its transpose: file[col][row0 + row] = block[row][col].
// Tiles of 64 x 64 keep both sides in the first-level cache; a plain double loop runs at a quarter of the
// speed.
template <class Word>
void transpose_tiles(const std::byte* block, int64_t row_stride, int64_t rows, int64_t cols, DType from,
                     DType to, Word* file, int64_t width) {
  constexpr int64_t kTile = 64;
  Word tile[kTile][kTile];
  for (int64_t r = 0; r < rows; r += kTile) {
    for (int64_t c = 0; c < cols; c += kTile) {
      const int64_t tile_rows = std::min(kTile, rows - r), tile_cols = std::min(kTile, cols - c);
      for (int64_t i = 0; i < tile_rows; ++i) {
        convert_elements(block + static_cast<size_t>((r + i) * row_stride + c) * size_of(from), from, tile[i],
                         to, static_cast<size_t>(tile_cols));
      }
      for (int64_t j = 0; j < tile_cols; ++j) {
        Word* line = file + (c + j) * width + r;
        for (int64_t i = 0; i < tile_rows; ++i) line[i] = tile[i][j];
      }
    }
  }
}

// Puts one part of a read where it belongs in the file [in, out] (matrix) or [out] (vector) of this rank.
void place(const BlockRead& read, const BlockRead::Part& part, const std::byte* data, DType from,
           std::byte* file, DType to, int64_t width) {
  const std::byte* block = data + static_cast<size_t>(part.offset) * size_of(from);
  if (part.cols == 1 && width == 0) {
    convert_elements(block, from, file + static_cast<size_t>(part.row0) * size_of(to), to,
                     static_cast<size_t>(part.rows));
  } else if (read.transposed) {  // already [in, out]: rows of the read are rows of the file
    for (int64_t i = 0; i < part.rows; ++i) {
      convert_elements(block + static_cast<size_t>(i * part.row_stride) * size_of(from), from,
                       file + static_cast<size_t>((part.col0 + i) * width + part.row0) * size_of(to), to,
                       static_cast<size_t>(part.cols));
    }
  } else {
    const int64_t first = part.col0 * width + part.row0;
    if (size_of(to) == 2) {
      transpose_tiles(block, part.row_stride, part.rows, part.cols, from, to,
                      reinterpret_cast<uint16_t*>(file) + first, width);
    } else {
      transpose_tiles(block, part.row_stride, part.rows, part.cols, from, to,
                      reinterpret_cast<uint32_t*>(file) + first, width);
    }
  }
}

constexpr int64_t kBlockElements = int64_t{4} << 20;
// More have nothing to gain, and each has a whole file in memory.
constexpr int kMostThreads = 256;

// Reads what the job's file holds block by block and writes the file. An embedding goes straight through; all
// other matrices are turned in memory first, since a row of the input is a column of the file.
int64_t write_job(const Checkpoint& checkpoint, const Job& job, DType to, FtWriter& writer) {
  const TensorSource& source = *checkpoint.source;
  const DType from = source.info(job.source_name).dtype;
  const Shape local = local_shape(*job.slot, job.dist);
  FtFile file = writer.create(job.slot->ft.names.front(), job.rank);
  std::vector<std::byte> staging, content;
  if (!job.embedding()) content.resize(static_cast<size_t>(local.count()) * size_of(to));
  const int64_t width = job.slot->is_matrix() ? local[0] : 0;
  for (const BlockRead& read :
       plan_blocks(*job.slot, source_of(*job.slot, checkpoint.format).layout, job.dist, kBlockElements)) {
    const size_t count = static_cast<size_t>(read.shape.count());
    staging.resize(count * size_of(from));
    source.read(job.source_name, read.slice, staging.data());
    check_values(source, job.source_name, read.slice, staging.data(), to);
    if (job.embedding()) {
      content.resize(count * size_of(to));
      convert_elements(staging.data(), from, content.data(), to, count);
      file.append(content);
    } else {
      for (const BlockRead::Part& part : read.parts)
        place(read, part, staging.data(), from, content.data(), to, width);
    }
  }
  if (!job.embedding()) file.append(content);
  file.close();
  return local.count() * static_cast<int64_t>(size_of(to));
}

// Tells of tensors in the order of the slots, each once all of its files are written. Thread-safe.
class Teller {
 public:
  Teller(const Checkpoint& checkpoint, std::span<const Slot> slots, const ConvertOptions& options)
      : checkpoint_(checkpoint), slots_(slots), options_(options) {
    for (const Slot& slot : slots) files_left_.push_back(is_split(slot) ? options.tensor_para_size : 1);
  }

  void written(const Slot& slot) {
    std::lock_guard lock(mutex_);
    --files_left_[static_cast<size_t>(&slot - slots_.data())];
    for (; next_ < slots_.size() && files_left_[next_] == 0; ++next_)
      if (options_.on_tensor) options_.on_tensor(describe(next_));
  }

 private:
  ConvertedTensor describe(size_t index) const {
    const Slot& slot = slots_[index];
    const TensorSource& source = *checkpoint_.source;
    const Shape whole = source_shape(slot, slot.ft.layout);
    ConvertedTensor tensor{.name = slot.ft.names.front(),
                           .shape = {whole.extents().begin(), whole.extents().end()},
                           .split = is_split(slot),
                           .file = FtFile::name(slot.ft.names.front(), is_split(slot) ? 0 : -1),
                           .source = source.where(find_name(source, source_of(slot, checkpoint_.format))),
                           .index = static_cast<int64_t>(index),
                           .count = static_cast<int64_t>(slots_.size())};
    if (slot.shard == Shard::kOut) tensor.shape.back() /= options_.tensor_para_size;
    if (slot.shard == Shard::kIn) tensor.shape.front() /= options_.tensor_para_size;
    return tensor;
  }

  const Checkpoint& checkpoint_;
  std::span<const Slot> slots_;
  const ConvertOptions& options_;
  std::mutex mutex_;
  std::vector<int> files_left_;  // of each slot
  size_t next_ = 0;              // slot to tell of
};

std::vector<Job> plan_jobs(const Checkpoint& checkpoint, std::span<const Slot> slots, int ranks,
                           bool by_shard) {
  std::vector<Job> jobs;
  for (const Slot& slot : slots) {
    const std::string name = find_name(*checkpoint.source, source_of(slot, checkpoint.format));
    if (!is_split(slot)) {
      jobs.push_back({&slot, {}, -1, name});
      continue;
    }
    for (int rank = 0; rank < ranks; ++rank)
      jobs.push_back({&slot, {.tensor_size = ranks, .tensor_rank = rank}, rank, name});
  }
  auto first = [&](const Job& a, const Job& b) {
    if (by_shard) return checkpoint.source->where(a.source_name) < checkpoint.source->where(b.source_name);
    // Embedding and head, the largest by far, go first, so that the workers end together.
    return a.embedding() && !b.embedding();
  };
  std::stable_sort(jobs.begin(), jobs.end(), first);
  return jobs;
}

void check_options(const ConvertOptions& options, const ModelConfig& config) {
  const int ranks = options.tensor_para_size;
  if (ranks < 1) fail(ErrorCode::kUsage, "--tensor-para-size is {}: it must be 1 or more", ranks);
  if (options.processes < 1)
    fail(ErrorCode::kUsage, "--processes is {}: it must be 1 or more", options.processes);
  check_divides(config, {.tensor_size = ranks});
}

// With --force the output folder is replaced: it must not be what is read, nor hold it.
void check_output(const ConvertOptions& options, const Checkpoint& checkpoint) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path target = options.output_dir / fmt::format("{}-gpu", options.tensor_para_size);
  if (!fs::exists(target, error)) return;
  std::set<fs::path> inputs = {options.input_dir};
  for (const std::string& name : checkpoint.source->names()) inputs.insert(checkpoint.source->where(name));
  std::set<fs::path> folders;  // which hold an input, by links too
  for (const fs::path& input : inputs) {
    for (fs::path folder = fs::canonical(input, error); !folder.empty() && folders.insert(folder).second;
         folder = folder.parent_path()) {
      if (fs::equivalent(folder, target, error)) {
        fail(ErrorCode::kUsage,
             "{} holds what is read, {}: writing it would destroy that; choose another "
             "output folder",
             target.string(), input.string());
      }
    }
  }
}

// The name under which FT's config.ini knows the input folder: as it was given, in one line.
std::string model_name(const ConvertOptions& options) {
  std::string name = options.input_dir.string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  return name;
}

}  // namespace

ConvertReport convert(const ConvertOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const DType to = parse_data_type(options.data_type);
  const Checkpoint checkpoint = open_checkpoint(options.input_dir);
  check_options(options, checkpoint.config);
  log_warnings(checkpoint.config);
  if (const size_t end_ids = checkpoint.config.end_ids.size(); end_ids > 1) {
    log::warn("an FT folder holds one end id: {} is written, the model's {} other(s) are not",
              checkpoint.config.end_ids.front(), end_ids - 1);
  }
  const auto model = checkpoint.family->build(checkpoint.config, {});
  const std::vector<Slot> slots = model->slots();
  const std::vector<Job> jobs = plan_jobs(checkpoint, slots, options.tensor_para_size, options.by_shard);

  check_output(options, checkpoint);
  FtWriter writer(options.output_dir, options.tensor_para_size, options.force);
  ConvertReport report;
  Teller teller(checkpoint, slots, options);
  std::atomic<int64_t> total_bytes{0};
  parallel_for(std::min(options.processes, kMostThreads), static_cast<int64_t>(jobs.size()), [&](int64_t i) {
    const Job& job = jobs[i];
    const int64_t bytes = write_job(checkpoint, job, to, writer);
    total_bytes += bytes;
    teller.written(*job.slot);
  });
  report.tensors = static_cast<int64_t>(slots.size());
  report.files = static_cast<int64_t>(jobs.size());
  report.bytes = total_bytes;
  writer.write_ini({{"gpt", checkpoint.family->write_ft_config(checkpoint.config, model_name(options),
                                                               options.tensor_para_size, to)}});
  report.folder = writer.commit();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace bolide
