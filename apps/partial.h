#pragma once

#include <sys/stat.h>

#include <string>

namespace bolide::apps {

// Opens a new file beside `target`, to be renamed to it once it is whole, and sets `name`: one that nobody
// can foresee, so that nothing is waiting there. Owner and mode are those of `before`, the file that it will
// replace, if there is one. It is locked while the descriptor is open; those of `target` that no living
// process has locked were left by killed runs and are removed first. -1 and errno when it cannot be created.
int create_partial(const std::string& target, const struct stat* before, std::string& name);

}  // namespace bolide::apps
