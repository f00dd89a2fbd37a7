#include "models/registry.h"

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/rng.h"
#include "models/bloom.h"
#include "models/config.h"
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

// Decides whether the head is the token embedding, by what the checkpoint holds: a head that repeats the
// embedding is tied whatever the config says, one of its own is used, and of a tied pair either will do (its
// slot knows both names). What is missing or misshapen is left for check_complete().
//
// FT's BLOOM converter may write the tied head a second time, and transposed, when the input lists it;
// reading that file as [vocab, hidden] is what gave its users zero accuracy. So in an FT folder a head that
// is the embedding again, the other way round, is tied, too.
void settle_head(Checkpoint& checkpoint) {
  ModelConfig& config = checkpoint.config;
  const TensorSource& source = *checkpoint.source;
  const bool says_tied = std::exchange(config.tied_head, false);
  const auto model = checkpoint.family->build(config, {});
  const std::vector<Slot> slots = model->slots();
  const std::string embedding = find_name(source, source_of(slots.front(), checkpoint.format));
  const std::string head = find_name(source, source_of(slots.back(), checkpoint.format));
  if (embedding.empty() || head.empty()) {
    config.tied_head = says_tied;
    return;
  }
  const TensorInfo a = source.info(embedding), b = source.info(head);
  if (a.shape != slots.front().shape || a.shape != b.shape || !is_float(a.dtype) || !is_float(b.dtype))
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

Checkpoint open_ft(const fs::path& folder) {
  const Ini ini = read_ini(folder / "config.ini");
  const std::string where = (folder / "config.ini").string();
  Checkpoint checkpoint{.format = CheckpointFormat::kFasterTransformer,
                        .family = &find_family(ini, where),
                        .config = {},
                        .source = {}};
  ModelConfig& config = checkpoint.config;
  config = checkpoint.family->read_ft_config(ini, where);
  checkpoint.ft_ranks = static_cast<int>(ini_int(ini, "gpt", "tensor_para_size", 1, 4096, where));
  const std::string name = absolute_path(folder).filename().string();
  const std::string expected = std::to_string(checkpoint.ft_ranks) + "-gpu";
  if (name.ends_with("-gpu") && name != expected) {
    fail(ErrorCode::kCorrupt,
         "{} says tensor_para_size={}, but its folder is called {}: rename the folder to {} or restore its "
         "config.ini",
         where, checkpoint.ft_ranks, name, expected);
  }
  config.tied_head = false;  // until the folder shows that there is no such file
  const std::string head = ft_tensors(checkpoint.family->build(config, {})->slots()).back().name;
  config.tied_head = !path_exists(folder / (head + ".bin"));
  const auto model = checkpoint.family->build(config, {});
  checkpoint.source =
      open_ft_folder(folder, ft_tensors(model->slots()), checkpoint.ft_ranks, config.checkpoint_dtype);
  settle_head(checkpoint);
  return checkpoint;
}

// What the config files of a Hugging Face model say; `folder` is that of config.json.
ModelConfig read_hf_config(const Family& family, const Json& json, const fs::path& config_path) {
  refuse_quantized(json, config_path.string());
  ModelConfig config = family.read_hf_config(json, config_path.string());
  config.end_ids = read_end_ids(json, config_path, config.vocab_size, config.warnings);
  return config;
}

Checkpoint open_hf(const fs::path& folder) {
  const fs::path config_path = folder / "config.json";
  const JsonTree tree = read_json_file(config_path);
  const Json& json = *tree;
  Checkpoint checkpoint{.format = CheckpointFormat::kHuggingFace,
                        .family = &find_family(json, config_path.string()),
                        .config = {},
                        .source = {}};
  checkpoint.config = read_hf_config(*checkpoint.family, json, config_path);
  checkpoint.source = open_hf_folder(folder);
  settle_head(checkpoint);
  return checkpoint;
}

// A path that cannot be a model, with what to do about it.
[[noreturn]] void fail_no_folder(const fs::path& path) {
  const std::string name = path.string(), shown = printable(name);
  if (path_exists(path)) {
    fail(ErrorCode::kNotFound,
         "model folder not found: {} is a file: name the folder that holds its config.json", shown);
  }
  // owner/name, and neither is there as a folder.
  const auto is_word = [](std::string_view text) {
    return !text.empty() && text.front() != '.' && text.front() != '~' &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
               text.npos;
  };
  const size_t slash = name.find('/');
  if (slash != name.npos && is_word(std::string_view(name).substr(0, slash)) &&
      is_word(std::string_view(name).substr(slash + 1)) && !path_exists(name.substr(0, slash))) {
    fail(
        ErrorCode::kNotFound,
        "model folder not found: {}. That looks like a name on the Hugging Face hub: download it first, with "
        "`huggingface-cli download {} --local-dir {}` (newer versions: `hf download`), and name that folder",
        name, name, name.substr(slash + 1));
  }
  fail(ErrorCode::kNotFound, "model folder not found: {}", shown);
}

bool holds_model(const fs::path& folder) {
  return is_ft_folder(folder) || path_exists(folder / "config.json");
}

// A folder of models may have been meant: the parent of N-gpu folders, or one of the Hugging Face hub's
// cache, which has them in snapshots/.
[[noreturn]] void fail_no_model(const fs::path& folder) {
  for (const fs::path& parent : {folder, folder / "snapshots"}) {
    if (!is_folder(parent)) continue;
    for (const fs::path& path : list_folder(parent)) {
      if (holds_model(path)) {
        fail(ErrorCode::kNotFound, "{} is no model but holds some: name one of them, for example {}",
             printable(folder.string()), printable(path.string()));
      }
    }
  }
  fail(ErrorCode::kNotFound, "{} has neither config.json (Hugging Face) nor config.ini (FasterTransformer)",
       printable(folder.string()));
}

}  // namespace

