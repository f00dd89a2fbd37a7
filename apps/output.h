#pragma once

#include <string>
#include <string_view>

namespace bolide::apps {

// Where results go: a file, or standard output for "-". Every failed write (disk full, reader gone) throws
// kResource naming the file and the reason. Not thread-safe.
class Output {
 public:
  enum class Mode {
    kDirect,  ///< what is written is there at once, and stays when the run fails later
    kWhole,   ///< the file appears under its name only with commit(); else nothing is left behind
  };
  explicit Output(const std::string& path, Mode mode = Mode::kDirect);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(std::string_view bytes);
  void flush();
  void commit();  ///< flush, and give a kWhole file its name
  bool is_terminal() const;
  int fd() const { return fd_; }

 private:
  void write_all(std::string_view bytes);
  [[noreturn]] void failed(int error) const;

  std::string path_, temporary_;  // temporary_ is empty where writing goes straight to path_
  std::string pending_;
  int fd_ = -1;
  bool begun_ = false;  // what an earlier run left in the file is gone
};

}  // namespace bolide::apps
