#include "server/core/health.h"

#include <algorithm>
#include <cassert>
#include <stop_token>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#include "server/async/join.h"
#include "server/async/sleep.h"
#include "server/base/utf8.h"

namespace sluice::core {
namespace {

// One line of at most kHealthMessageCharacters.
std::string CutMessage(absl::string_view text) {
  std::string line = SanitizeForMessage({text.data(), text.size()}, 4 * kHealthMessageCharacters);
  if (CountCharacters(line) <= kHealthMessageCharacters) return line;
  size_t end = 0;
  for (size_t kept = 0; kept + 1 < kHealthMessageCharacters; ++kept) {
    end += Utf8Length(std::string_view(line).substr(end));
  }
  return absl::StrCat(line.substr(0, end), "…");
}

StopCause CauseOf(const Context& ctx) {
  const StopCause cause = ctx.cause == nullptr ? StopCause::kNone : ctx.cause->load();
  return cause == StopCause::kNone ? StopCause::kCancelled : cause;
}

}  // namespace

double ConnectionHealth::score() const {
  switch (state) {
    case HealthState::kHealthy:
      return 1;
    case HealthState::kDegraded:
      return 0.5;
    case HealthState::kUnhealthy:
      return 0;
  }
  return 0;
}

Task<ConnectionHealth> Check(const Context& ctx,
                             Connections& connections,
                             Connections::EntryPtr entry) {
  // A call inside the call: it ends with its caller, or after its own limit.
  const Clock& clock = Executor::Current()->clock();
  CallScope scope;
  std::stop_callback with_caller(ctx.stop, [&] { scope.Stop(CauseOf(ctx)); });
  scope.Arm(*Executor::Current(), kHealthCheckLimit);
  const absl::Time deadline = std::min(ctx.deadline, clock.Unset() + kHealthCheckLimit);
  const Context check = scope.MakeContext(deadline, ctx.request_id);

  ConnectionHealth health;
  health.handle = entry->handle;
  health.name = entry->name;
  const absl::Duration asked = clock.Steady();
  const Connections::Outcome opened = co_await connections.Open(check, std::move(entry));
  absl::StatusOr<db::DatabaseInfo> info = db::DatabaseInfo();
  if (opened.ok()) {
    info = co_await (*opened)->database->Inspect(check);
  } else {
    info = opened.status();
  }
  health.response_time = clock.Steady() - asked;
  if (opened.ok()) health.load = (*opened)->database->Load();
  if (info.ok()) {
    const bool slow = health.response_time > kSlowAnswer;
    health.state = slow ? HealthState::kDegraded : HealthState::kHealthy;
    if (slow) {
      health.message =
          absl::StrCat("The answer took ", absl::ToInt64Milliseconds(health.response_time), " ms.");
    }
    health.info = *std::move(info);
  } else if (absl::IsDeadlineExceeded(info.status())) {
    health.message =
        absl::StrCat("No answer within ", absl::FormatDuration(kHealthCheckLimit), ".");
  } else {
    health.message = CutMessage(info.status().message());
  }
  co_return health;
}

Task<std::vector<ConnectionHealth>> CheckAll(const Context& ctx,
                                             Connections& connections,
                                             std::vector<Connections::EntryPtr> entries) {
  std::vector<Task<ConnectionHealth>> checks;
  checks.reserve(entries.size());
  // Each check holds its own entry only while it lasts: a slow neighbour keeps nothing from
  // closing.
  for (Connections::EntryPtr& entry : entries) {
    checks.push_back(Check(ctx, connections, std::move(entry)));
  }
  std::vector<ConnectionHealth> results = co_await JoinAll(std::move(checks));
  co_return results;
}

HealthMonitor::HealthMonitor(Connections& connections,
                             OnChange on_change,
                             OnGone on_gone,
                             absl::Duration interval)
    : connections_(connections),
      interval_(interval),
      start_([](Job* job) { Spawn(static_cast<MonitorJob*>(job)->monitor->Run()); }, this),
      stop_(
          [](Job* job) {
            static_cast<MonitorJob*>(job)->monitor->scope_.Stop(StopCause::kDraining);
          },
          this),
      on_change_(std::move(on_change)),
      on_gone_(std::move(on_gone)) {}

HealthMonitor::~HealthMonitor() {
  assert((executor_ == nullptr || ended_.HasBeenNotified()) && "a running monitor was destroyed");
}

void HealthMonitor::Start(Executor& executor) {
  assert(executor_ == nullptr && "a monitor starts once");
  executor_ = &executor;
  executor.Post(&start_);
}

void HealthMonitor::Stop() {
  if (executor_ != nullptr && !stopping_.exchange(true)) executor_->Post(&stop_);
}

void HealthMonitor::Join() {
  if (executor_ != nullptr) ended_.WaitForNotification();
}

Task<void> HealthMonitor::Run() {
  const Context ctx = scope_.MakeContext(absl::InfiniteFuture(), "");
  while (!scope_.stopped()) {
    std::vector<Connections::EntryPtr> entries = connections_.List();
    ForgetAllBut(entries);
    const std::vector<ConnectionHealth> results =
        co_await CheckAll(ctx, connections_, std::move(entries));
    if (scope_.stopped())
      break;  // what a check says that was cut short is not the database's fault
    for (const ConnectionHealth& health : results) Report(health);
    co_await SleepFor(ctx, interval_);
  }
  ended_.Notify();
}

void HealthMonitor::Report(const ConnectionHealth& health) {
  const auto [known, first] = reported_.emplace(health.handle, Reported{health.name, health.state});
  if (!first && known->second.state == health.state) return;
  known->second.state = health.state;
  on_change_(health);
}

void HealthMonitor::ForgetAllBut(const std::vector<Connections::EntryPtr>& entries) {
  absl::flat_hash_set<absl::string_view> handles;
  for (const Connections::EntryPtr& entry : entries) handles.insert(entry->handle);
  absl::erase_if(reported_, [&](const auto& known) {
    const bool gone = !handles.contains(known.first);
    if (gone) on_gone_(known.second.name);
    return gone;
  });
}

}  // namespace sluice::core
