#pragma once

#include <string>
#include <string_view>

#include "bolide/log.h"
#include "bolide/request.h"

namespace bolide::apps {

// One line of --input to a Request. `defaults` holds what the flags said; a field of the line overrides its
// flag.
//   {"prompt": "..."} or {"input_ids": [1, 2]}, and optionally max_new_tokens (or output_len), temperature,
//   top_k, top_p, seed, stop (a string or a list), ignore_eos, return_log_probs,
//   and FasterTransformer's parameters that can only be neutral (options.h).
// `where` ("F.jsonl line 3") starts every message. Throws kCorrupt for what is not such an object (bad JSON,
// a key twice, a value of the wrong type, an unknown field or a value that cannot be honoured).
// Reentrant; any bytes may be given as `line`. `idle`: see jsonl_source().
Request parse_request(std::string_view line, std::string_view where, const Request& defaults,
                      Warnings* idle = nullptr);

}  // namespace bolide::apps
