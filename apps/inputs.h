#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

namespace bolide::apps {

// What a run reads: files, folders with all files in them, and "-" for standard input. Nothing that it writes
// may be one of these, under whatever name (links, too): files are compared by device and inode.
using Inputs = std::vector<std::string>;

// Adds a --tokenizer-path (nothing where it is empty): of one that names a file the folder, too.
void add_tokenizer_input(const std::string& path, Inputs& inputs);

// kUsage when `output`, which `name` calls by a name of the user's, is one of `inputs`.
void refuse_input(const std::string& name, const struct stat& output, const Inputs& inputs);

}  // namespace bolide::apps
