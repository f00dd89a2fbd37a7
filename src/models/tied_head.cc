#include "models/tied_head.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "base/rng.h"
#include "models/decoder.h"

namespace bolide {
namespace {

float read_element(const TensorSource& source, const std::string& name, int64_t row, int64_t col) {
  const TensorInfo info = source.info(name);
  Slice one = Slice::along(info.shape, 0, row, row + 1);
  one.begin[1] = col;
  one.end[1] = col + 1;
  std::array<std::byte, 8> raw{};
  source.read(name, one, raw.data());
  float value = 0;
  convert_elements(raw.data(), info.dtype, &value, DType::kF32, 1);
  return value;
}

// Whether sampled elements of `head` are those of `embedding`, or (`turned`) of its transpose.
bool samples_agree(const TensorSource& source, const std::string& embedding, const std::string& head,
                   bool turned) {
  const Shape shape = source.info(embedding).shape;
  const int64_t vocab = shape[0], hidden = shape[1];
  constexpr uint32_t kSamples = 128;
  for (uint32_t i = 0; i < kSamples; ++i) {
    const auto words = philox4x32(0, {i, 0, 0, 0});
    const int64_t row = words[0] % vocab, col = words[1] % hidden;
    const int64_t place = turned ? col * vocab + row : row * hidden + col;
    if (read_element(source, head, place / hidden, place % hidden) !=
        read_element(source, embedding, row, col))
      return false;
  }
  return true;
}

// Whether two matrices of one shape hold the same numbers. Unlike ones end at the first sample that differs;
// equal ones are read whole, since a head may differ in the rows of a few ids alone.
bool same_values(const TensorSource& source, const std::string& a, const std::string& b) {
  const TensorInfo first = source.info(a), second = source.info(b);
  if (!samples_agree(source, a, b, false)) return false;
  const int64_t rows = first.shape[0], cols = first.shape[1];
  const int64_t block = std::max<int64_t>(1, (int64_t{1} << 18) / cols);
  std::vector<std::byte> raw[2];
  std::vector<float> values[2];
  for (int64_t row = 0; row < rows; row += block) {
    const Slice slice = Slice::along(first.shape, 0, row, std::min(rows, row + block));
    const auto count = static_cast<size_t>((slice.end[0] - row) * cols);
    for (const int i : {0, 1}) {
      raw[i].resize(count * size_of((i == 0 ? first : second).dtype));
      source.read(i == 0 ? a : b, slice, raw[i].data());
    }
    if (first.dtype == second.dtype && raw[0] == raw[1]) continue;
    for (const int i : {0, 1}) {
      values[i].resize(count);
      convert_elements(raw[i].data(), (i == 0 ? first : second).dtype, values[i].data(), DType::kF32, count);
    }
    if (values[0] != values[1]) return false;
  }
  return true;
}

}  // namespace

void settle_head(Checkpoint& checkpoint) {
  ModelConfig& config = checkpoint.config;
  const TensorSource& source = *checkpoint.source;
  const bool says_tied = std::exchange(config.tied_head, false);
  const auto model = checkpoint.family->build(config, {});
  const std::vector<WeightSpec> specs = model->weights();
  const auto find = [&](std::string_view canonical) {
    return std::find_if(specs.begin(), specs.end(),
                        [&](const WeightSpec& spec) { return spec.name == canonical; });
  };
  const auto embedding_spec = find(kEmbeddingName), head_spec = find(kHeadName);
  if (embedding_spec == specs.end() || head_spec == specs.end()) return;
  const auto stored = [&](const WeightSpec& spec) {
    return find_name(source, sources_of(spec, checkpoint.names()).front());
  };
  const std::string embedding = stored(*embedding_spec), head = stored(*head_spec);
  if (embedding.empty() || head.empty()) {
    config.tied_head = says_tied;
    return;
  }
  const TensorInfo a = source.info(embedding), b = source.info(head);
  if (a.shape != embedding_spec->shape || a.shape != b.shape || !is_float(a.dtype) || !is_float(b.dtype))
    return;
  config.tied_head =
      same_values(source, embedding, head) || (checkpoint.format == CheckpointFormat::kFasterTransformer &&
                                               samples_agree(source, embedding, head, true));
  if (config.tied_head) {
    log::debug("{} repeats {}: the head is tied", head, embedding);
  } else if (says_tied && checkpoint.format == CheckpointFormat::kHuggingFace) {
    config.warnings.push_back(fmt::format(
        "the config ties the head to the token embedding, but '{}' in {} is another matrix: it is used, as "
        "in transformers (\"tie_word_embeddings\": false says so)",
        head, source.where(head)));
  }
}

}  // namespace bolide
