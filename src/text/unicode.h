#pragma once

namespace bolide::text {

// Character properties as the `tokenizers` package sees them. It takes them from four tables of different
// ages, and a character that is younger than a table has no property there; ids depend on that, so each
// function names the Unicode version that it answers for. Characters younger than the installed ICU differ.

bool is_white_space(char32_t c);      // White_Space, newest version
bool is_numeric(char32_t c);          // general category N, newest version
bool is_word(char32_t c);             // \w of Unicode TS 18, newest version
bool is_punctuation(char32_t c);      // general category P of Unicode 8 and the ASCII symbols
bool is_other(char32_t c);            // Cc, Cf and Co of Unicode 8
bool is_nonspacing_mark(char32_t c);  // Mn of Unicode 8
bool is_combining_mark(char32_t c);   // M of Unicode 9
bool is_chinese(char32_t c);          // BERT's blocks of ideographs

// Whether Unicode `version`.0 had this character already.
bool is_known_to(char32_t c, int version);

// The first character of the full lower-case form; only U+0130 has a second one, U+0307.
char32_t to_lower(char32_t c);

}  // namespace bolide::text
