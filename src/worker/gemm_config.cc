#include "worker/gemm_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "tensor/device.h"

namespace bolide {
namespace {
namespace fs = std::filesystem;

constexpr std::string_view kColumns =
    "batch_size seq_len head_num size_per_head data_type ### batch_count n m k algo_id custom_option tile "
    "split_k swizzle reduction workspace stages time_ms";
constexpr std::string_view kMark = " ### bolide 1; ";
constexpr const char* kAgain = "make it anew with 'bolide tune', or pass --gemm-config none";
// FT's buffer is 1024 bytes: 1023 with the line's end.
constexpr size_t kMaxHeader = 1022;
constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};  // by FT's number

int64_t type_number(DType dtype) {
  return std::find(std::begin(kTypes), std::end(kTypes), dtype) - std::begin(kTypes);
}

// "0.3.bg": inner shape, cluster shape, and of the product b(ias), g(elu), f(p32 result), a(dded to what was
// there), or "-" for none of them.
std::string kind_of(const GemmConfig::Row& row) {
  const CublasLtGemm& p = row.product;
  std::string flags;
  if (p.bias) flags += 'b';
  if (p.gelu) flags += 'g';
  if (p.y_dtype != p.in_dtype) flags += 'f';
  if (p.accumulate) flags += 'a';
  return fmt::format("{}.{}.{}", row.algorithm.inner_shape, row.algorithm.cluster_shape,
                     flags.empty() ? "-" : flags);
}

std::vector<std::string_view> split(std::string_view text, std::string_view by) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(by, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + by.size();
  }
  return parts;
}

// Reads one file's lines, and says where it fails.
class Parser {
 public:
  explicit Parser(std::string where) : where_(std::move(where)) {}

  GemmConfig parse(std::string_view text) {
    if (!text.ends_with('\n')) {
      line_ = static_cast<int64_t>(std::count(text.begin(), text.end(), '\n')) + 1;
      corrupt("the file ends in the middle of a line");
    }
    text.remove_suffix(1);
    const std::vector<std::string_view> lines = split(text, "\n");
    GemmConfig config;
    config.where = where_;
    const std::vector<std::string_view> kinds = header(lines[0], config);
    for (size_t i = 1; i < lines.size(); ++i) {
      line_ = static_cast<int64_t>(i) + 1;
      if (i > kinds.size()) corrupt(fmt::format("line 1 announces {} rows only", kinds.size()));
      config.rows.push_back(row(lines[i], kinds[i - 1], config));
    }
    if (config.rows.size() < kinds.size())
      corrupt(fmt::format("line 1 announces {} rows, and there are {}", kinds.size(), config.rows.size()));
    return config;
  }

 private:
  [[noreturn]] void corrupt(const std::string& what) const {
    fail(ErrorCode::kCorrupt, "{}:{}: {}; {}", where_, line_, what, kAgain);
  }

