#include "models/interleaved_decoder.h"

#include "models/short_keys.h"

namespace bolide {

ModelConfig read_interleaved_decoder(const Json& json, std::string_view architecture,
                                     std::string_view where) {
  DecoderConfig read;
  ModelConfig& config = read.model;
  config = read_short_keys(json,
                           {.architecture = architecture,
                            .vocab_size = 50400,
                            .hidden_size = 4096,
                            .layers = 28,
                            .heads = 16,
                            .positions = 0,
                            .tied_head = false},
                           where);
  if (json_find(json, "rotary_dim", where) && !json_is_given(json, "rotary_dim", where))
    fail(ErrorCode::kUnsupported, "{}: rotary_dim is null, and this version has no such graph", where);
  const auto dims = json_get_or<int64_t>(json, "rotary_dim", 64, where);
  if (dims < 2 || dims % 2 != 0 || dims > config.head_size) {
    fail(ErrorCode::kCorrupt, "{}: rotary_dim is {}, not an even number up to the head size of {}", where,
         dims, config.head_size);
  }
  read.graph = {.rotaries = {Rotary(dims, {}, true)},
                .form = {.residual = Residual::kParallelSharedNorm},
                .activation = read_activation_function(json, "gelu_new", where),
                .biases = {.qkv = false, .attention_out = false, .mlp = true, .head = true}};
  return settle(std::move(read));
}

}  // namespace bolide
