#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bolide::apps {

// Columns that UTF-8 text takes on a terminal: 2 for East Asian wide characters and emoji, 0 for combining
// marks, 1 for everything else, bytes that are not UTF-8 included.
size_t display_width(std::string_view text);

// As much of `text` as fits into `columns`; what is cut ends in "..." where there is room for that.
std::string fit(std::string_view text, size_t columns);

}  // namespace bolide::apps
