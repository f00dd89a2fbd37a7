// A config.json, as its family reads it. A model that is accepted has sizes that fit their types, and an FT
// config.ini written for it says the same.
#include "models/registry.h"
#include "support.h"

namespace {

void check_ft_round_trip(const bolide::Family& family, const bolide::ModelConfig& config) {
  const bolide::IniText text = {{"gpt", family.ft->write_config(config, "model", 1, bolide::DType::kF32)}};
  const bolide::Ini ini = bolide::parse_ini(bolide::format_ini(text), "config.ini");
  if (&bolide::find_family(ini, "config.ini") != &family) std::abort();
  const bolide::ModelConfig again = family.ft->read_config(ini, "config.ini");
  if (again.layers != config.layers || again.heads != config.heads || again.head_size != config.head_size ||
      again.inter_size != config.inter_size || again.vocab_size != config.vocab_size ||
      again.norm_eps != config.norm_eps)
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  bolide::only_errors([&] {
    const bolide::JsonTree tree = bolide::parse_json(text, "config.json");
    const bolide::Json& json = *tree;
    const bolide::Family& family = bolide::find_family(json, "config.json");
    const bolide::ModelConfig config = family.read_hf_config(json, "config.json");
    const auto model = family.build(config, {});
    if (bolide::weight_bytes(model->weights(), {}, bolide::DType::kF32) <= 0) std::abort();
    if (family.ft) check_ft_round_trip(family, config);
  });
  return 0;
}
