#include "text/work.h"

#include <ctime>

#include "base/error.h"

namespace bolide::text {
namespace {

int64_t now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

void Work::read_clock() {
  const int64_t time = now(CLOCK_MONOTONIC);
  const int64_t taken = last_clock_ < 0 ? 0 : time - last_clock_;
  last_clock_ = time;
  untimed_ = 0;
  together_ = taken > 10'000'000 ? 1 : taken > 1'000'000 ? 8 : 32;
  spend(static_cast<uint64_t>(taken));
}

void Work::look() {
  left_ = kSteps;
  if (cancelled_ && *cancelled_ && (*cancelled_)())
    fail(ErrorCode::kResource, "interrupted while {} {} bytes", what_, bytes_);
  const int64_t time = now(CLOCK_THREAD_CPUTIME_ID);
  if (begin_ < 0) begin_ = time;
  const double limit = seconds_ + kSecondsPerByte * static_cast<double>(bytes_);
  if (static_cast<double>(time - begin_) > 1e9 * limit) {
    fail(ErrorCode::kUnsupported,
         "{} {} bytes took more than {:.1f} s: this tokenizer does not suit the text (a pattern that "
         "backtracks, or tokens of many thousand bytes)",
         what_, bytes_, limit);
  }
}

}  // namespace bolide::text
