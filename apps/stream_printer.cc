#include "apps/stream_printer.h"

#include <utility>

namespace bolide::apps {

void StreamPrinter::set_heading(int64_t index, std::string heading) {
  std::lock_guard lock(mutex_);
  waiting_[index].heading = std::move(heading);
}

bool StreamPrinter::push(int64_t index, const std::string& text) {
  std::lock_guard lock(mutex_);
  waiting_[index].text += text;
  if (index == current_ && !broken_) {
    try {
      print(waiting_[index]);
    } catch (...) {
      broken_ = std::current_exception();
    }
  }
  return !broken_;
}

void StreamPrinter::finish(int64_t index, const std::string& text) {
  std::lock_guard lock(mutex_);
  if (broken_) std::rethrow_exception(broken_);
  Waiting& done = waiting_[index];
  if (text.size() > done.text.size()) done.text = text;  // the end that was never certain while it ran
  done.text += '\n';
  print(done);
  waiting_.erase(index);
  current_ = index + 1;
  const auto next = waiting_.find(current_);
  if (next != waiting_.end() && !next->second.text.empty()) print(next->second);
}

bool StreamPrinter::unfinished() {
  std::lock_guard lock(mutex_);
  return waiting_[current_].printed > 0;
}

void StreamPrinter::print(Waiting& waiting) {
  if (!std::exchange(waiting.headed, true)) out_.write(waiting.heading);
  out_.write(std::string_view(waiting.text).substr(waiting.printed));
  waiting.printed = waiting.text.size();
  out_.flush();
}

}  // namespace bolide::apps
