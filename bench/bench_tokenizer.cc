// Encodes a text line by line on one thread and decodes the ids again; prints one JSON object. The script
// bench_tokenizer.py runs it beside the Python package.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "bolide/tokenizer.h"

namespace {

double best_seconds(int runs, const std::function<void()>& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

int run(const char* folder, const char* text_path, int runs) {
  std::ostringstream read;
  read << std::ifstream(text_path, std::ios::binary).rdbuf();
  const std::string text = read.str();
  std::vector<std::string_view> lines;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(std::string_view(text).substr(at, end - at));
    at = end + 1;
  }
  std::unique_ptr<bolide::Tokenizer> tokenizer;
  const double load = best_seconds(1, [&] { tokenizer = bolide::Tokenizer::load(folder); });
  std::vector<std::vector<int32_t>> ids(lines.size());
  const double encode = best_seconds(runs, [&] {
    for (size_t i = 0; i < lines.size(); ++i) ids[i] = tokenizer->encode(lines[i]).ids;
  });
  const double decode = best_seconds(runs, [&] {
    for (const auto& each : ids) tokenizer->decode(each);
  });
  size_t tokens = 0, bytes = 0;
  for (const auto& each : ids) tokens += each.size();
  for (const auto& line : lines) bytes += line.size();
  std::printf(
      "{\"tokens\": %zu, \"load_ms\": %.3f, \"encode_mb_per_s\": %.3f, \"decode_mtokens_per_s\": %.3f}\n",
      tokens, load * 1e3, static_cast<double>(bytes) / encode / 1e6,
      static_cast<double>(tokens) / decode / 1e6);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 || std::atoi(argv[3]) < 1) {
    std::fprintf(stderr, "usage: bench_tokenizer TOKENIZER_FOLDER TEXT_FILE RUNS\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], std::atoi(argv[3]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_tokenizer: error: %s\n", error.what());
    return 1;
  }
}
