#include "client/cli/output.h"

#include <cerrno>

#include <poll.h>
#include <unistd.h>

namespace sluice::cli {

bool Output::Flush() {
  size_t written = 0;
  while (error_ == 0 && written < buffer_.size()) {
    const ssize_t n = write(fd_, buffer_.data() + written, buffer_.size() - written);
    if (n >= 0) {
      written += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      // Whoever shares the descriptor made it non-blocking.
      pollfd ready = {fd_, POLLOUT, 0};
      poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  buffer_.clear();
  return error_ == 0;
}

}  // namespace sluice::cli
