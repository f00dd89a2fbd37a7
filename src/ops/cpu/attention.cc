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
constexpr int64_t kTaskRows = 192;     // queries times heads that share one conversion of keys and values
constexpr int64_t kTaskHeads = 16;     // that share it, and one reading of the pages, at most
constexpr int64_t kTileRows = 12;      // of a register tile of AVX-512, two of AVX2
constexpr int64_t kFewQueries = 4;     // fewer than this go query by query: nothing to share
constexpr int64_t kPanel = PackedMatrix::kPanelRows;

// Some queries of one sequence, of neighbouring heads that have one key head.
struct Task {
  int64_t sequence, head, heads;
  int64_t first, end;  // rows of q
  int64_t queries() const { return end - first; }
};

// One thread's memory for prefill, 64-byte aligned as the register tiles want their weights.
struct Scratch {
  explicit Scratch(int64_t head_size)
      : memory(Tensor::allocate({2 * kBlockKeys * padded(head_size) + 2 * kBlockQueries * kBlockKeys +
                                 kTaskRows * padded(head_size)},
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

// Of a task: rows of one head, and what is known of them so far.
struct QueryBlock {
  int64_t head, first, rows;
  const float* q;        // interleaved
  SoftmaxState* states;  // [rows]
  bool begun = false;    // y has sums
};
struct KeyBlock {
  int64_t first, count;
};

class Attention {
 public:
  Attention(const AttentionArgs& args, int threads)
      : args_(args),
        size_(args.kv.k.shape[3]),
        page_(args.kv.page_size()),
        row_bytes_(size_ * static_cast<int64_t>(size_of(args.kv.k.dtype))),
        dtype_(args.kv.k.dtype),
        far_(args.position.relative.empty() ? 0 : args.position.relative.shape[1] / 2),
        window_(args.mask.window == 0 ? kNoWindow : static_cast<int32_t>(args.mask.window)) {
    BOLIDE_CHECK(size_ >= 1 && size_ <= kMaxHeadSize, "head size {}", size_);
    // As many heads of a group as leave each thread a task: what they share is read once.
    const int64_t group = args.heads / args.kv.kv_heads();
    int64_t tasks = 0;  // of one head each
    for (size_t s = 0; s < args.kv_lengths.size(); ++s)
      tasks += (args.query_offsets[s + 1] - args.query_offsets[s] + kTaskRows - 1) / kTaskRows * args.heads;
    task_heads_ = std::clamp<int64_t>(tasks / threads, 1, std::min(group, kTaskHeads));
  }

  std::vector<Task> tasks() const {
    std::vector<Task> all;
    const int64_t group = args_.heads / args_.kv.kv_heads();
    const int64_t most = std::max(kTaskRows / task_heads_ / kTileRows, int64_t{1}) * kTileRows;
    for (int64_t s = 0; s < std::ssize(args_.kv_lengths); ++s) {
      const int64_t end = args_.query_offsets[s + 1];
      for (int64_t h = 0; h < args_.heads; h += group)
        for (int64_t g = 0; g < group; g += task_heads_)
          for (int64_t first = args_.query_offsets[s]; first < end; first += most)
            all.push_back({s, h + g, std::min(task_heads_, group - g), first, std::min(first + most, end)});
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
  // The place of row t in its sequence.
  int32_t place(const Task& task, int64_t t) const {
    return static_cast<int32_t>(args_.kv_lengths[task.sequence] -
                                (args_.query_offsets[task.sequence + 1] - t));
  }
  BandMask mask(const Task& task) const {
    const AttentionMask& mask = args_.mask;
    return BandMask::of(mask.kind, window_, args_.kv_lengths[task.sequence],
                        mask.kind == MaskKind::kPrefix ? mask.prefix_lengths[task.sequence] : 0);
  }
  // The scores of a query at `place` against the keys from `first` on, of which there are `count` and it sees
  // those that the mask says.
  SoftmaxRow softmax_args(const BandMask& mask, int64_t head, int32_t place, int64_t first, int64_t count,
                          float* scores) const {
    const PositionBias& position = args_.position;
    return {.scores = scores,
            .begin = std::max<int64_t>(mask.begin(place) - first, 0),
            .end = std::min<int64_t>(mask.end(place) - first, count),
            .width = (count + kPanel - 1) / kPanel * kPanel,
            .scale = args_.scale,
            .slope = position.alibi_slopes.empty() ? 0.0f : position.alibi_slopes.as<float>()[head],
            .distance = static_cast<float>(first - place),
            .relative = position.relative.empty()
                            ? nullptr
                            : position.relative.as<float>() + head * position.relative.row_stride + far_,
            .far = far_,
            .soft_cap = args_.soft_cap};
  }
  float* q(int64_t head, int64_t t) const {
    return args_.q.as<float>() + t * args_.q.row_stride + head * size_;
  }
  float* y(int64_t head, int64_t t) const {
    return args_.y.as<float>() + t * args_.y.row_stride + head * size_;
  }
  // The rows of keys [first, first + count) and their values. Those before `begin`, which no query sees, may
  // lie in pages of other sequences: zeros stand for them.
  void find_rows(const Task& task, int64_t first, int64_t count, int64_t begin, const std::byte** k,
                 const std::byte** v) const {
    alignas(64) static constexpr std::byte kZeros[kMaxHeadSize * sizeof(float)] = {};
    const PagedKv& kv = args_.kv;
    const int32_t* pages = kv.page_table.data() + task.sequence * kv.max_pages;
    const int64_t head = task.head / (args_.heads / kv.kv_heads());
    for (int64_t j = first; j < first + count; ++j) {
      const int64_t at = ((pages[j / page_] * kv.kv_heads() + head) * page_ + j % page_) * row_bytes_;
      *k++ = j < begin ? kZeros : static_cast<const std::byte*>(kv.k.data) + at;
      *v++ = j < begin ? kZeros : static_cast<const std::byte*>(kv.v.data) + at;
    }
  }

  // One query: a stream over the keys and values as they lie, a block for all heads and then the next.
  void decode(const Task& task, int64_t t) const {
    alignas(64) float sums[kTaskHeads][kMaxHeadSize];
    alignas(64) float scores[kBlockKeys];
    const std::byte *k[kBlockKeys], *v[kBlockKeys];
    SoftmaxState states[kTaskHeads];
    const BandMask mask = this->mask(task);
    const int32_t place = this->place(task, t);
    for (int64_t h = 0; h < task.heads; ++h) std::fill_n(sums[h], size_, 0.0f);
    for (int64_t first = mask.begin(place); first < mask.end(place); first += kBlockKeys) {
      const int64_t count = std::min<int64_t>(kBlockKeys, mask.end(place) - first);
      find_rows(task, first, count, first, k, v);
      for (int64_t h = 0; h < task.heads; ++h) {
        dot_keys(q(task.head + h, t), k, count, size_, dtype_, scores);
        const float rescale =
            softmax_row(softmax_args(mask, task.head + h, place, first, count, scores), states[h]);
        add_values(scores, v, count, size_, dtype_, rescale, sums[h]);
      }
    }
    for (int64_t h = 0; h < task.heads; ++h) {
      float* to = y(task.head + h, t);
      std::copy_n(sums[h], size_, to);
      scale_row(to, size_, 1 / states[h].sum);
    }
  }

  // Many queries: a block of keys and values is brought into fp32 panels once, and the register tiles of
  // matmul then multiply Q K^T and P V. The sums live in y.
  void prefill(const Task& task, const Scratch& scratch) const;
  void prefill_block(const Task& task, const Scratch& scratch, const KeyBlock& keys, QueryBlock& block) const;
  void pack_keys(const std::byte* const* rows, int64_t count, float* panels) const;
  void pack_values(const std::byte* const* rows, int64_t count, float* panels) const;

  const AttentionArgs& args_;
  int64_t size_, page_, row_bytes_;
  DType dtype_;
  int64_t far_;
  int32_t window_;
  int64_t task_heads_;
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
  std::vector<SoftmaxState> states(static_cast<size_t>(task.heads * task.queries()));
  std::vector<QueryBlock> blocks;
  // Packed rows of a head are whole tiles, of which the last may be filled up.
  const int64_t head_rows = (task.queries() + kTileRows - 1) / kTileRows * kTileRows;
  for (int64_t h = 0; h < task.heads; ++h) {
    for (int64_t b = 0; b < task.queries(); b += kBlockQueries) {
      const int64_t rows = std::min(kBlockQueries, task.queries() - b), row = h * task.queries() + b;
      float* packed = scratch.queries + h * head_rows * Scratch::padded(size_) + b * size_;
      interleave_rows(kernels, q(task.head + h, task.first + b), args_.q.row_stride, rows, size_, packed);
      blocks.push_back({task.head + h, task.first + b, rows, packed, states.data() + row});
    }
  }
  const std::byte *k[kBlockKeys], *v[kBlockKeys];
  const BandMask mask = this->mask(task);
  const int64_t begin = mask.begin(place(task, task.first)), end = mask.end(place(task, task.end - 1));
  // Blocks begin where they would without a window: a row's sums do not depend on where its task begins.
  for (int64_t first = begin / kBlockKeys * kBlockKeys; first < end; first += kBlockKeys) {
    const KeyBlock keys = {first, std::min(kBlockKeys, end - first)};
    find_rows(task, first, keys.count, begin, k, v);
    pack_keys(k, keys.count, scratch.keys);
    pack_values(v, keys.count, scratch.values);
    for (QueryBlock& block : blocks) prefill_block(task, scratch, keys, block);
  }
  for (const QueryBlock& block : blocks)
    for (int64_t r = 0; r < block.rows; ++r)
      scale_row(y(block.head, block.first + r), size_, 1 / block.states[r].sum);
}

void Attention::prefill_block(const Task& task, const Scratch& scratch, const KeyBlock& keys,
                              QueryBlock& block) const {
  const TileKernels& kernels = tile_kernels(DType::kF32);
  const BandMask mask = this->mask(task);
  const int32_t place = this->place(task, block.first);
  const int32_t last = place + static_cast<int32_t>(block.rows) - 1;
  // The last row's keys end last, and the first row's begin first.
  const int64_t seen = std::min<int64_t>(keys.count, mask.end(last) - keys.first);
  if (seen <= 0 || mask.begin(place) >= keys.first + seen) return;
  const int64_t width = (seen + kPanel - 1) / kPanel * kPanel;
  multiply(kernels, block.q, size_, scratch.keys, size_, block.rows, width, size_, scratch.scores, kBlockKeys,
           false);
  for (int64_t r = 0; r < block.rows; ++r) {
    SoftmaxState& state = block.states[r];
    const bool started = state.sum != 0;
    const float rescale = softmax_row(softmax_args(mask, block.head, place + static_cast<int32_t>(r),
                                                   keys.first, seen, scratch.scores + r * kBlockKeys),
                                      state);
    if (started && rescale != 1) scale_row(y(block.head, block.first + r), size_, rescale);
  }
  interleave_rows(kernels, scratch.scores, kBlockKeys, block.rows, seen, scratch.weights);
  multiply(kernels, scratch.weights, seen, scratch.values, kBlockKeys, block.rows, size_, seen,
           y(block.head, block.first), args_.y.row_stride, block.begun);
  block.begun = true;
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
  const Attention op(args, context.threads);
  const std::vector<Task> tasks = op.tasks();
  parallel_ranges(context, static_cast<int64_t>(tasks.size()), [&](int64_t begin, int64_t end) {
    std::optional<Scratch> scratch;
    for (int64_t i = begin; i < end; ++i) op.run(tasks[static_cast<size_t>(i)], scratch);
  });
}

}  // namespace bolide::cpu
