#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "checkpoint/ft_bin.h"
#include "models/model.h"
#include "weights/name_table.h"

namespace bolide {

// FasterTransformer's folders of a family.
struct FtFormat {
  // Whether a config.ini is of this family, and what it says. `where` names the file in errors.
  bool (*matches)(const Ini& ini);
  ModelConfig (*read_config)(const Ini& ini, std::string_view where);
  // The [gpt] section that FT's converter writes. FT takes the input folder as the model's
  // name. kUnsupported for a model that FT's graph cannot run.
  std::vector<std::pair<std::string, std::string>> (*write_config)(const ModelConfig& config,
                                                                   const std::string& model_name,
                                                                   int tensor_para_size, DType dtype);
  const NameTable& names;
};

// One row of the table of families (registry.cc); a family is one file that fills it.
struct Family {
  std::string_view architecture;  // in config.json's "architectures"
  std::string_view model_type;    // in config.json's "model_type"
  // `where` names the file in errors. End ids, and what ties the head, are read by open_checkpoint().
  ModelConfig (*read_hf_config)(const Json& json, std::string_view where);
  const NameTable& hf_names;
  const FtFormat* ft;  // null: FT had none, or they are not read yet
  // An unloaded model: weights() bound, nothing allocated.
  std::unique_ptr<Model> (*build)(const ModelConfig& config, const Dist& dist);
};

}  // namespace bolide
