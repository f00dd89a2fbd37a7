#include "comm/plugin.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <vector>

#include "base/error.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> plugin_folders() {
  std::vector<fs::path> folders;
  if (const char* list = std::getenv("BOLIDE_PLUGIN_PATH")) {
    std::istringstream words(list);
    for (std::string word; std::getline(words, word, ':');)
      if (!word.empty()) folders.emplace_back(word);
  }
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  if (!program.empty()) {
    folders.push_back(program);
    folders.push_back(program / ".." / "lib" / "bolide");
  }
  folders.emplace_back(BOLIDE_PLUGIN_BUILD_FOLDER);
  for (fs::path& folder : folders) folder = folder.lexically_normal();
  if (std::count(folders.begin(), folders.end(), folders.back()) > 1) folders.pop_back();
  return folders;
}

}  // namespace

void* load_plugin(const char* file, const char* symbol, const char* feature, const char* install) {
  std::string looked;
  for (const fs::path& folder : plugin_folders()) {
    const fs::path path = folder / file;
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      looked += (looked.empty() ? "" : ", ") + folder.string();
      continue;
    }
    // Global, because OpenMPI loads components of its own that look for its symbols.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) fail(ErrorCode::kUnsupported, "{} cannot be loaded: {}. {}", feature, dlerror(), install);
    void* found = dlsym(library, symbol);
    if (!found) fail(ErrorCode::kUnsupported, "{} is not of this build: it has no {}", path.string(), symbol);
    return found;
  }
  fail(ErrorCode::kUnsupported, "{} is off: {} is not in {}. {}", feature, file, looked, install);
}

}  // namespace bolide
