#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace bolide {

// Where an entry's bytes lie in the archive.
struct ZipEntry {
  size_t offset;
  size_t size;
};

// The entries of a zip archive (zip64 included) whose entries are all stored, as torch.save writes them; the
// bytes are never copied. kCorrupt naming `where` for a damaged archive or a compressed, encrypted or
// duplicate entry: since every entry must lie in the file at its full size, an archive cannot unfold into
// more than it is. CRCs are not checked: torch may write none, and the check would read every byte before it
// is wanted.
std::map<std::string, ZipEntry> read_zip(std::span<const std::byte> archive, std::string_view where);

}  // namespace bolide