  int64_t number(std::string_view text, std::string_view what, int64_t low, int64_t high = kMaxInt) const {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
      corrupt(fmt::format("{} '{}' is not a whole number from {} to {}", what, printable(text), low, high));
    }
    return value;
  }

  // What stands behind `key` and a blank.
  std::string_view field(std::string_view text, std::string_view key) const {
    if (!text.starts_with(key) || text.size() <= key.size() + 1 || text[key.size()] != ' ')
      corrupt(fmt::format("'{}' stands where '{} ...' is expected", printable(text), key));
    return text.substr(key.size() + 1);
  }

  // Returns the rows' kinds.
  std::vector<std::string_view> header(std::string_view line, GemmConfig& config) const {
    const size_t mark = line.find(kMark);
    if (mark == std::string_view::npos) {
      fail(ErrorCode::kUnsupported,
           "{}:1: this file does not say for which GPU, cuBLASLt and model it was made (FasterTransformer's "
           "do "
           "not): {}",
           where_, kAgain);
    }
    if (line.substr(0, mark) != kColumns) corrupt("the columns are not those that this version writes");
    const std::vector<std::string_view> parts = split(line.substr(mark + kMark.size()), "; ");
    if (parts.size() != 7) corrupt(fmt::format("{} parts where 7 are expected", parts.size()));
    config.gpu = field(parts[0], "gpu");
    config.library = parts[1];
    for (DType dtype : kTypes)
      if (name_of(dtype) == parts[2]) config.data_type = dtype;
    if (name_of(config.data_type) != parts[2])
      corrupt(fmt::format("'{}' is not a data type", printable(parts[2])));
    config.hidden_size = number(field(parts[3], "hidden"), "hidden size", 1);
    config.inter_size = number(field(parts[4], "inter"), "inner size", 1);
    config.vocab_size = number(field(parts[5], "vocab"), "vocabulary size", 1);
    return split(field(parts[6], "rows"), " ");
  }

  void kind(std::string_view text, GemmConfig::Row& row) const {
    const std::vector<std::string_view> parts = split(text, ".");
    if (parts.size() != 3)
      corrupt(fmt::format("line 1 has '{}' for this row, which is not of the form 0.0.-", printable(text)));
    constexpr int64_t kMax16 = std::numeric_limits<uint16_t>::max();
    row.algorithm.inner_shape = number(parts[0], "the inner shape in line 1", 0, kMax16);
    row.algorithm.cluster_shape = number(parts[1], "the cluster shape in line 1", 0, kMax16);
    CublasLtGemm& p = row.product;
    p.y_dtype = p.in_dtype;
    for (const char flag : parts[2]) {
      p.bias |= flag == 'b';
      p.gelu |= flag == 'g';
      p.accumulate |= flag == 'a';
      if (flag == 'f') p.y_dtype = DType::kF32;
    }
    if (kind_of(row) != text)
      corrupt(
          fmt::format("line 1 has '{}' for this row, which this version would not write", printable(text)));
  }

  GemmConfig::Row row(std::string_view line, std::string_view kind_text, GemmConfig& config) const {
    const std::vector<std::string_view> cells = split(line, " ");
    constexpr size_t kCells = 19;
    if (cells.size() != kCells || cells[5] != "###") {
      corrupt(fmt::format("a row is 5 numbers, ### and 13 numbers with single blanks between, not '{}'",
                          printable(line)));
    }
    GemmConfig::Row row;
    row.batch = number(cells[0], "batch_size", 1);
    row.length = number(cells[1], "seq_len", 1);
    const int64_t heads = number(cells[2], "head_num", 1), head_size = number(cells[3], "size_per_head", 1);
    if (config.rows.empty()) {
      config.heads = heads;
      config.head_size = head_size;
    } else if (heads != config.heads || head_size != config.head_size) {
      corrupt(fmt::format("{} heads of {}, where the rows before have {} of {}", heads, head_size,
                          config.heads, config.head_size));
    }
    const int64_t type = number(cells[4], "data_type", 0, std::ssize(kTypes) - 1);
    if (type != type_number(config.data_type)) {
      corrupt(fmt::format("data type {} in a file for {}, which is {}", type, name_of(config.data_type),
                          type_number(config.data_type)));
    }
    number(cells[6], "batch_count", 1, 1);
    CublasLtGemm& p = row.product;
    p.in_dtype = config.data_type;
    p.out = number(cells[7], "n", 1);
    p.tokens = number(cells[8], "m", 1);
    p.in = number(cells[9], "k", 1);
    CublasLtAlgorithm& a = row.algorithm;
    a.id = number(cells[10], "algo_id", 0);
    a.custom_option = number(cells[11], "custom_option", 0);
    a.tile = number(cells[12], "tile", 0);
    a.splits = number(cells[13], "split_k", -1);
    a.swizzle = number(cells[14], "swizzle", 0);
    a.reduction = number(cells[15], "reduction", 0);
    a.workspace_bytes = number(cells[16], "workspace", 0);
    a.stages = number(cells[17], "stages", 0);
    const std::string_view time = cells[18];
    double milliseconds = 0;
    const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), milliseconds);
    if (error != std::errc() || end != time.data() + time.size() || !(milliseconds >= 0) ||
        std::isinf(milliseconds))
      corrupt(fmt::format("time_ms '{}' is not a time", printable(time)));
    row.seconds = milliseconds * 1e-3;
    kind(kind_text, row);
    return row;
  }

  std::string where_;
  int64_t line_ = 1;
};

}  // namespace

