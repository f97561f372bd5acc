#include "server/base/log.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include <poll.h>
#include <unistd.h>

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>

#include "absl/time/time.h"

#include "server/base/clock.h"
#include "server/base/log_record.h"

namespace sluice::log {
namespace {

// A slot of spdlog's queue takes 400 bytes from the start, used or not: 1,024 are 0.4 MiB.
constexpr size_t kQueueLength = 1024;
constexpr size_t kPipeBytes =
    4096;  // what a pipe that poll(2) calls writable takes without waiting
constexpr absl::Duration kPatience = absl::Seconds(1);
constexpr int kPollMillis = 100;

constexpr std::array<std::string_view, 5> kLevelNames = {"debug", "info", "warning", "error",
                                                         "off"};

std::atomic<uint64_t> dropped{0};
std::atomic<uint64_t> mentioned{0};  // of those, how many the log itself has spoken of

// Writes a whole line to standard error. Waits for as long as `wait` says so; false if it gave up.
template <class Wait>
bool WriteLine(std::string_view line, Wait wait) {
  while (!line.empty()) {
    pollfd ready{STDERR_FILENO, POLLOUT, 0};
    if (poll(&ready, 1, kPollMillis) <= 0) {
      if (!wait()) return false;
      continue;
    }
    const ssize_t wrote = write(STDERR_FILENO, line.data(), std::min(line.size(), kPipeBytes));
    if (wrote > 0) {
      line.remove_prefix(static_cast<size_t>(wrote));
    } else if (errno != EINTR && errno != EAGAIN) {
      return false;
    }
  }
  return true;
}

// Patience: yes until a second after it was first asked.
class Patience {
 public:
  bool operator()() {
    const absl::Duration now = Clock::System().Steady();
    if (first_asked_ == absl::ZeroDuration()) first_asked_ = now;
    return now - first_asked_ < kPatience;
  }

 private:
  absl::Duration first_asked_ = absl::ZeroDuration();
};

// StandardError: the end of the pipeline, where lines that are complete already leave the process.
// Used on the log's thread; Hurry comes from the thread that shuts down.
class StandardError final : public spdlog::sinks::sink {
 public:
  void log(const spdlog::details::log_msg& record) override {
    const std::string_view line(record.payload.data(), record.payload.size());
    const auto wait = [this] { return !hurry_.load(std::memory_order_relaxed) || patience_(); };
    if (!gave_up_ && WriteLine(line, wait)) return;
    gave_up_ = hurry_.load(std::memory_order_relaxed);
    dropped.fetch_add(1, std::memory_order_relaxed);
  }

  void flush() override {}

  void set_pattern(const std::string&) override {}

  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

  // From now on, a standard error that takes nothing is waited for a second in all.
  void Hurry() { hurry_.store(true, std::memory_order_relaxed); }

 private:
  std::atomic<bool> hurry_{false};  // any thread
  Patience patience_;               // log thread
  bool gave_up_ = false;            // log thread
};

// Signals belong to main; a reader of standard error that went away must not end the process.
void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

// Pipeline: spdlog's queue and thread with our sink behind them. Owned by this file between Init
// and Shutdown.
class Pipeline {
 public:
  void Push(const std::string& line) {
    logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  }

  uint64_t Overrun() const { return threads_->overrun_counter(); }

  // Ends the thread when it has come to the end of the queue.
  void Drain() {
    sink_->Hurry();
    const uint64_t overrun = Overrun();
    threads_.reset();
    dropped.fetch_add(overrun, std::memory_order_relaxed);
  }

 private:
  std::shared_ptr<StandardError> sink_ = std::make_shared<StandardError>();
  std::shared_ptr<spdlog::details::thread_pool> threads_ =
      std::make_shared<spdlog::details::thread_pool>(kQueueLength, 1, BlockSignals);
  std::shared_ptr<spdlog::async_logger> logger_ = std::make_shared<spdlog::async_logger>(
      "sluice", sink_, threads_, spdlog::async_overflow_policy::overrun_oldest);
};

// Read-locked to push, so that Shutdown cannot take the pipeline from under a record.
std::shared_mutex pipeline_mu;
Pipeline* pipeline = nullptr;  // guarded by pipeline_mu

}  // namespace

namespace internal {

std::atomic<int> threshold{static_cast<int>(Level::kInfo)};

void Write(Level level, Text logger, Text message, std::initializer_list<Field> fields) {
  const std::string line = FormatRecord(Clock::System().Now(), level, logger, message, fields);
  {
    const std::shared_lock lock(pipeline_mu);
    if (pipeline != nullptr) {
      pipeline->Push(line);
      return;
    }
  }
  if (!WriteLine(line, Patience())) dropped.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace internal

std::optional<Level> ParseLevel(std::string_view name) {
  const auto at = std::find(kLevelNames.begin(), kLevelNames.end(), name);
  if (at == kLevelNames.end()) return std::nullopt;
  return static_cast<Level>(at - kLevelNames.begin());
}

std::string_view LevelName(Level level) {
  return kLevelNames[static_cast<size_t>(level)];
}

void Init(Level level) {
  internal::threshold.store(static_cast<int>(level), std::memory_order_relaxed);
  const std::unique_lock lock(pipeline_mu);
  if (pipeline == nullptr) pipeline = new Pipeline();
}

void Shutdown() {
  const uint64_t lost = Dropped();
  if (lost > mentioned.exchange(lost, std::memory_order_relaxed)) {
    Warning("log", "records were dropped", {{"dropped", lost}});
  }
  std::unique_ptr<Pipeline> ending;
  {
    const std::unique_lock lock(pipeline_mu);
    ending.reset(std::exchange(pipeline, nullptr));
  }
  if (ending != nullptr) ending->Drain();
}

uint64_t Dropped() {
  const std::shared_lock lock(pipeline_mu);
  const uint64_t overrun = pipeline == nullptr ? 0 : pipeline->Overrun();
  return overrun + dropped.load(std::memory_order_relaxed);
}

}  // namespace sluice::log
