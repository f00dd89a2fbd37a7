#pragma once

#include <gtest/gtest.h>

#include <string>

#include "bolide/error.h"

namespace bolide {

// Empty when `call` throws an Error of this code whose message is one line that holds `part`; else what went
// wrong.
template <class F>
std::string error_mismatch(F&& call, ErrorCode code, const std::string& part) {
  try {
    call();
  } catch (const Error& error) {
    const std::string what = error.what();
    if (error.code() != code) return "another error code, with: " + what;
    if (what.find(part) == std::string::npos) return "'" + part + "' is not in: " + what;
    if (what.find('\n') != std::string::npos) return "the message has more than one line: " + what;
    return "";
  }
  return "nothing was thrown";
}

}  // namespace bolide

// EXPECT_ERROR(statement, ErrorCode::kCorrupt, "part of the message").
#define EXPECT_ERROR(statement, code, part) \
  EXPECT_EQ(::bolide::error_mismatch([&] { (void)(statement); }, code, part), "")
