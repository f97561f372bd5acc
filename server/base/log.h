// The server's log: one JSON object per line on standard error.
//
//   log::Warning("sqlite", "a reader was ended", {{"age_ms", age}, {"handle", handle}});
//   {"timestamp":"2026-01-31T08:00:00.123456Z","level":"warning","logger":"sqlite",
//    "message":"a reader was ended","age_ms":60012,"handle":"h_1c2d3e4f"}
//
// Any thread may log and none waits for the terminal: between Init and Shutdown, records go through
// a queue of fixed length to a thread of the log's own; when it is full, the oldest record gives
// way and is counted. Before Init and after Shutdown a record is written by the caller itself,
// which waits at most a second. Parameters of statements, secrets and connection ids (log the
// handle) have no place in a record.
#ifndef SLUICE_SERVER_BASE_LOG_H_
#define SLUICE_SERVER_BASE_LOG_H_

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/strings/string_view.h"

namespace sluice::log {

enum class Level { kDebug, kInfo, kWarning, kError, kOff };

// "debug", "info", "warning", "error", "off".
std::optional<Level> ParseLevel(std::string_view name);
std::string_view LevelName(Level level);

// A borrowed string of either library's view type.
class Text {
 public:
  // NOLINTBEGIN(google-explicit-constructor)
  Text(const char* text) : view_(text) {}

  Text(const std::string& text) : view_(text) {}

  Text(std::string_view text) : view_(text) {}

  Text(absl::string_view text) : view_(text.data(), text.size()) {}

  // NOLINTEND(google-explicit-constructor)

  std::string_view view() const { return view_; }

 private:
  std::string_view view_;
};

// A field's value, borrowed until the call returns. Strings beyond 4 KiB are cut, with a note of
// how much is missing. Unsigned values above the largest int64 are shown as that.
class Value {
 public:
  // NOLINTBEGIN(google-explicit-constructor)
  template <std::convertible_to<Text> T>
  Value(const T& text) : value_(Text(text).view()) {}

  Value(bool value) : value_(value) {}

  Value(double value) : value_(value) {}

  template <std::integral T>

  requires(!std::same_as<T, bool>) Value(T value) : value_(Clamp(value)) {}

  // NOLINTEND(google-explicit-constructor)

  const std::variant<std::string_view, int64_t, double, bool>& get() const { return value_; }

 private:
  template <std::integral T>
  static int64_t Clamp(T value) {
    if constexpr (std::unsigned_integral<T> && sizeof(T) == sizeof(int64_t)) {
      constexpr T kMax = std::numeric_limits<int64_t>::max();
      return static_cast<int64_t>(value < kMax ? value : kMax);
    } else {
      return static_cast<int64_t>(value);
    }
  }

  std::variant<std::string_view, int64_t, double, bool> value_;
};

// One field of a record. The key "request_id" is written before all others; a key that the record
// itself uses (timestamp, level, logger, message) is written with an underscore after it.
struct Field {
  std::string_view key;
  Value value;
};

namespace internal {
extern std::atomic<int> threshold;
void Write(Level level, Text logger, Text message, std::initializer_list<Field> fields);
}  // namespace internal

// Starts the log's thread and sets the level. Call it before other threads start and end. A second
// call changes the level only.
void Init(Level level);

// Writes what is queued, gives up on a standard error that takes nothing for a second, and joins.
void Shutdown();

// Records lost since the process began: overrun in the queue, or not taken by standard error.
uint64_t Dropped();

// A relaxed load: ask it before computing costly fields.
inline bool Enabled(Level level) {
  return static_cast<int>(level) >= internal::threshold.load(std::memory_order_relaxed);
}

inline void Debug(Text logger, Text message, std::initializer_list<Field> fields = {}) {
  if (Enabled(Level::kDebug)) internal::Write(Level::kDebug, logger, message, fields);
}

inline void Info(Text logger, Text message, std::initializer_list<Field> fields = {}) {
  if (Enabled(Level::kInfo)) internal::Write(Level::kInfo, logger, message, fields);
}

inline void Warning(Text logger, Text message, std::initializer_list<Field> fields = {}) {
  if (Enabled(Level::kWarning)) internal::Write(Level::kWarning, logger, message, fields);
}

inline void Error(Text logger, Text message, std::initializer_list<Field> fields = {}) {
  if (Enabled(Level::kError)) internal::Write(Level::kError, logger, message, fields);
}

}  // namespace sluice::log

#endif  // SLUICE_SERVER_BASE_LOG_H_
