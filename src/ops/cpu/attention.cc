#include "ops/attention.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/gemm_kernels.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/parallel.h"
#include "ops/limits.h"

namespace bolide::cpu {
namespace {

constexpr int64_t kBlockKeys = 128;    // keys whose scores are held at once
constexpr int64_t kBlockQueries = 48;  // 4 register tiles of AVX-512, 8 of AVX2
constexpr int64_t kTaskQueries = 192;  // that share one conversion of keys and values into panels
constexpr int64_t kFewQueries = 4;     // fewer than this go query by query: nothing to share
constexpr int64_t kPanel = PackedMatrix::kPanelRows;

// Some queries of one head of one sequence.
struct Task {
  int64_t sequence, head;
  int64_t first, end;  // rows of q
};

// One thread's memory for prefill, 64-byte aligned as the register tiles want their weights.
struct Scratch {
  explicit Scratch(int64_t head_size)
      : memory(Tensor::allocate({2 * kBlockKeys * padded(head_size) + 2 * kBlockQueries * kBlockKeys +
                                 kTaskQueries * padded(head_size)},
                                DType::kF32)),
        keys(memory.as<float>()),
        values(keys + kBlockKeys * padded(head_size)),
        scores(values + kBlockKeys * padded(head_size)),
        weights(scores + kBlockQueries * kBlockKeys),
        queries(weights + kBlockQueries * kBlockKeys) {}
  static int64_t padded(int64_t head_size) { return (head_size + kPanel - 1) / kPanel * kPanel; }

  Tensor memory;
  float* keys;     // panels of 16 keys: [head_size][16]
  float* values;   // panels of 16 columns: [keys][16]
  float* scores;   // [kBlockQueries, kBlockKeys]
  float* weights;  // the same, rows interleaved
  float* queries;  // of the task, rows interleaved
};

class Attention {
 public:
  explicit Attention(const AttentionArgs& args)
      : args_(args),
        size_(args.kv.k.shape[3]),
        page_(args.kv.page_size()),
        row_bytes_(size_ * static_cast<int64_t>(size_of(args.kv.k.dtype))),
        dtype_(args.kv.k.dtype) {
    BOLIDE_CHECK(size_ >= 1 && size_ <= kMaxHeadSize, "head size {}", size_);
  }

  std::vector<Task> tasks() const {
    std::vector<Task> all;
    for (int64_t s = 0; s < static_cast<int64_t>(args_.kv_lengths.size()); ++s) {
      const int64_t end = args_.query_offsets[s + 1];
      for (int64_t h = 0; h < args_.heads; ++h)
        for (int64_t first = args_.query_offsets[s]; first < end; first += kTaskQueries)
          all.push_back({s, h, first, std::min(first + kTaskQueries, end)});
    }
    return all;
  }

  void run(const Task& task, std::optional<Scratch>& scratch) const {
    // By the sequence's queries, not the task's: a row's result must not depend on where tasks are cut.
    const int64_t queries = args_.query_offsets[task.sequence + 1] - args_.query_offsets[task.sequence];
    if (queries < kFewQueries) {
      for (int64_t t = task.first; t < task.end; ++t) decode(task, t);
    } else {
      if (!scratch) scratch.emplace(size_);
      prefill(task, *scratch);
    }
  }

 private:
  // Keys that query t sees.
  int64_t visible(const Task& task, int64_t t) const {
    return args_.kv_lengths[task.sequence] - (args_.query_offsets[task.sequence + 1] - 1 - t);
  }
  float slope(const Task& task) const {
    return args_.alibi_slopes.empty() ? 0.0f : args_.alibi_slopes.as<float>()[task.head];
  }
  float* q(const Task& task, int64_t t) const {
    return args_.q.as<float>() + t * args_.q.row_stride + task.head * size_;
  }
  float* y(const Task& task, int64_t t) const {
    return args_.y.as<float>() + t * args_.y.row_stride + task.head * size_;
  }
  // The rows of keys [first, first + count) and their values.
  void find_rows(const Task& task, int64_t first, int64_t count, const std::byte** k,
                 const std::byte** v) const {
    const PagedKv& kv = args_.kv;
    const int32_t* pages = kv.page_table.data() + task.sequence * kv.max_pages;
    const int64_t head = task.head / (args_.heads / kv.kv_heads());
    for (int64_t j = first; j < first + count; ++j) {
      const int64_t at = ((pages[j / page_] * kv.kv_heads() + head) * page_ + j % page_) * row_bytes_;
      *k++ = static_cast<const std::byte*>(kv.k.data) + at;
      *v++ = static_cast<const std::byte*>(kv.v.data) + at;
    }
  }

