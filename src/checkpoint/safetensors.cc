// safetensors: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, then
// one buffer that the tensors cover without hole or overlap.
#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/json.h"
#include "checkpoint/diagnostics.h"
#include "checkpoint/file_source.h"

namespace bolide {
namespace {

static_assert(std::endian::native == std::endian::little, "checkpoint files are little-endian");

// The format's own bound; real headers stay under 10 MB.
constexpr uint64_t kMaxHeader = 100'000'000;

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin, end;  // in the buffer after the header
};

std::optional<DType> parse_dtype(std::string_view name) {
  constexpr std::pair<std::string_view, DType> kNames[] = {
      {"F32", DType::kF32}, {"F16", DType::kF16},  {"BF16", DType::kBF16}, {"F64", DType::kF64},
      {"I64", DType::kI64}, {"I32", DType::kI32},  {"I16", DType::kI16},   {"I8", DType::kI8},
      {"U8", DType::kU8},   {"BOOL", DType::kBool}};
  for (const auto& [text, dtype] : kNames)
    if (text == name) return dtype;
  return std::nullopt;
}

// The JSON array `key` as numbers from 0 to 2^63 - 1.
std::vector<int64_t> numbers(const Json& object, std::string_view key, const std::string& what) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array())
    fail(ErrorCode::kCorrupt, "{}: '{}' is missing or no list", what, key);
  std::vector<int64_t> values;
  for (const Json& value : *found) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
      fail(ErrorCode::kCorrupt, "{}: '{}' holds something else than sizes", what, key);
    values.push_back(value.get<int64_t>());
  }
  return values;
}

Entry parse_entry(const std::string& name, const Json& value, uint64_t buffer, const std::string& where) {
  const std::string what = fmt::format("{}: tensor '{}'", where, printable(name));
  if (value.is_binary()) fail(ErrorCode::kCorrupt, "{} {}", what, json_remark(value));
  if (!value.is_object()) fail(ErrorCode::kCorrupt, "{} is not described by an object", what);
  const auto dtype_name = json_get<std::string>(value, "dtype", what);
  const std::optional<DType> dtype = parse_dtype(dtype_name);
  if (!dtype) {
    fail(ErrorCode::kUnsupported,
         "{} has the unknown dtype '{}': Bolide reads F32, F16, BF16, F64, I64, I32, "
         "I16, I8, U8 and BOOL",
         what, printable(dtype_name));
  }
  const std::vector<int64_t> extents = numbers(value, "shape", what);
  if (extents.size() > Shape::kMaxRank) {
    fail(ErrorCode::kUnsupported, "{} has {} dimensions, more than the {} that Bolide reads", what,
         extents.size(), Shape::kMaxRank);
  }
  const std::vector<int64_t> offsets = numbers(value, "data_offsets", what);
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    fail(ErrorCode::kCorrupt, "{}: 'data_offsets' is not a range", what);
  Entry entry{name, *dtype, Shape(extents), static_cast<uint64_t>(offsets[0]),
              static_cast<uint64_t>(offsets[1])};
  if (entry.end > buffer) {
    fail(ErrorCode::kCorrupt,
         "{} ends at byte {} of the data, which has {}: the file is truncated or damaged", what, entry.end,
         buffer);
  }
  const auto bytes = static_cast<uint64_t>(checked_bytes(*dtype, entry.shape, what));
  if (bytes != entry.end - entry.begin) {
    fail(ErrorCode::kCorrupt, "{} has shape {} and dtype {}, so {} bytes, but its offsets span {}", what,
         entry.shape.str(), dtype_name, bytes, entry.end - entry.begin);
  }
  return entry;
}

// The format's rule: the tensors tile the buffer.
void check_tiling(std::vector<Entry>& entries, uint64_t buffer, const std::string& where) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin < covered)
      fail(ErrorCode::kCorrupt, "{}: tensor '{}' overlaps the one before it", where, printable(entry.name));
    if (entry.begin > covered) {
      fail(ErrorCode::kCorrupt, "{}: {} bytes before tensor '{}' belong to no tensor", where,
           entry.begin - covered, printable(entry.name));
    }
    covered = entry.end;
  }
  if (covered != buffer) {
    fail(ErrorCode::kCorrupt, "{}: {} bytes after the last tensor belong to none: the file is over-long",
         where, buffer - covered);
  }
}

void check_metadata(const Json& metadata, const std::string& where) {
  bool good = metadata.is_object() || metadata.is_binary();  // given twice, say: nobody reads it
  if (metadata.is_object())
    for (const Json& value : metadata) good &= value.is_string() || value.is_binary();
  if (!good) fail(ErrorCode::kCorrupt, "{}: '__metadata__' is not a table of strings", where);
}

}  // namespace

void read_safetensors_file(const std::filesystem::path& path, FileSource& source) {
  const std::string where = path.string();
  const InputFile file(path);
  const size_t index = source.add_file(file);
  uint64_t header_bytes = 0;
  if (file.size() < sizeof header_bytes)
    fail(ErrorCode::kCorrupt, "{} has {} bytes, too few for a safetensors file", where, file.size());
  file.read(0, std::as_writable_bytes(std::span(&header_bytes, 1)));
  if (header_bytes > kMaxHeader) {
    fail(ErrorCode::kCorrupt, "{}: its header claims {} bytes, more than the {} that the format allows",
         where, header_bytes, kMaxHeader);
  }
  if (header_bytes > file.size() - sizeof header_bytes) {
    fail(ErrorCode::kCorrupt, "{}: its header claims {} bytes, but the file has {}: it is truncated", where,
         header_bytes, file.size());
  }
  const std::string text = file.text(sizeof header_bytes, static_cast<size_t>(header_bytes));
  const JsonTree tree = parse_json(text, where);
  const Json& header = *tree;
  if (!header.is_object() || text.front() != '{')
    fail(ErrorCode::kCorrupt, "{}: its header is not a JSON object", where);

  const size_t data = sizeof header_bytes + static_cast<size_t>(header_bytes);
  const uint64_t buffer = file.size() - data;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      check_metadata(value, where);
    } else {
      entries.push_back(parse_entry(name, value, buffer, where));
    }
  }
  check_tiling(entries, buffer, where);
  for (const Entry& entry : entries) {
    source.add(entry.name, {.file = index,
                            .offset = data + static_cast<size_t>(entry.begin),
                            .dtype = entry.dtype,
                            .shape = entry.shape,
                            .strides = c_order(entry.shape, size_of(entry.dtype))});
  }
  // save_model() of safetensors.torch writes tensors that share memory once, and names the others here.
  if (const auto metadata = header.find("__metadata__"); metadata != header.end() && metadata->is_object()) {
    for (const auto& [alias, name] : metadata->items())
      if (name.is_string()) source.add_alias(alias, name.get<std::string>());
  }
}

std::unique_ptr<TensorSource> try_open_safetensors(const std::filesystem::path& folder) {
  const auto single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  if (path_exists(single)) {
    auto source = std::make_unique<FileSource>();
    read_safetensors_file(single, *source);
    return source;
  }
  if (path_exists(index)) return open_indexed(index, read_safetensors_file);
  return nullptr;
}

}  // namespace bolide
