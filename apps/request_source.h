#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bolide/error.h"
#include "bolide/log.h"
#include "bolide/request.h"

namespace bolide::apps {

// Where the requests of a run come from, one after another.
class RequestSource {
 public:
  virtual ~RequestSource() = default;
  // False at the end, or once `stopped` says so. Throws what parse_request throws.
  virtual bool next(Request& request, const std::function<bool()>& stopped) = 0;
  // Names the request that next() gave last, for messages: "F.jsonl line 3".
  virtual std::string where() const = 0;
  // What it is that a request cannot be honoured: a fault of the data, or of the flags that it came from.
  virtual ErrorCode fault() const { return ErrorCode::kCorrupt; }
};

// `idle`, where there is one, gets a warning for each field that says how to continue a prompt: for runs that
// do not.
std::unique_ptr<RequestSource> jsonl_source(const std::string& path, Request defaults,
                                            Warnings* idle = nullptr);
// A plain text file, one prompt a line.
std::unique_ptr<RequestSource> text_source(const std::string& path, Request defaults);
// How many requests the two would give, for a bar: 0 where only reading would tell, as of a pipe.
int64_t count_requests(const std::string& path);

struct NamedRequest {
  Request request;
  std::string where;
};
std::unique_ptr<RequestSource> list_source(std::vector<NamedRequest> requests,
                                           ErrorCode fault = ErrorCode::kCorrupt);

}  // namespace bolide::apps