  // One query: a stream over the keys and values as they lie.
  void decode(const Task& task, int64_t t) const {
    alignas(64) float sum[kMaxHeadSize] = {};
    alignas(64) float scores[kBlockKeys];
    const std::byte *k[kBlockKeys], *v[kBlockKeys];
    SoftmaxState state;
    const int64_t length = visible(task, t);
    for (int64_t first = 0; first < length; first += kBlockKeys) {
      const int64_t count = std::min(kBlockKeys, length - first);
      find_rows(task, first, count, k, v);
      dot_keys(q(task, t), k, count, size_, dtype_, scores);
      const float rescale = softmax_row({.scores = scores,
                                         .visible = count,
                                         .width = kBlockKeys,
                                         .scale = args_.scale,
                                         .slope = slope(task),
                                         .distance = static_cast<float>(first - (length - 1))},
                                        state);
      add_values(scores, v, count, size_, dtype_, rescale, sum);
    }
    std::copy_n(sum, size_, y(task, t));
    scale_row(y(task, t), size_, 1 / state.sum);
  }

  // Many queries: a block of keys and values is brought into fp32 panels once, and the register tiles of
  // matmul then multiply Q K^T and P V. The sums live in y.
  void prefill(const Task& task, const Scratch& scratch) const;
  void pack_keys(const std::byte* const* rows, int64_t count, float* panels) const;
  void pack_values(const std::byte* const* rows, int64_t count, float* panels) const;

