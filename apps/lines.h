#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace bolide::apps {

// Whether a line holds nothing but white space: such lines separate, they ask for nothing.
bool is_blank(std::string_view line);

// Reads a text file, or standard input for "-", line by line; "\n" and "\r\n" end a line. Not thread-safe.
class LineReader {
 public:
  // kNotFound when the file cannot be opened.
  explicit LineReader(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // False at the end, or once `stopped` says so (asked ten times a second while a pipe has nothing to read).
  // kCorrupt for a line over 64 MiB.
  bool next(std::string& line, const std::function<bool()>& stopped = nullptr);
  // "F.jsonl line 3", of the line that next() gave last.
  std::string where() const;

 private:
  bool fill(const std::function<bool()>& stopped);

  std::string path_, buffer_;
  size_t begin_ = 0;  // of the unread part of buffer_
  int64_t line_number_ = 0;
  int fd_ = -1;
};

}  // namespace bolide::apps