const Family& find_family(const Json& config, std::string_view where) {
  if (!config.is_object())
    fail(ErrorCode::kCorrupt, "{}: not an object of settings, but of type {}", where, config.type_name());
  std::string named = json_get_or<std::string>(config, "model_type", "", where);
  for (const auto& name : json_get_or<std::vector<std::string>>(config, "architectures", {}, where)) {
    for (const Family* family : kFamilies)
      if (name == family->architecture) return *family;
    if (named.empty()) named = name;
  }
  for (const Family* family : kFamilies)
    if (named == family->model_type) return *family;
  if (named.empty()) {
    fail(ErrorCode::kCorrupt, "{} names no architecture: it has neither 'architectures' nor 'model_type'",
         where);
  }
  fail(ErrorCode::kUnsupported, "{}: architecture '{}' is not one that this version has (it has {})", where,
       printable(named), known_architectures());
}

const Family& find_family(const Ini& config, std::string_view where) {
  for (const Family* family : kFamilies)
    if (family->matches_ft(config)) return *family;
  fail(ErrorCode::kUnsupported, "{}: not an FT model that this version has (it has {})", where,
       known_architectures());
}

Checkpoint open_checkpoint(const fs::path& folder) {
  if (!is_folder(folder)) fail_no_folder(folder);
  if (!holds_model(folder)) fail_no_model(folder);
  Checkpoint checkpoint = is_ft_folder(folder) ? open_ft(folder) : open_hf(folder);
  const auto model = checkpoint.family->build(checkpoint.config, {});
  const std::vector<Slot> slots = model->slots();
  std::vector<std::string_view> ignored(checkpoint.family->ignored.begin(), checkpoint.family->ignored.end());
  // A tied head may be stored a second time.
  if (checkpoint.config.tied_head)
    ignored.push_back(checkpoint.format == CheckpointFormat::kHuggingFace ? "lm_head.weight"
                                                                          : "model.lm_head.weight");
  check_complete(*checkpoint.source, checkpoint.format, slots, ignored);
  const Slot& first = slots.front();
  const DType stored =
      checkpoint.source->info(find_name(*checkpoint.source, source_of(first, checkpoint.format))).dtype;
  checkpoint.config.checkpoint_dtype = stored == DType::kF64 ? DType::kF32 : stored;
  return checkpoint;
}

void log_warnings(const ModelConfig& config) {
  for (const std::string& warning : config.warnings) log::warn("{}", warning);
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
  if (!path_exists(path)) fail_no_folder(path);
  const fs::path file = is_folder(path) ? path / "config.json" : path;
  const JsonTree tree = read_json_file(file);
  const Json& json = *tree;
  const Family& family = find_family(json, file.string());
  return {&family, read_hf_config(family, json, file)};
}

ModelConfig read_model_config(const ModelOptions& options) {
  return options.dummy ? read_shape(options.path).second : open_checkpoint(options.path).config;
}

void check_model(const ModelOptions& options, const Dist& dist) {
  check_divides(read_model_config(options), dist);
}

namespace {

// The kernel ends a process that takes more memory than there is, without a word: say it before.
void check_memory(const Family& family, const ModelConfig& config, const ModelOptions& options,
                  const Context& context, const Dist& dist, DType dtype) {
  if (context.device != Device::kCpu || options.available_bytes <= 0) return;
  const std::vector<Dist> alone = {dist}, &ranks = options.sharing.empty() ? alone : options.sharing;
  int64_t wanted = 0;
  for (const Dist& rank : ranks) {
    const int64_t weights = weight_bytes(family.build(config, rank)->slots(), rank, dtype);
    // Beside them lies what the loader's threads are reading.
    wanted += weights + std::min(weights, load_staging_bytes(context.threads));
  }
  if (wanted <= options.available_bytes) return;
  fail(ErrorCode::kResource,
       "the model needs {} bytes of memory to load as {}{}, and {} are available: use a smaller --data-type, "
       "or more "
       "ranks (--tensor-para-size, --pipeline-para-size) on several machines",
       wanted, name_of(dtype),
       ranks.size() > 1 ? fmt::format(" in {} ranks on this machine", ranks.size()) : "",
       options.available_bytes);
}

}  // namespace

LoadedModel load_model(const ModelOptions& options, const Context& context, const Dist& dist) {
  const auto build = [&](const Family& family, const ModelConfig& config, const auto& load) {
    check_divides(config, dist);
    if (dist.tensor_rank == 0 && dist.pipeline_rank == 0) log_warnings(config);
    LoadedModel loaded;
    loaded.data_type = options.data_type.value_or(config.checkpoint_dtype);
    check_memory(family, config, options, context, dist, loaded.data_type);
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
