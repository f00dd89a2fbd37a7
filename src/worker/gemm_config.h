#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"
#include "ops/tune.h"

namespace bolide {

// FasterTransformer's gemm_config.in: the algorithm of each product, as `bolide tune` found it.
//
// FT reads the first line as text, 1023 bytes of it, and all others by one pattern of numbers; anything else
// in them makes it read on for ever. So what FT's format lacks stands in the first line, behind the names of
// the columns: what the file was made for, and for each row the attributes of the algorithm that FT's columns
// leave out and what else the product does (kinds).
struct GemmConfig {
  // FT's columns, and how each product is to run.
  struct Row {
    int64_t batch = 0, length = 0;  // of the run that the product was met in
    CublasLtGemm product;
    CublasLtAlgorithm algorithm;
    double seconds = 0;
  };
  static constexpr size_t kMaxRows = 60;  // whose kinds the first line has room for

  std::string where;         // the file, for errors
  std::string gpu, library;  // "NVIDIA H200", "cuBLASLt 130100"
  DType data_type = DType::kF32;
  int64_t hidden_size = 0, inter_size = 0, vocab_size = 0, heads = 0, head_size = 0;
  std::vector<Row> rows;
};

// What a file for this model on this thread's GPU says of itself; no rows.
GemmConfig gemm_config_for(const ModelShape& model, DType data_type);

std::string format_gemm_config(const GemmConfig& config);
// kCorrupt naming `where` and the line for anything that format_gemm_config() would not have written;
// kUnsupported for a file that does not say what it was made for, as FT's own.
GemmConfig parse_gemm_config(std::string_view text, const std::string& where);

// kUnsupported naming file and reason where `found` was made for another GPU, library or data type, or for a
// model of another shape, than `here`.
void check_gemm_config(const GemmConfig& found, const GemmConfig& here);

// The file that is meant: the one that is asked for; by nobody, gemm_config.in of the working directory where
// that is there; none for "none".
std::optional<std::filesystem::path> find_gemm_config(const std::filesystem::path& asked);
// Throws what parse_gemm_config() throws, and kNotFound.
GemmConfig read_gemm_config(const std::filesystem::path& file);

// The products of this model run as the file says from here on. Throws what check_gemm_config() throws, and
// kUnsupported naming the line for an algorithm that the library does not take.
void follow_gemm_config(const Context& context, const GemmConfig& config, const ModelShape& model,
                        DType data_type);

}  // namespace bolide
