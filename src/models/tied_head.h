#pragma once

#include "models/open_checkpoint.h"

namespace bolide {

// Decides whether the head is the token embedding, by what the checkpoint holds: a head that repeats the
// embedding is tied whatever the config says, one of its own is used, and of a tied pair either will do (the
// embedding then goes by both names). What is missing or misshapen is left for check_complete().
//
// FT's BLOOM converter may write the tied head a second time, and transposed, when the input lists it;
// reading that file as [vocab, hidden] is what gave its users zero accuracy. So in an FT folder a head that
// is the embedding again, the other way round, is tied, too.
void settle_head(Checkpoint& checkpoint);

}  // namespace bolide
