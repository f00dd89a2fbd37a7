#include "worker/handshake.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "bolide/version.h"
#include "text/hash.h"

namespace bolide {
namespace {
namespace fs = std::filesystem;

// The same in every process, unlike those of tables in memory.
constexpr text::HashSeeds kSeeds{0x9E3779B97F4A7C15, 0xD1B54A32D192ED03};

uint64_t hash_of_file(const fs::path& path) {
  if (!is_regular(path)) return 0;  // whoever reads it says what is wrong
  const InputFile file(path);
  return text::hash_bytes(file.text(0, file.size()), kSeeds);
}

// Names and sizes of the files, and what the config says: hosts may hold the model under different paths.
uint64_t hash_of_model(const fs::path& path) {
  if (!is_folder(path)) return hash_of_file(path);
  uint64_t hash = 0;
  for (const fs::path& file : list_folder(path)) {
    std::error_code error;  // no size: not a regular file
    const uintmax_t size = fs::file_size(file, error);
    if (!error)
      hash = text::mix(hash, text::hash_bytes(fmt::format("{} {}\n", file.filename().string(), size), kSeeds),
                       kSeeds);
  }
  for (const char* config : {"config.json", "config.ini"})
    hash = text::mix(hash, hash_of_file(path / config), kSeeds);
  return hash;
}

// The first line that differs: "--data-type fp16 instead of --data-type fp32"; empty when none does.
std::string difference(std::string_view mine, std::string_view theirs) {
  while (!mine.empty() || !theirs.empty()) {
    const std::string_view a = mine.substr(0, mine.find('\n')), b = theirs.substr(0, theirs.find('\n'));
    if (a != b) return fmt::format("'{}' instead of '{}'", b, a);
    mine.remove_prefix(std::min(a.size() + 1, mine.size()));
    theirs.remove_prefix(std::min(b.size() + 1, theirs.size()));
  }
  return {};
}

}  // namespace

void check_alike(Transport& world, const std::string& lines) {
  const auto all = world.gather(std::as_bytes(std::span(lines)), Channel::kStart);
  std::string verdict;
  for (size_t rank = 1; rank < all.size() && verdict.empty(); ++rank) {
    const std::string_view theirs(reinterpret_cast<const char*>(all[rank].data()), all[rank].size());
    if (const std::string found = difference(lines, theirs); !found.empty())
      verdict = fmt::format("the ranks are not alike: rank {} has {}", rank, found);
  }
  const auto told = world.broadcast(std::as_bytes(std::span(verdict)), Channel::kStart);
  if (told.empty()) return;
  world.agree_to_end();
  throw Error(ErrorCode::kUsage, std::string(reinterpret_cast<const char*>(told.data()), told.size()));
}

std::string common_settings(const RankConfig& config) {
  return fmt::format(
      "build {} {:016x}\nmodel {:016x}\n--tensor-para-size {}\n--pipeline-para-size {}\n--device {}\n"
      "--data-type {}\n--weight-scheme {}\n--load-format {}\nbatch size {}\n--max-kv-tokens "
      "{}\n--max-chunk-tokens {}\n"
      "page size {}\n--deterministic {}\n--no-cuda-graphs {}\n--all-reduce {}\n",
      kVersion, hash_of_file("/proc/self/exe"), hash_of_model(config.model.path), config.tensor_size,
      config.pipeline_size, name_of(config.device),
      config.model.data_type ? name_of(*config.model.data_type) : "", config.model.scheme->name,
      config.model.dummy ? "dummy" : "auto", config.max_batch_size, config.max_kv_tokens, config.chunk_tokens,
      config.page_size, config.deterministic, !config.graphs, name_of(config.all_reduce));
}

}  // namespace bolide
