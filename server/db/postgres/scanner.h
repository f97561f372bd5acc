// Scanner: reads a value in text form from its start. Each method that is false has read nothing.
#ifndef SLUICE_SERVER_DB_POSTGRES_SCANNER_H_
#define SLUICE_SERVER_DB_POSTGRES_SCANNER_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace sluice::postgres {

class Scanner {
 public:
  explicit Scanner(absl::string_view text) : rest_(text) {}

  bool Done() const { return rest_.empty(); }

  absl::string_view rest() const { return rest_; }

  // NUL at the end.
  char Peek() const { return rest_.empty() ? '\0' : rest_.front(); }

  void Skip(size_t count) { rest_.remove_prefix(count); }

  bool Eat(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool Eat(absl::string_view word) {
    if (!absl::StartsWith(rest_, word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  // As many digits as there are, from `fewest` to `most` of them (18 at most).
  bool Digits(size_t fewest, size_t most, int64_t& number) {
    size_t count = 0;
    int64_t read = 0;
    while (count < most && count < rest_.size() &&
           absl::ascii_isdigit(static_cast<unsigned char>(rest_[count]))) {
      read = read * 10 + (rest_[count++] - '0');
    }
    if (count < fewest) return false;
    number = read;
    rest_.remove_prefix(count);
    return true;
  }

 private:
  absl::string_view rest_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_SCANNER_H_
