#pragma once

#include <string>

#include "bolide/tokenizer.h"
#include "decode/stop_matcher.h"

namespace bolide {

// A request's new ids as text on its way to the caller: whole characters only, and nothing that may yet turn
// out to begin a stop string. Without a tokenizer all text is empty.
class OutputText {
 public:
  OutputText(const Tokenizer* tokenizer, std::vector<std::string> stops);
  // Text that became certain with this id.
  std::string push(int32_t id);
  // What was held back, when no id will come. May still complete a stop string. Later calls give nothing.
  std::string finish();
  // A stop string came; all text before it is out.
  bool stopped() const { return matcher_.stopped(); }

 private:
  const Tokenizer* tokenizer_;
  std::optional<StreamDecoder> decoder_;
  StopMatcher matcher_;
};

}  // namespace bolide
