// One line of `--input`.
#include "apps/request_jsonl.h"
#include "support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  bolide::only_errors([&] { bolide::apps::parse_request(line, "line 1", {}); });
  return 0;
}
