#include <algorithm>

#include "bolide/checkpoint.h"
#include "models/registry.h"
#include "runtime/check.h"
#include "runtime/memory.h"

namespace bolide {

CheckpointSummary inspect(const std::filesystem::path& model, const std::string& data_type,
                          int64_t batch_size, int64_t length) {
  if (batch_size < 1 || length < 1) {
    fail(ErrorCode::kUsage, "batch size {} and length {} must be 1 or more", batch_size, length);
  }
  const Checkpoint checkpoint = open_checkpoint(model);
  const ModelConfig& config = checkpoint.config;
  const DType dtype = data_type.empty() ? config.checkpoint_dtype : parse_data_type(data_type);
  CheckpointSummary summary{.format = checkpoint.format == CheckpointFormat::kFasterTransformer
                                          ? fmt::format("FasterTransformer {}-gpu", checkpoint.ft_ranks)
                                          : "Hugging Face",
                            .architecture = config.architecture,
                            .vocab_size = config.vocab_size,
                            .hidden_size = config.hidden_size,
                            .layers = config.layers,
                            .heads = config.heads,
                            .kv_heads = config.kv_heads,
                            .head_size = config.head_size,
                            .inter_size = config.inter_size,
                            .bos_id = config.bos_id,
                            .eos_id = config.eos_id};
  for (const std::string& name : checkpoint.source->names()) {
    const TensorInfo info = checkpoint.source->info(name);
    const int64_t bytes = info.shape.count() * static_cast<int64_t>(size_of(info.dtype));
    summary.tensors.push_back({name,
                               std::string(name_of(info.dtype)),
                               checkpoint.source->where(name),
                               {info.shape.extents().begin(), info.shape.extents().end()},
                               bytes});
    summary.file_bytes += bytes;
  }
  const auto built = checkpoint.family->build(config, {});
  const std::vector<Slot> slots = built->slots();
  for (const Slot& slot : slots) summary.parameters += slot.shape.count();
  summary.weight_bytes = weight_bytes(slots, {}, dtype);
  const KvCacheConfig cache{
      .layers = config.layers, .kv_heads = config.kv_heads, .head_size = config.head_size, .dtype = dtype};
  const int64_t pages = batch_size * ((length + cache.page_size - 1) / cache.page_size);
  summary.kv_bytes = pages * cache.page_bytes();
  // hidden, normed, delta and the larger of qkv + mixed and the MLP's inner width, a token; logits, a
  // sequence.
  const int64_t widest =
      std::max((config.heads + 2 * config.kv_heads) * config.head_size + config.heads * config.head_size,
               config.inter_size);
  summary.activation_bytes =
      4 * (batch_size * length * (3 * config.hidden_size + widest) + batch_size * config.vocab_size);
  summary.gpu_step_bytes =
      step_memory(config, {}, dtype,
                  std::min<int64_t>(batch_size * length, resolve_chunk_tokens(Device::kCuda, 0)) + batch_size,
                  batch_size)
          .total();
  return summary;
}

}  // namespace bolide
