#include "apps/safetensors_writer.h"

#include <fmt/format.h>

#include <bit>
#include <nlohmann/json.hpp>

#include "bolide/error.h"

namespace bolide::apps {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

SafetensorsWriter::SafetensorsWriter(Output& out, const std::vector<Entry>& entries) : out_(out) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  int64_t offset = 0;
  for (const Entry& entry : entries) {
    int64_t count = 1;
    for (int64_t size : entry.shape) count *= size;
    const int64_t end = offset + count * static_cast<int64_t>(sizeof(float));
    header[entry.name] = {{"dtype", "F32"}, {"shape", entry.shape}, {"data_offsets", {offset, end}}};
    counts_.push_back(count);
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data starts at a multiple of 8
  const auto size = static_cast<uint64_t>(text.size());
  out_.write({reinterpret_cast<const char*>(&size), sizeof(size)});
  out_.write(text);
}

void SafetensorsWriter::write(std::span<const float> values) {
  if (next_ == counts_.size() || counts_[next_] != static_cast<int64_t>(values.size())) {
    throw Error(ErrorCode::kInternal,
                fmt::format("tensor {} came with {} values, not what was announced", next_, values.size()));
  }
  ++next_;
  out_.write({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

void SafetensorsWriter::finish() const {
  if (next_ != counts_.size()) {
    throw Error(ErrorCode::kInternal, fmt::format("{} of {} tensors were written", next_, counts_.size()));
  }
}

}  // namespace bolide::apps
