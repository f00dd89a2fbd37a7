#pragma once

#include <gmock/gmock.h>

// EXPECT_CHECK(statement, "part of the message"): a BOLIDE_CHECK fails. A plain substring, because a regular
// expression hangs under AddressSanitizer: Oniguruma brings a regcomp of its own, while the sanitizer sends
// regexec to the C library's, which then waits for a lock inside a structure that is not its own.
#define EXPECT_CHECK(statement, part) EXPECT_DEATH(statement, ::testing::HasSubstr(part))
