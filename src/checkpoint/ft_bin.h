#pragma once

// FasterTransformer's folder format `N-gpu/`: config.ini and one headerless little-endian file a tensor and
// rank.
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.h"

namespace bolide {

// One section of a config.ini. Keys are lower-cased as Python's configparser does; values are trimmed.
using IniSection = std::map<std::string, std::string>;
using Ini = std::map<std::string, IniSection>;
// kCorrupt naming file and line for anything that is not a section, key=value (or key = value), comment or
// blank.
Ini read_ini(const std::filesystem::path& path);

// What a family says of one FT tensor: its logical (rejoined) shape, and which axis the rank files split (-1:
// one plain file). Name without the rank and ".bin", for example "model.layers.0.mlp.dense_h_to_4h.weight".
struct FtTensor {
  std::string name;
  Shape shape;
  int split_axis = -1;
};

// True when `folder` holds a config.ini, so is (or claims to be) an FT folder.
bool is_ft_folder(const std::filesystem::path& folder);

// Opens the folder as logical tensors of dtype `dtype`, rejoined from `ranks` files where split. Checks that
// every expected file is there with exactly the expected size and that no other .bin file is; all findings in
// one error.
std::unique_ptr<TensorSource> open_ft_folder(const std::filesystem::path& folder,
                                             const std::vector<FtTensor>& tensors, int ranks, DType dtype);

}  // namespace bolide
