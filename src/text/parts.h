#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "text/regex.h"

// Reading the parts of a tokenizer.json: every part is an object with a "type".
namespace bolide::text {

// The part's type; kCorrupt naming `where` when there is none.
std::string part_type(const Json& part, std::string_view where);

// Throws kUnsupported: "<where>: <kind> of type '<type>' is not supported".
[[noreturn]] void fail_unsupported(std::string_view where, std::string_view kind, std::string_view type);

// The rows of a list part ("normalizers", "pretokenizers", ...).
const Json& part_list(const Json& part, std::string_view key, std::string_view where);

// Checks how many steps a part and the Sequences in it have together. A real one has under ten, and each of
// them goes over the whole text.
void check_steps(const Json& part, std::string_view kind, std::string_view list_key, std::string_view where);

// {"String": "..."} or {"Regex": "..."}.
Regex read_pattern(const Json& part, std::string_view where);

// An integer that fits an int32.
int32_t read_int32(const Json& value, std::string_view where);

// A string of one character.
char32_t read_char(const Json& part, std::string_view key, std::string_view where);

}  // namespace bolide::text
