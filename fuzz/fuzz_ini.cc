// An FT folder's config.ini. What is read, written out again and read once more must be the same. A model
// that its family accepts has sizes that fit their types.
#include "checkpoint/ft_bin.h"
#include "models/registry.h"
#include "support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  bolide::only_errors([&] {
    const bolide::Ini ini = bolide::parse_ini(text, "config.ini");
    bolide::IniText again;
    for (const auto& [name, section] : ini) again.push_back({name, {section.begin(), section.end()}});
    if (bolide::parse_ini(bolide::format_ini(again), "again") != ini) std::abort();
    bolide::only_errors([&] {
      const bolide::Family& family = bolide::find_family(ini, "config.ini");
      const auto model = family.build(family.ft->read_config(ini, "config.ini"), {});
      if (bolide::weight_bytes(model->weights(), {}, bolide::DType::kF32) <= 0) std::abort();
    });
    for (const auto& section : ini) {
      for (const auto& entry : section.second) {
        const std::string &in = section.first, &key = entry.first;
        bolide::only_errors([&] { bolide::ini_get<int64_t>(ini, in, key, "config.ini"); });
        bolide::only_errors([&] { bolide::ini_get<double>(ini, in, key, "config.ini"); });
        bolide::only_errors([&] { bolide::ini_get<bool>(ini, in, key, "config.ini"); });
      }
    }
  });
  return 0;
}
