#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace bolide::text {

// What the work on one text may cost. A tokenizer.json comes from anywhere, and a few kilobytes of it can ask
// for hours: patterns that backtrack, words that are compared with ever longer tokens. So whoever loops
// counts its steps here. Not thread-safe: one a text.
//
// The bound is time of the calling thread's own, 2 s and 2 us for each byte of the text. Real tokenizers take
// 0.05 to 0.3 us a byte: no text meets the bound, of whatever length, also on a machine five times as slow.
class Work {
 public:
  static constexpr double kSeconds = 2, kSecondsPerByte = 2e-6;
  using Cancelled = std::function<bool()>;

  // `cancelled` (null: never) is asked some hundred times a second and must outlive this. `what` begins the
  // error: "tokenising a text of 12 bytes".
  explicit Work(size_t bytes, const Cancelled* cancelled = nullptr, double seconds = kSeconds,
                const char* what = "tokenising a text of")
      : bytes_(bytes), cancelled_(cancelled), seconds_(seconds), what_(what) {}

  // `steps` of about a nanosecond each. Throws kResource when the work was cancelled, and kUnsupported when
  // it has taken too long.
  void spend(uint64_t steps) {
    left_ -= static_cast<int64_t>(steps);
    if (left_ < 0) [[unlikely]]
      look();
  }
  // Before a step that may take any time, such as a search of a pattern: a clock tells how long the last ones
  // took. Reading it costs 25 ns, so that quick ones are timed 32 together.
  void spend_time() {
    if (++untimed_ >= together_) read_clock();
  }

 private:
  static constexpr int64_t kSteps = 1'000'000;
  void look();
  void read_clock();

  size_t bytes_;
  const Cancelled* cancelled_;
  double seconds_;
  const char* what_;
  int64_t left_ = kSteps;
  int untimed_ = 0, together_ = 32;
  int64_t last_clock_ = -1;
  int64_t begin_ = -1;  // thread time at the first look, in ns; looking costs more than a short text does
};

}  // namespace bolide::text
