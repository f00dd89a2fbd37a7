#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>

#include "base/log.h"
#include "base/parallel.h"
#include "bolide/checkpoint.h"
#include "checkpoint/ft_writer.h"
#include "models/load_model.h"
#include "models/open_checkpoint.h"
#include "weights/block_plan.h"
#include "weights/value_check.h"

namespace bolide {
namespace {

// A weight, the tensors of the checkpoint that hold it, and its files in an FT folder.
struct FtWeight {
  WeightSpec spec;
  std::vector<std::pair<WeightSource, std::string>> sources;  // with the name that the checkpoint has
  std::string name;                                           // of the files
  Shape shape;                                                // of all of them, rejoined
  bool transposed;                                            // [in, out] there
  // An embedding or a head: the largest by far, and rows of a read are rows of the file.
  bool embedding() const { return spec.is_matrix() && !transposed; }
};

std::vector<FtWeight> plan_weights(const Checkpoint& checkpoint, const FtFormat& ft) {
  std::vector<FtWeight> weights;
  for (const WeightSpec& spec : checkpoint.family->build(checkpoint.config, {})->weights()) {
    const std::vector<WeightSource> files = sources_of(spec, ft.names);
    BOLIDE_CHECK(files.size() == 1, "FT holds '{}' in several tensors", spec.name);
    FtWeight& weight = weights.emplace_back(FtWeight{.spec = spec,
                                                     .sources = {},
                                                     .name = files[0].names.front(),
                                                     .shape = stored_shape(spec, files[0]),
                                                     .transposed = files[0].layout != Layout::kAsIs});
    for (WeightSource& source : sources_of(spec, checkpoint.names())) {
      std::string name = find_name(*checkpoint.source, source);
      weight.sources.emplace_back(std::move(source), std::move(name));
    }
  }
  return weights;
}

// One file to write: a weight, for one rank (or for all, rank -1).
struct Job {
  const FtWeight* weight;
  Dist dist;
  int rank;
};

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

// Puts one piece of a read where it belongs in the file [in, out] (matrix) or [out] (vector) of this rank.
void place(const BlockRead& read, const BlockRead::Piece& piece, const std::byte* data, DType from,
           std::byte* file, DType to, int64_t width) {
  const std::byte* block = data + static_cast<size_t>(piece.offset) * size_of(from);
  if (piece.cols == 1 && width == 0) {
    convert_elements(block, from, file + static_cast<size_t>(piece.row0) * size_of(to), to,
                     static_cast<size_t>(piece.rows));
  } else if (read.transposed) {  // already [in, out]: rows of the read are rows of the file
    for (int64_t i = 0; i < piece.rows; ++i) {
      convert_elements(block + static_cast<size_t>(i * piece.row_stride) * size_of(from), from,
                       file + static_cast<size_t>((piece.col0 + i) * width + piece.row0) * size_of(to), to,
                       static_cast<size_t>(piece.cols));
    }
  } else {
    const int64_t first = piece.col0 * width + piece.row0;
    if (size_of(to) == 2) {
      transpose_tiles(block, piece.row_stride, piece.rows, piece.cols, from, to,
                      reinterpret_cast<uint16_t*>(file) + first, width);
    } else {
      transpose_tiles(block, piece.row_stride, piece.rows, piece.cols, from, to,
                      reinterpret_cast<uint32_t*>(file) + first, width);
    }
  }
}

constexpr int64_t kBlockElements = int64_t{4} << 20;
// More have nothing to gain, and each has a whole file in memory.
constexpr int kMaxThreads = 256;

// Reads what the job's file holds block by block and writes the file. An embedding goes straight through; all
// other matrices are turned in memory first, since a row of the input is a column of the file.
int64_t write_job(const Checkpoint& checkpoint, const Job& job, DType to, FtWriter& writer) {
  const TensorSource& source = *checkpoint.source;
  const WeightSpec& spec = job.weight->spec;
  const bool straight = job.weight->embedding();
  const Shape local = local_shape(spec, job.dist);
  FtFile file = writer.create(job.weight->name, job.rank);
  std::vector<std::byte> staging, content;
  if (!straight) content.resize(static_cast<size_t>(local.count()) * size_of(to));
  const int64_t width = spec.is_matrix() ? local[0] : 0;
  for (const auto& [stored, name] : job.weight->sources) {
    const DType from = source.info(name).dtype;
    for (const BlockRead& read : plan_blocks(spec, stored, job.dist, kBlockElements)) {
      const size_t count = static_cast<size_t>(read.shape.count());
      staging.resize(count * size_of(from));
      source.read(name, read.slice, staging.data());
      check_values(source, name, read.slice, staging.data(), to);
      if (straight) {
        content.resize(count * size_of(to));
        convert_elements(staging.data(), from, content.data(), to, count);
        file.append(content);
      } else {
        for (const BlockRead::Piece& piece : read.pieces)
          place(read, piece, staging.data(), from, content.data(), to, width);
      }
    }
  }
  if (!straight) file.append(content);
  file.close();
  return local.count() * static_cast<int64_t>(size_of(to));
}

// Tells of tensors in the order of the weights, each once all of its files are written. Thread-safe.
class Teller {
 public:
  Teller(const Checkpoint& checkpoint, std::span<const FtWeight> weights, const ConvertOptions& options)
      : checkpoint_(checkpoint), weights_(weights), options_(options) {
    for (const FtWeight& weight : weights)
      files_left_.push_back(weight.spec.is_split() ? options.tensor_para_size : 1);
  }

