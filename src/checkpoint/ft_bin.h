#pragma once

// FasterTransformer's folder format `N-gpu/`: config.ini and one headerless little-endian file a tensor and
// rank.
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/tensor_source.h"

namespace bolide {

// One section of a config.ini. Keys are lower-cased as Python's configparser does; values are trimmed.
using IniSection = std::map<std::string, std::string>;
using Ini = std::map<std::string, IniSection>;
// kCorrupt naming file and line for anything that is not a section, key=value (or key = value), comment or
// blank.
Ini read_ini(const std::filesystem::path& path);

// The same from text; `where` is for messages.
Ini parse_ini(std::string_view text, std::string_view where);
// The value of `key` in `section`; kCorrupt naming `where`, section and key when it is missing or no T.
// T is std::string, int64_t, double or bool (Python's words: True, yes, on, 1, ...).
template <class T>
T ini_get(const Ini& ini, const std::string& section, const std::string& key, std::string_view where);

// Sections in order, each with its key and value in order: what write_ini puts out.
using IniText = std::vector<std::pair<std::string, std::vector<std::pair<std::string, std::string>>>>;
// Byte for byte what Python's configparser.write(file, space_around_delimiters=False) writes, keys as given.
std::string format_ini(const IniText& sections);

// What a family says of one FT tensor: its logical (rejoined) shape, and which axis the rank files split (-1:
// one plain file). Name without the rank and ".bin", for example "model.layers.0.mlp.dense_h_to_4h.weight".
struct FtTensor {
  std::string name;
  Shape shape;
  int split_axis = -1;
};

// True when `folder` holds a config.ini, so is (or claims to be) an FT folder.
bool is_ft_folder(const std::filesystem::path& folder);

// Throws kCorrupt when the folder is named "N-gpu" and N is not the tensor_para_size of its config.ini: it
// was renamed or mixed up, and its rank files would be misread.
void check_ft_ranks(const std::filesystem::path& folder, int tensor_para_size);

// Opens the folder as logical tensors of dtype `dtype`, rejoined from `ranks` files where split. Checks that
// every expected file is there with exactly the expected size and that no other .bin file is; all findings in
// one error.
std::unique_ptr<TensorSource> open_ft_folder(const std::filesystem::path& folder,
                                             const std::vector<FtTensor>& tensors, int ranks, DType dtype);

}  // namespace bolide
