#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "text/tokenizer_file.h"

namespace bolide::text {

// The class of tokenizer that transformers 5 makes of a folder without a tokenizer.json, "" for none of its
// own: tokenizer_config.json and config.json name it, and some kinds of model overrule them.
std::string tokenizer_class(const std::filesystem::path& folder);

// The tokenizer of a sentencepiece model, `bytes` of the file `path`, and of what stands beside it, as
// transformers 5 converts it: pieces become a Unigram or BPE model of ours, the normalizer's rules and the
// pieces that are the user's become parts of a tokenizer.json. kCorrupt for a damaged file; kUnsupported
// naming a class that is not known here.
TokenizerFile read_sentencepiece(const std::filesystem::path& path, std::string_view bytes);

}  // namespace bolide::text