GemmConfig gemm_config_for(const ModelShape& model, DType data_type) {
  return {.where = {},
          .gpu = cuda_properties().name,
          .library = cublaslt_version(),
          .data_type = data_type,
          .hidden_size = model.hidden_size,
          .inter_size = model.inter_size,
          .vocab_size = model.vocab_size,
          .heads = model.heads,
          .head_size = model.head_size,
          .rows = {}};
}

std::string format_gemm_config(const GemmConfig& config) {
  BOLIDE_CHECK(!config.rows.empty() && config.rows.size() <= GemmConfig::kMaxRows);
  std::string text = fmt::format("{}{}gpu {}; {}; {}; hidden {}; inter {}; vocab {}; rows", kColumns, kMark,
                                 config.gpu, config.library, name_of(config.data_type), config.hidden_size,
                                 config.inter_size, config.vocab_size);
  for (const GemmConfig::Row& row : config.rows) text += " " + kind_of(row);
  if (text.size() > kMaxHeader) {
    fail(ErrorCode::kUnsupported,
         "the first line of a gemm_config.in for these products would take {} bytes, and FasterTransformer "
         "reads "
         "{}: tune for fewer sizes",
         text.size(), kMaxHeader);
  }
  text += '\n';
  for (const GemmConfig::Row& row : config.rows) {
    const CublasLtGemm& p = row.product;
    const CublasLtAlgorithm& a = row.algorithm;
    text += fmt::format("{} {} {} {} {} ### 1 {} {} {} {} {} {} {} {} {} {} {} {:.6f}\n", row.batch,
                        row.length, config.heads, config.head_size, type_number(p.in_dtype), p.out, p.tokens,
                        p.in, a.id, a.custom_option, a.tile, a.splits, a.swizzle, a.reduction,
                        a.workspace_bytes, a.stages, row.seconds * 1e3);
  }
  return text;
}

GemmConfig parse_gemm_config(std::string_view text, const std::string& where) {
  return Parser(where).parse(text);
}

void check_gemm_config(const GemmConfig& found, const GemmConfig& here) {
  const auto same = [&](std::string_view what, const std::string& there, const std::string& now) {
    if (there == now) return;
    fail(ErrorCode::kUnsupported, "{} was made for {}{}, and here it is {}: {}", found.where, what,
         printable(there), now, kAgain);
  };
  const auto shape = [](const GemmConfig& c) {
    return fmt::format("hidden size {}, inner size {}, {} heads of {} and {} ids", c.hidden_size,
                       c.inter_size, c.heads, c.head_size, c.vocab_size);
  };
  same("the GPU ", found.gpu, here.gpu);
  same("", found.library, here.library);
  same("", std::string(name_of(found.data_type)), std::string(name_of(here.data_type)));
  same("a model with ", shape(found), shape(here));
}

std::optional<fs::path> find_gemm_config(const fs::path& asked) {
  if (!asked.empty()) return asked == "none" ? std::nullopt : std::optional(asked);
  const fs::path usual = "gemm_config.in";
  return path_exists(usual) ? std::optional(usual) : std::nullopt;
}

GemmConfig read_gemm_config(const fs::path& file) {
  constexpr size_t kMaxBytes = size_t{1} << 20;
  return parse_gemm_config(read_text_file(file, kMaxBytes), file.string());
}

void follow_gemm_config(const Context& context, const GemmConfig& config, const ModelShape& model,
                        DType data_type) {
  check_gemm_config(config, gemm_config_for(model, data_type));
  for (size_t i = 0; i < config.rows.size(); ++i) {
    try {
      use_algorithm(context, config.rows[i].product, config.rows[i].algorithm);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUnsupported) throw;
      fail(ErrorCode::kUnsupported, "{}:{}: {}; {}", config.where, i + 2, error.what(), kAgain);
    }
  }
  log::info("{} products run as {} says", config.rows.size(), config.where);
}

}  // namespace bolide
