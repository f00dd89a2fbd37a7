#include "base/printable.h"

namespace bolide {

std::string printable(std::string_view text) {
  constexpr size_t kMax = 120;
  std::string out(text.substr(0, kMax));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  if (text.size() > kMax) out += "...";
  return out;
}

}  // namespace bolide
