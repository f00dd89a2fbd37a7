#pragma once

#include <filesystem>
#include <string_view>

#include "text/tokenizer_file.h"

namespace bolide::text {

// Whether these are lines of "<base64> <rank>" and no sentencepiece model, which goes under the same name.
bool is_tiktoken(std::string_view bytes);

// The tokenizer of tiktoken's file `path`, whose content is `bytes`, and of what stands beside it. The file
// does not say how text is cut into words nor which tokens are special: a tokenizer.model or tiktoken.model
// is read as transformers 5 reads it, that is with the words of Llama 3; Qwen's first file by the words and
// tokens of its code. kUnsupported for any other; kCorrupt for a line that is none.
TokenizerFile read_tiktoken(const std::filesystem::path& path, std::string_view bytes);

}  // namespace bolide::text
