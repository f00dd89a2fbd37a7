#include "apps/inputs.h"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string_view>

#include "apps/arguments.h"
#include "bolide/error.h"

namespace bolide::apps {
namespace {

bool same(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

// What can be lost, or fed to itself: not a terminal or /dev/null.
bool holds_data(const struct stat& status) {
  return S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode) || S_ISBLK(status.st_mode);
}

// Lines of results and the file of `bolide tune` are no part of a model, so that a run in its folder can be
// repeated.
bool is_result(std::string_view name) { return name.ends_with(".jsonl") || name == "gemm_config.in"; }

// Calls `see(path)` for `input`, and where that is a folder for the files in it. False ends it.
void each_file(const std::string& input, const std::function<bool(const std::string&)>& see) {
  if (!see(input)) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(input.c_str()), ::closedir);
  if (!folder) return;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || is_result(name)) continue;
    if (!see(fmt::format("{}/{}", input, name))) return;
  }
}

bool look_at(const std::string& path, struct stat& status) {
  return path == "-" ? ::fstat(STDIN_FILENO, &status) == 0 : ::stat(path.c_str(), &status) == 0;
}

}  // namespace

void add_tokenizer_input(const std::string& path, Inputs& inputs) {
  if (path.empty()) return;
  inputs.push_back(path);
  struct stat status {};
  if (!look_at(path, status) || !S_ISREG(status.st_mode)) return;
  const size_t slash = path.rfind('/');
  inputs.push_back(slash == std::string::npos ? "." : path.substr(0, slash + 1));
}

void refuse_input(const std::string& name, const struct stat& output, const Inputs& inputs) {
  if (!holds_data(output)) return;
  for (const std::string& input : inputs) {
    each_file(input, [&](const std::string& path) {
      struct stat status {};
      if (!look_at(path, status) || !same(status, output)) return true;
      const std::string read = path == "-" ? "standard input" : "'" + printable(path) + "'";
      throw Error(ErrorCode::kUsage, fmt::format("{} is {}, which this run reads: give another output", name,
                                                 read == name ? "an input" : read));
    });
  }
}

}  // namespace bolide::apps
