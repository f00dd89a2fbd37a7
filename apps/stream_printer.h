#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <string>

#include "apps/output.h"
#include "bolide/request.h"

namespace bolide::apps {

// Text of requests that run at once, printed in order as it comes: what the first unfinished request says
// appears at once, what later ones say waits for their turn. push() may be called from any thread.
class StreamPrinter {
 public:
  explicit StreamPrinter(Output& out) : out_(out) {}
  void set_heading(int64_t index, std::string heading);  ///< printed before the text of `index`
  // False when nothing can be written any more: the request should be cancelled. finish() then throws why.
  bool push(int64_t index, const std::string& text);
  // `text` is all that request `index` said. Ends its line and lets the next one speak.
  void finish(int64_t index, const std::string& text);
  bool unfinished();  ///< the last text that is out has not come to its end

 private:
  struct Waiting {
    std::string heading, text;
    size_t printed = 0;  // bytes of text that are out
    bool headed = false;
  };
  void print(Waiting& waiting);

  Output& out_;
  std::mutex mutex_;
  std::map<int64_t, Waiting> waiting_;
  int64_t current_ = 0;
  std::exception_ptr broken_;
};

}  // namespace bolide::apps
