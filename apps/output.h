#pragma once

#include <string>
#include <string_view>

#include "apps/inputs.h"

namespace bolide::apps {

// Where results go: a file, or standard output for "-". Every failed write (disk full, reader gone) throws
// kResource naming the file and the reason. Not thread-safe.
//
// Nothing is lost by it: an output that is one of the run's inputs, or the file that standard output or
// standard error go to already, is refused (kUsage) before anything is written. A link is followed and stays
// a link; /dev/stdout, /dev/fd/N and their like are the open descriptor itself.
class Output {
 public:
  enum class Mode {
    kDirect,  ///< what is written is there at once, and stays when the run fails later
    kWhole,   ///< the file appears under its name only with commit(), with the mode of the one before; else
              ///< nothing is left behind. What a killed run has left, the next one for the same file removes
  };
  explicit Output(const std::string& path, Mode mode = Mode::kDirect, const Inputs& inputs = {});
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(std::string_view bytes);
  void flush();
  void commit();  ///< flush, and give a kWhole file its name
  bool is_terminal() const;
  bool is_standard_output() const;
  bool is_partial() const { return !temporary_.empty(); }  // there is a file beside its place, until commit()
  int fd() const { return fd_; }

 private:
  void write_all(std::string_view bytes);
  [[noreturn]] void failed(int error) const;
  std::string name() const;  // for messages

  std::string path_, temporary_;  // temporary_ is empty where writing goes straight to path_
  std::string pending_;
  int fd_ = -1;
  bool given_ = false;  // the descriptor was there before: it is neither cut nor closed
  bool begun_ = false;  // what an earlier run left in the file is gone
};

}  // namespace bolide::apps
