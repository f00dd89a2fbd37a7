#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "apps/output.h"

namespace bolide::apps {

// Writes float32 tensors to a safetensors file one after another, so that memory holds one at a time. Names
// and shapes stand in the file's head and must be known first.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    std::vector<int64_t> shape;
  };
  // `out` is empty so far and outlives the writer.
  SafetensorsWriter(Output& out, const std::vector<Entry>& entries);
  // The values of the next entry. kInternal when their number is not that of its shape.
  void write(std::span<const float> values);
  // kInternal when an entry has not been written.
  void finish() const;

 private:
  Output& out_;
  std::vector<int64_t> counts_;
  size_t next_ = 0;
};

}  // namespace bolide::apps