  const AttentionArgs& args_;
  int64_t size_, page_, row_bytes_;
  DType dtype_;
};

// y[rows, columns] (+)= x[rows, k] w^T, x interleaved by pack_rows() and w in fp32 panels of `k_stride` k.
void multiply(const TileKernels& kernels, const float* x, int64_t x_k, const float* w, int64_t w_k,
              int64_t rows, int64_t columns, int64_t k, float* y, int64_t y_stride, bool accumulate) {
  for (int64_t r = 0; r < rows; r += kernels.max_rows) {
    const int64_t count = std::min<int64_t>(kernels.max_rows, rows - r);
    for (int64_t c = 0; c < columns; c += kPanel) {
      Tile tile;
      tile.x = reinterpret_cast<const std::byte*>(x + r * x_k);
      tile.x_group = x_k * kernels.group * static_cast<int64_t>(sizeof(float));
      tile.w = reinterpret_cast<const std::byte*>(w + c * w_k);
      tile.w_panel = w_k * kPanel * static_cast<int64_t>(sizeof(float));
      tile.k = k;
      tile.y = y + r * y_stride + c;
      tile.y_stride = y_stride;
      tile.columns = columns - c;
      tile.accumulate = accumulate;
      tile.fetch[0] = tile.fetch[1] = tile.then_fetch[0] = tile.then_fetch[1] = tile.w;
      const bool two = columns - c > kPanel && kernels.wide[count];
      (two ? kernels.wide : kernels.narrow)[count](tile, static_cast<int>(count));
      if (two) c += kPanel;
    }
  }
}

void interleave_rows(const TileKernels& kernels, const float* x, int64_t stride, int64_t rows,
                     int64_t columns, float* out) {
  for (int64_t r = 0; r < rows; r += kernels.group)
    pack_rows(x + r * stride, stride, std::min<int64_t>(kernels.group, rows - r), columns, columns,
              kernels.group, out + r * columns);
}

// Keys as the weights of Q K^T: panels of 16 keys, [head_size][16].
void Attention::pack_keys(const std::byte* const* rows, int64_t count, float* panels) const {
  alignas(64) float stage[kPanel * kMaxHeadSize];
  for (int64_t j = 0; j < count; j += kPanel) {
    for (int64_t r = 0; r < kPanel; ++r) {
      // A key past the end repeats the last: finite, and masked later.
      convert_elements(rows[std::min(j + r, count - 1)], dtype_, stage + r * size_, DType::kF32,
                       static_cast<size_t>(size_));
    }
    interleave_panel(stage, size_, size_, panels + j * size_);
  }
}

// Values as the weights of P V: panels of 16 columns, [keys][16].
void Attention::pack_values(const std::byte* const* rows, int64_t count, float* panels) const {
  alignas(64) float row[kMaxHeadSize + kPanel] = {};
  for (int64_t j = 0; j < count; ++j) {
    convert_elements(rows[j], dtype_, row, DType::kF32, static_cast<size_t>(size_));
    for (int64_t c = 0; c < size_; c += kPanel)
      std::copy_n(row + c, kPanel, panels + (c * kBlockKeys + j * kPanel));
  }
}

void Attention::prefill(const Task& task, const Scratch& scratch) const {
  const TileKernels& kernels = tile_kernels(DType::kF32);
  const int64_t queries = task.end - task.first;
  for (int64_t b = 0; b < queries; b += kBlockQueries)
    interleave_rows(kernels, q(task, task.first + b), args_.q.row_stride,
                    std::min(kBlockQueries, queries - b), size_, scratch.queries + b * size_);
  std::vector<SoftmaxState> states(static_cast<size_t>(queries));
  const std::byte *k[kBlockKeys], *v[kBlockKeys];
  const int64_t length = visible(task, task.end - 1);
  for (int64_t first = 0; first < length; first += kBlockKeys) {
    const int64_t count = std::min(kBlockKeys, length - first);
    find_rows(task, first, count, k, v);
    pack_keys(k, count, scratch.keys);
    pack_values(v, count, scratch.values);
    for (int64_t b = 0; b < queries; b += kBlockQueries) {
      const int64_t rows = std::min(kBlockQueries, queries - b), t = task.first + b;
      // The last row sees most: no row of this block needs a key past that.
      const int64_t seen = std::min(count, visible(task, t + rows - 1) - first);
      if (seen <= 0) continue;
      const int64_t width = (seen + kPanel - 1) / kPanel * kPanel;
      multiply(kernels, scratch.queries + b * size_, size_, scratch.keys, size_, rows, width, size_,
               scratch.scores, kBlockKeys, false);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t sees = visible(task, t + r);
        SoftmaxState& state = states[static_cast<size_t>(b + r)];
        const bool started = state.sum != 0;
        const float rescale = softmax_row({.scores = scratch.scores + r * kBlockKeys,
                                           .visible = std::clamp<int64_t>(sees - first, 0, seen),
                                           .width = width,
                                           .scale = args_.scale,
                                           .slope = slope(task),
                                           .distance = static_cast<float>(first - (sees - 1))},
                                          state);
        if (started && rescale != 1) scale_row(y(task, t + r), size_, rescale);
      }
      interleave_rows(kernels, scratch.scores, kBlockKeys, rows, seen, scratch.weights);
      multiply(kernels, scratch.weights, seen, scratch.values, kBlockKeys, rows, size_, seen, y(task, t),
               args_.y.row_stride, first > 0);
    }
  }
  for (int64_t r = 0; r < queries; ++r)
    scale_row(y(task, task.first + r), size_, 1 / states[static_cast<size_t>(r)].sum);
}

}  // namespace

void kv_write(const Context& context, const KvWriteArgs& args) {
  const int64_t heads = args.k_pages.shape[1], page = args.k_pages.shape[2], size = args.k_pages.shape[3];
  const DType dtype = args.k_pages.dtype;
  const auto store = [&](const View& from, const View& pages, int64_t t, int64_t h) {
    const int64_t to = ((args.slots[t] / page * heads + h) * page + args.slots[t] % page) * size;
    convert_elements(from.as<float>() + t * from.row_stride + h * size, DType::kF32,
                     static_cast<std::byte*>(pages.data) + static_cast<size_t>(to) * size_of(dtype), dtype,
                     static_cast<size_t>(size));
  };
  const Context chosen = for_light_work(context, args.k.shape.count());
  parallel_ranges(chosen, static_cast<int64_t>(args.slots.size()), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        store(args.k, args.k_pages, t, h);
        store(args.v, args.v_pages, t, h);
      }
    }
  });
}

void attention(const Context& context, const AttentionArgs& args) {
  isa();
  const Attention op(args);
  const std::vector<Task> tasks = op.tasks();
  parallel_ranges(context, static_cast<int64_t>(tasks.size()), [&](int64_t begin, int64_t end) {
    std::optional<Scratch> scratch;
    for (int64_t i = begin; i < end; ++i) op.run(tasks[static_cast<size_t>(i)], scratch);
  });
}

}  // namespace bolide::cpu
