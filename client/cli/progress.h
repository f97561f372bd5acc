// How far a long command is.
#ifndef SLUICE_CLIENT_CLI_PROGRESS_H_
#define SLUICE_CLIENT_CLI_PROGRESS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "client/cli/commands.h"

namespace sluice::cli {

// One line on standard error, unless --quiet was given: on a terminal written anew a few times a
// second and gone at the end, elsewhere a further one every few seconds. Owned by the command and
// used on its thread.
class Progress {
 public:
  Progress(const Session& session, absl::string_view noun);

  ~Progress() { Clear(); }

  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `count` things are done; of the work, `done` of `total` bytes, where that is known.
  void Show(int64_t count, int64_t done, std::optional<int64_t> total);
  void Clear();

  absl::Duration Elapsed() const { return absl::Now() - start_; }

 private:
  const bool visible_;
  const bool terminal_;
  const absl::Duration interval_;
  const std::string noun_;
  const absl::Time start_ = absl::Now();
  absl::Time next_;
  bool shown_ = false;
};

// `5.2 M rows, 1.3 M rows/s, 40 %, 6s left`: after that time, and what Progress::Show is given.
std::string ProgressText(absl::string_view noun,
                         absl::Duration elapsed,
                         int64_t count,
                         int64_t done,
                         std::optional<int64_t> total);

// `7 rows`, `5.2 k rows`, `1.3 MB`.
std::string ShortAmount(double number, absl::string_view unit);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_PROGRESS_H_
