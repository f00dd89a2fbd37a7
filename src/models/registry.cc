#include "models/registry.h"

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "models/bloom.h"
#include "weights/block_plan.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;

const Family* const kFamilies[] = {&kBloomFamily};

std::string known_architectures() {
  std::string names;
  for (const Family* family : kFamilies)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", family->architecture);
  return names;
}

constexpr const char* kFtHead = "model.lm_head.weight";

// What FT's files look like for this model: shapes and split axes follow from the slots.
std::vector<FtTensor> ft_tensors(std::span<const Slot> slots) {
  std::vector<FtTensor> tensors;
  for (const Slot& slot : slots) {
    const Shape shape = source_shape(slot, slot.ft.layout);
    int split = -1;
    if (slot.shard == Shard::kOut) split = shape.rank() - 1;
    if (slot.shard == Shard::kIn) split = 0;
    tensors.push_back({slot.ft.names.front(), shape, split});
  }
  return tensors;
}

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

// FT's BLOOM converter writes the tied head a second time, and transposed, when the input lists it; reading
// that file as [vocab, hidden] is what gave its users zero accuracy. True when the file is the embedding
// again, either way round.
bool ft_head_is_copy(const TensorSource& source, const std::string& embedding) {
  const Shape shape = source.info(kFtHead).shape;
  const int64_t vocab = shape[0], hidden = shape[1];
  constexpr int kSamples = 128;
  bool same = true, transposed = true;
  for (uint32_t i = 0; i < kSamples && (same || transposed); ++i) {
    const auto words = philox4x32(0, {i, 0, 0, 0});
    const int64_t row = words[0] % vocab, col = words[1] % hidden;
    const float wanted = read_element(source, embedding, row, col);
    const int64_t turned = col * vocab + row;  // its place in a [hidden, vocab] file
    same = same && read_element(source, kFtHead, row, col) == wanted;
    transposed = transposed && read_element(source, kFtHead, turned / hidden, turned % hidden) == wanted;
  }
  return same || transposed;
}

Checkpoint open_ft(const fs::path& folder) {
  const Ini ini = read_ini(folder / "config.ini");
  const std::string where = (folder / "config.ini").string();
  Checkpoint checkpoint{.format = CheckpointFormat::kFasterTransformer,
                        .family = &find_family(ini, where),
                        .config = {},
                        .source = {}};
  checkpoint.config = checkpoint.family->read_ft_config(ini, where);
  checkpoint.ft_ranks = static_cast<int>(ini_int(ini, "gpt", "tensor_para_size", 1, 4096, where));
  const std::string name = absolute_path(folder).filename().string();
  const std::string expected = std::to_string(checkpoint.ft_ranks) + "-gpu";
  if (name.ends_with("-gpu") && name != expected) {
    fail(ErrorCode::kCorrupt,
         "{} says tensor_para_size={}, but its folder is called {}: rename the folder to {} or restore its "
         "config.ini",
         where, checkpoint.ft_ranks, name, expected);
  }
  checkpoint.config.tied_head = !path_exists(folder / (std::string(kFtHead) + ".bin"));
  const auto model = checkpoint.family->build(checkpoint.config, {});
  const std::vector<Slot> slots = model->slots();
  checkpoint.source =
      open_ft_folder(folder, ft_tensors(slots), checkpoint.ft_ranks, checkpoint.config.checkpoint_dtype);
  if (!checkpoint.config.tied_head && ft_head_is_copy(*checkpoint.source, slots.front().ft.names.front())) {
    log::debug("{} repeats the token embedding: the head is tied", kFtHead);
    checkpoint.config.tied_head = true;
  }
  return checkpoint;
}

Checkpoint open_hf(const fs::path& folder) {
  const fs::path config_path = folder / "config.json";
  const JsonTree tree = read_json_file(config_path);
  const Json& json = *tree;
  Checkpoint checkpoint{.format = CheckpointFormat::kHuggingFace,
                        .family = &find_family(json, config_path.string()),
                        .config = {},
                        .source = {}};
  checkpoint.config = checkpoint.family->read_hf_config(json, config_path.string());
  checkpoint.source = open_hf_folder(folder);
  return checkpoint;
}

}  // namespace

int64_t ini_int(const Ini& ini, const std::string& section, const std::string& key, int64_t low, int64_t high,
                std::string_view where) {
  const std::string text = ini_text(ini, section, key, where);
  size_t used = 0;
  int64_t value = 0;
  try {
    value = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || value < low || value > high) {
    fail(ErrorCode::kCorrupt, "{}: [{}] {}={} is not a whole number from {} to {}", where, section, key, text,
         low, high);
  }
  return value;
}

std::string ini_text(const Ini& ini, const std::string& section, const std::string& key,
                     std::string_view where) {
  const auto found = ini.find(section);
  if (found == ini.end()) fail(ErrorCode::kCorrupt, "{}: section [{}] is missing", where, section);
  const auto value = found->second.find(key);
  if (value == found->second.end())
    fail(ErrorCode::kCorrupt, "{}: [{}] has no key '{}'", where, section, key);
  return value->second;
}

const Family& find_family(const Json& config, std::string_view where) {
  std::string named = json_get_or<std::string>(config, "model_type", "", where);
  for (const auto& name : json_get_or<std::vector<std::string>>(config, "architectures", {}, where)) {
    for (const Family* family : kFamilies)
      if (name == family->architecture) return *family;
    if (named.empty()) named = name;
  }
  for (const Family* family : kFamilies)
    if (named == family->model_type) return *family;
  fail(ErrorCode::kUnsupported, "{}: architecture '{}' is not one that this version has (it has {})", where,
       named, known_architectures());
}

