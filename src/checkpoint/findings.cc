#include "checkpoint/findings.h"

namespace bolide {

std::string printable(std::string_view text) {
  constexpr size_t kMax = 120;
  std::string out(text.substr(0, kMax));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  if (text.size() > kMax) out += "...";
  return out;
}

void Findings::raise_if_any(ErrorCode code) const {
  if (empty()) return;
  std::string message = where_ + ":";
  for (size_t i = 0; i < listed_.size(); ++i) message += (i ? "; " : " ") + listed_[i];
  if (count_ > listed_.size()) message += fmt::format("; and {} more", count_ - listed_.size());
  throw Error(code, message);
}

}  // namespace bolide
