// Files, read front to back.
#ifndef SLUICE_CLIENT_CLI_INPUT_H_
#define SLUICE_CLIENT_CLI_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::cli {

// A record, or a line, of more bytes is refused: the server takes no larger request by default.
inline constexpr size_t kMaxRecordBytes = 16 << 20;

// A file or standard input, of any size: a window that its reader moves on. Owned by the command
// that reads it and used on its thread.
class Input {
 public:
  // `-` is standard input. Reading ends where stop is requested, as at the end of the file.
  static absl::StatusOr<Input> Open(const std::string& path, std::stop_token stop);
  // A text in memory.
  explicit Input(std::string text);
  Input(Input&& other) noexcept;
  Input& operator=(Input&& other) = delete;
  ~Input();

  // What was read and is not consumed yet. Holds until More.
  absl::string_view View() const { return absl::string_view(buffer_).substr(begin_); }

  // Reads on behind the view, at least half as much as is in it: whoever looks at a record from its
  // beginning each time, does so in linear time. False: there is no more, or it cannot be read.
  bool More();

  // True once View() is all that is left.
  bool AtEnd() const { return at_end_; }

  void Consume(size_t bytes) { begin_ += bytes, consumed_ += static_cast<int64_t>(bytes); }

  // Why reading ended before the end of the file.
  const absl::Status& status() const { return status_; }

  int64_t Consumed() const { return consumed_; }

  // In bytes; none where the file does not say.
  std::optional<int64_t> Size() const { return size_; }

 private:
  Input(int fd, std::optional<int64_t> size, std::stop_token stop);

  int fd_ = -1;  // none, once it is at its end or was never a file
  std::optional<int64_t> size_;
  std::stop_token stop_;
  std::string buffer_;
  size_t begin_ = 0;  // of the view
  int64_t consumed_ = 0;
  bool at_end_ = false;
  absl::Status status_;
};

// Consumes a UTF-8 byte order mark; INVALID_ARGUMENT if the text begins with that of another
// encoding, which it names.
absl::Status SkipByteOrderMark(Input* input);

// The whole of a file, which must be UTF-8.
absl::StatusOr<std::string> ReadText(const std::string& path, std::stop_token stop);

// `16 MiB`, `100 bytes`.
std::string SizeText(size_t bytes);

// `standard input`, or the file's name without its folder.
std::string NameOf(const std::string& path);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_INPUT_H_