const Family& find_family(const Ini& config, std::string_view where) {
  for (const Family* family : kFamilies)
    if (family->matches_ft(config)) return *family;
  fail(ErrorCode::kUnsupported, "{}: not an FT model that this version has (it has {})", where,
       known_architectures());
}

Checkpoint open_checkpoint(const fs::path& folder) {
  if (!is_folder(folder))
    fail(ErrorCode::kNotFound, "model folder {} is not there", printable(folder.string()));
  if (!is_ft_folder(folder) && !path_exists(folder / "config.json")) {
    for (const fs::path& path : list_folder(folder)) {
      if (is_ft_folder(path)) {
        fail(ErrorCode::kNotFound, "{} holds FT folders: name one of them, for example {}", folder.string(),
             path.string());
      }
    }
    fail(ErrorCode::kNotFound, "{} has neither config.json (Hugging Face) nor config.ini (FasterTransformer)",
         folder.string());
  }
  Checkpoint checkpoint = is_ft_folder(folder) ? open_ft(folder) : open_hf(folder);
  const auto model = checkpoint.family->build(checkpoint.config, {});
  const std::vector<Slot> slots = model->slots();
  std::vector<std::string_view> ignored(checkpoint.family->ignored.begin(), checkpoint.family->ignored.end());
  // Hugging Face, too, uses the embedding when the config ties them, whatever lm_head.weight holds.
  if (checkpoint.config.tied_head)
    ignored.push_back(checkpoint.format == CheckpointFormat::kHuggingFace ? "lm_head.weight" : kFtHead);
  check_complete(*checkpoint.source, checkpoint.format, slots, ignored);
  const Slot& first = slots.front();
  const DType stored =
      checkpoint.source->info(find_name(*checkpoint.source, source_of(first, checkpoint.format))).dtype;
  checkpoint.config.checkpoint_dtype = stored == DType::kF64 ? DType::kF32 : stored;
  return checkpoint;
}

int64_t weight_bytes(std::span<const Slot> slots, const Dist& dist, DType dtype) {
  int64_t bytes = 0;
  for (const Slot& slot : slots) {
    const Shape shape = local_shape(slot, dist);
    if (slot.is_matrix()) {
      constexpr int64_t kPanel = PackedMatrix::kPanelRows;
      bytes += (shape[0] + kPanel - 1) / kPanel * kPanel * PackedMatrix::padded_cols(shape[1], dtype) *
               static_cast<int64_t>(size_of(dtype));
    } else {
      bytes += shape.count() * 4;
    }
  }
  return bytes;
}

void check_divides(const ModelConfig& config, const Dist& dist) {
  const auto check = [&](const char* what, int64_t count) {
    if (count % dist.tensor_size == 0) return;
    std::string good;
    for (int64_t size = 1; size <= std::min<int64_t>(config.heads, 64); ++size)
      if (config.heads % size == 0 && config.kv_heads % size == 0 && config.inter_size % size == 0)
        good += fmt::format("{}{}", good.empty() ? "" : ", ", size);
    fail(ErrorCode::kUsage, "--tensor-para-size {} does not divide the model's {} {}: use one of {}",
         dist.tensor_size, count, what, good);
  };
  check("heads", config.heads);
  check("key and value heads", config.kv_heads);
  check("inner units", config.inter_size);
  if (config.layers < dist.pipeline_size) {
    fail(ErrorCode::kUsage, "--pipeline-para-size {} is more than the model's {} layers: use at most {}",
         dist.pipeline_size, config.layers, config.layers);
  }
}

// From a config.json alone.
std::pair<const Family*, ModelConfig> read_shape(const fs::path& path) {
  const fs::path file = is_folder(path) ? path / "config.json" : path;
  const JsonTree tree = read_json_file(file);
  const Json& json = *tree;
  const Family& family = find_family(json, file.string());
  return {&family, family.read_hf_config(json, file.string())};
}

ModelConfig read_model_config(const ModelOptions& options) {
  return options.dummy ? read_shape(options.path).second : open_checkpoint(options.path).config;
}

void check_model(const ModelOptions& options, const Dist& dist) {
  check_divides(read_model_config(options), dist);
}

LoadedModel load_model(const ModelOptions& options, const Context& context, const Dist& dist) {
  const auto build = [&](const Family& family, const ModelConfig& config, const auto& load) {
    check_divides(config, dist);
    LoadedModel loaded;
    loaded.data_type = options.data_type.value_or(config.checkpoint_dtype);
    loaded.model = family.build(config, dist);
    const std::vector<Slot> slots = loaded.model->slots();
    Context typed = context;
    typed.activation = activation_dtype(context.device, loaded.data_type);
    load(typed, slots, loaded.data_type);
    loaded.model->prepare(typed);
    loaded.weight_bytes = weight_bytes(slots, dist, loaded.data_type);
    return loaded;
  };
  if (options.dummy) {
    const auto shape = read_shape(options.path);
    return build(*shape.first, shape.second,
                 [&](const Context& typed, const std::vector<Slot>& slots, DType dtype) {
                   load_dummy_weights(typed, slots, dist, dtype, options.dummy_seed, options.on_load);
                 });
  }
  const Checkpoint checkpoint = open_checkpoint(options.path);
  return build(*checkpoint.family, checkpoint.config,
               [&](const Context& typed, const std::vector<Slot>& slots, DType dtype) {
                 load_weights(typed, *checkpoint.source, checkpoint.format, slots, dist, dtype,
                              options.on_load);
               });
}

}  // namespace bolide
