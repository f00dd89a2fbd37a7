#include "checkpoint/diagnostics.h"

namespace bolide {

void Diagnostics::raise_if_any(ErrorCode code) const {
  if (empty()) return;
  std::string message = where_ + ":";
  for (size_t i = 0; i < listed_.size(); ++i) message += (i ? "; " : " ") + listed_[i];
  if (count_ > listed_.size()) message += fmt::format("; and {} more", count_ - listed_.size());
  throw Error(code, message);
}

}  // namespace bolide
