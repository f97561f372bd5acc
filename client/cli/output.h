// Standard output, through a large buffer.
#ifndef SLUICE_CLIENT_CLI_OUTPUT_H_
#define SLUICE_CLIENT_CLI_OUTPUT_H_

#include <string>

namespace sluice::cli {

// Collects what a command prints and hands it to a file descriptor in large pieces. Owned by main
// and used on its thread. A reader that went away (EPIPE) or a failed write (a full disk) ends
// writing: Failed() turns true, and what is appended later is dropped.
class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}

  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Where to append. Call Spill after each row.
  std::string& Buffer() { return buffer_; }

  // Writes when much has gathered, or all there is. False: writing has ended.
  bool Spill() { return buffer_.size() < kSpillBytes ? error_ == 0 : Flush(); }

  bool Flush();

  bool Failed() const { return error_ != 0; }

  // The errno that ended writing; 0 while it goes well.
  int Errno() const { return error_; }

 private:
  static constexpr size_t kSpillBytes = 256 << 10;

  const int fd_;
  std::string buffer_;
  int error_ = 0;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_OUTPUT_H_