  void written(const FtWeight& weight) {
    std::lock_guard lock(mutex_);
    --files_left_[static_cast<size_t>(&weight - weights_.data())];
    for (; next_ < weights_.size() && files_left_[next_] == 0; ++next_)
      if (options_.on_tensor) options_.on_tensor(describe(next_));
  }

 private:
  ConvertedTensor describe(size_t index) const {
    const FtWeight& weight = weights_[index];
    const bool split = weight.spec.is_split();
    ConvertedTensor tensor{.name = weight.name,
                           .shape = {weight.shape.extents().begin(), weight.shape.extents().end()},
                           .split = split,
                           .file = FtFile::name(weight.name, split ? 0 : -1),
                           .source = checkpoint_.source->where(weight.sources.front().second),
                           .index = static_cast<int64_t>(index),
                           .count = static_cast<int64_t>(weights_.size())};
    if (weight.spec.shard == Shard::kOut) tensor.shape.back() /= options_.tensor_para_size;
    if (weight.spec.shard == Shard::kIn) tensor.shape.front() /= options_.tensor_para_size;
    return tensor;
  }

  const Checkpoint& checkpoint_;
  std::span<const FtWeight> weights_;
  const ConvertOptions& options_;
  std::mutex mutex_;
  std::vector<int> files_left_;  // of each weight
  size_t next_ = 0;              // weight to tell of
};

std::vector<Job> plan_jobs(const Checkpoint& checkpoint, std::span<const FtWeight> weights, int ranks,
                           bool by_shard) {
  std::vector<Job> jobs;
  for (const FtWeight& weight : weights) {
    if (!weight.spec.is_split()) {
      jobs.push_back({&weight, {}, -1});
      continue;
    }
    for (int rank = 0; rank < ranks; ++rank)
      jobs.push_back({&weight, {.tensor_size = ranks, .tensor_rank = rank}, rank});
  }
  const auto file_of = [&](const Job& job) {
    return checkpoint.source->where(job.weight->sources.front().second);
  };
  auto first = [&](const Job& a, const Job& b) {
    if (by_shard) return file_of(a) < file_of(b);
    // Embedding and head go first, so that the workers end together.
    return a.weight->embedding() && !b.weight->embedding();
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
  if (!checkpoint.family->ft) {
    fail(ErrorCode::kUnsupported,
         "FasterTransformer has no files for {}: run the Hugging Face folder itself, with any -tp and -pp",
         checkpoint.config.architecture);
  }
  const FtFormat& ft = *checkpoint.family->ft;
  // Before anything is written: it may find that FT cannot run the model.
  const auto ini = ft.write_config(checkpoint.config, model_name(options), options.tensor_para_size, to);
  check_options(options, checkpoint.config);
  log_warnings(checkpoint.config);
  if (const size_t end_ids = checkpoint.config.end_ids.size(); end_ids > 1) {
    log::warn("an FT folder holds one end id: {} is written, the model's {} other(s) are not",
              checkpoint.config.end_ids.front(), end_ids - 1);
  }
  const std::vector<FtWeight> weights = plan_weights(checkpoint, ft);
  const std::vector<Job> jobs = plan_jobs(checkpoint, weights, options.tensor_para_size, options.by_shard);

  check_output(options, checkpoint);
  FtWriter writer(options.output_dir, options.tensor_para_size, options.force);
  ConvertReport report;
  Teller teller(checkpoint, weights, options);
  std::atomic<int64_t> total_bytes{0};
  parallel_for(std::min(options.processes, kMaxThreads), static_cast<int64_t>(jobs.size()), [&](int64_t i) {
    const Job& job = jobs[i];
    const int64_t bytes = write_job(checkpoint, job, to, writer);
    total_bytes += bytes;
    teller.written(*job.weight);
  });
  report.tensors = static_cast<int64_t>(weights.size());
  report.files = static_cast<int64_t>(jobs.size());
  report.bytes = total_bytes;
  writer.write_ini({{"gpt", ini}});
  report.folder = writer.commit();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace bolide
