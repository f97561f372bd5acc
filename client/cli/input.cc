#include "client/cli/input.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "client/cli/utf8.h"

namespace sluice::cli {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr int kLookForStopMs = 100;

std::string ErrorText(int error) {
  return std::strerror(error);  // NOLINT(concurrency-mt-unsafe): main's thread
}

}  // namespace

absl::StatusOr<Input> Input::Open(const std::string& path, std::stop_token stop) {
  int fd = STDIN_FILENO;
  if (path != "-") fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat facts = {};
  if (fd < 0 || fstat(fd, &facts) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ": ", ErrorText(errno)));
  }
  if (S_ISDIR(facts.st_mode)) {
    if (fd != STDIN_FILENO) close(fd);
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ": it is a folder"));
  }
  std::optional<int64_t> size;
  if (S_ISREG(facts.st_mode)) size = facts.st_size;
  return Input(fd, size, std::move(stop));
}

Input::Input(int fd, std::optional<int64_t> size, std::stop_token stop)
    : fd_(fd), size_(size), stop_(std::move(stop)) {}

Input::Input(std::string text)
    : size_(static_cast<int64_t>(text.size())), buffer_(std::move(text)), at_end_(true) {}

Input::Input(Input&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      stop_(std::move(other.stop_)),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      consumed_(other.consumed_),
      at_end_(other.at_end_),
      status_(std::move(other.status_)) {}

Input::~Input() {
  if (fd_ > STDIN_FILENO) close(fd_);
}

bool Input::More() {
  if (at_end_) return false;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t old_size = buffer_.size();
  buffer_.resize(old_size + std::max(kReadBytes, old_size));
  const size_t wanted = old_size + std::max<size_t>(1, old_size / 2);
  size_t size = old_size;
  while (size < wanted && !at_end_ && !stop_.stop_requested()) {
    pollfd ready = {fd_, POLLIN, 0};
    if (poll(&ready, 1, kLookForStopMs) == 0) continue;
    const ssize_t n = read(fd_, buffer_.data() + size, buffer_.size() - size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) status_ = absl::DataLossError(absl::StrCat("reading failed: ", ErrorText(errno)));
    at_end_ = n <= 0;
    size += static_cast<size_t>(std::max<ssize_t>(n, 0));
  }
  buffer_.resize(size);
  if (stop_.stop_requested()) status_ = absl::CancelledError("cancelled");
  if (!status_.ok()) at_end_ = true;
  return size > old_size && status_.ok();
}

absl::Status SkipByteOrderMark(Input* input) {
  while (input->View().size() < 4 && input->More()) {
  }
  const absl::string_view text = input->View();
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) {
    input->Consume(3);
    return absl::OkStatus();
  }
  absl::string_view encoding;
  if (absl::StartsWith(text, absl::string_view("\xFF\xFE\0\0", 4)) ||
      absl::StartsWith(text, absl::string_view("\0\0\xFE\xFF", 4))) {
    encoding = "UTF-32";
  } else if (absl::StartsWith(text, "\xFF\xFE") || absl::StartsWith(text, "\xFE\xFF")) {
    encoding = "UTF-16";
  }
  if (encoding.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "it is ", encoding, ", not UTF-8: convert it with iconv -f ", encoding, " -t UTF-8"));
}

absl::StatusOr<std::string> ReadText(const std::string& path, std::stop_token stop) {
  auto input = Input::Open(path, std::move(stop));
  if (!input.ok()) return input.status();
  absl::Status status = SkipByteOrderMark(&*input);
  while (input->More()) {
  }
  if (status.ok()) status = input->status();
  std::string text(input->View());
  if (status.ok() && !IsUtf8(text)) status = absl::InvalidArgumentError("it is not UTF-8");
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(NameOf(path), ": ", status.message()));
  }
  return text;
}

std::string SizeText(size_t bytes) {
  constexpr size_t kMiB = 1 << 20;
  return bytes >= kMiB && bytes % kMiB == 0 ? absl::StrCat(bytes / kMiB, " MiB")
                                            : absl::StrCat(bytes, " bytes");
}

std::string NameOf(const std::string& path) {
  if (path == "-") return "standard input";
  return path.substr(path.rfind('/') + 1);
}

}  // namespace sluice::cli
