#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "base/file.h"

namespace bolide {

// Where an entry's bytes lie in the archive.
struct ZipEntry {
  size_t offset;
  size_t size;
};

// The entries of a zip archive (zip64 included) whose entries are all stored, as torch.save writes them.
// kCorrupt naming the file for a damaged archive or a compressed, encrypted or duplicate entry: since every
// entry must lie in the file at its full size, an archive cannot unfold into more than it is. Reads headers
// alone, and takes at most twice the file's size of memory, and 64 KiB: an entry of 76 bytes and twice its
// name becomes one of 112 and its name. CRCs are not checked: torch may write none, and the check would read
// every byte before it is wanted.
std::map<std::string, ZipEntry> read_zip(const InputFile& archive);

}  // namespace bolide
