#include "server/db/postgres/pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/db/fingerprint.h"

namespace sluice::postgres {
namespace {

// How long a statement that was cancelled may take to say so.
constexpr absl::Duration kCancelGrace = absl::Milliseconds(500);
// And a connection that was given back, to be as good as new.
constexpr absl::Duration kSettleLimit = absl::Seconds(5);
constexpr absl::Duration kPingLimit = absl::Seconds(2);
constexpr absl::Duration kSweep = absl::Seconds(1);
// Connections beyond the pool's maximum are kept that long.
constexpr absl::Duration kOverflowIdle = absl::Seconds(10);
// Attempts to connect are apart by a random time up to these.
constexpr absl::Duration kFirstRest = absl::Milliseconds(50);
constexpr absl::Duration kLongestRest = absl::Seconds(1);
constexpr absl::Duration kLongestRestAfterRefusal = absl::Seconds(30);
// Of what is shown to those who look.
constexpr size_t kMostStatementKept = 1 << 10;
constexpr size_t kMostHolders = 1000;

// Lets the waiter of a trip go after a while.
class Limit final : Timer {
 public:
  Limit(Reactor& reactor, Trip& trip)
      : Timer([](Timer* timer) { static_cast<Limit*>(timer)->trip_.Abandon(); }),
        reactor_(reactor),
        trip_(trip) {}

  ~Limit() { reactor_.CancelTimer(*this); }

  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

  void Start(absl::Duration delay) { reactor_.StartTimer(*this, delay); }

 private:
  Reactor& reactor_;
  Trip& trip_;
};

// When the next attempt is made, for those whom it may help.
absl::Status Later(const absl::Status& failure, absl::Duration delay) {
  return errors::IsTransient(failure) ? errors::WithRetryDelay(failure, delay) : failure;
}

// Whether connections are for a server that takes writes, whichever that is.
bool MustWrite(const ConnectTarget& target) {
  return std::any_of(target.keywords.begin(), target.keywords.end(), [](const auto& keyword) {
    const auto& [name, value] = keyword;
    return name == "target_session_attrs" && (value == "read-write" || value == "primary");
  });
}

bool IsTooMany(const absl::Status& status) {
  return errors::ReasonOf(status) == "POOL_EXHAUSTED";
}

}  // namespace

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  Release();
  pool_ = std::exchange(other.pool_, nullptr);
  connection_ = std::move(other.connection_);
  hygiene_ = other.hygiene_;
  return *this;
}

void Lease::Release() {
  if (connection_ == nullptr) return;
  std::exchange(pool_, nullptr)->Return(std::move(connection_), hygiene_);
}

void Lease::Serves(Tenant tenant) {
  pool_->held_[connection_.get()].tenant = std::move(tenant);
}

void Lease::Runs(absl::string_view sql) {
  pool_->held_[connection_.get()].sql = std::string(sql.substr(0, kMostStatementKept));
}

Task<Trip::End> Lease::Await(std::shared_ptr<Trip> trip, Caller& caller) {
  Limit limit(pool_->reactor_, *trip);
  const Caller::Watch watch(caller, [&] {
    if (connection_ != nullptr) connection_->Cancel();
    limit.Start(kCancelGrace);
  });
  const Trip::End end = co_await trip->Wait();
  if (end == Trip::End::kAbandoned) Leaves(Hygiene::kReset);
  co_return end;
}

Task<Trip::End> Lease::AwaitAtMost(std::shared_ptr<Trip> trip, absl::Duration limit) {
  Limit most(pool_->reactor_, *trip);
  most.Start(limit);
  const Trip::End end = co_await trip->Wait();
  co_return end;
}

Pool::Pool(Reactor& reactor,
           std::shared_ptr<const ConnectTarget> target,
           const Egress& egress,
           const PoolOptions& options)
    : reactor_(reactor),
      target_(std::move(target)),
      egress_(egress),
      options_(options),
      must_write_(MustWrite(*target_)),
      random_(std::random_device()()),
      sweep_(*this),
      retry_(*this) {}

Pool::~Pool() = default;

Task<absl::StatusOr<Lease>> Pool::Acquire(Caller& caller) {
  while (true) {
    if (closing_) co_return errors::PoolClosed();
    if (caller.stopped()) co_return caller.Why(errors::Executed::kNo);
    bool fresh = true;
    std::unique_ptr<Connection> connection = waiters_.empty() ? TakeIdle(fresh) : nullptr;
    if (connection == nullptr) {
      CO_TRY(connection, co_await WaitForOne(caller));
    }
    leased_.fetch_add(1, std::memory_order_relaxed);
    if (!fresh) {
      const bool alive = co_await Ping(*connection);
      if (!alive) {
        leased_.fetch_sub(1, std::memory_order_relaxed);
        CloseConnection(std::move(connection));
        continue;
      }
    }
    held_[connection.get()].since = reactor_.clock().Steady();
    co_return Lease(this, std::move(connection));
  }
}

std::unique_ptr<Connection> Pool::TakeIdle(bool& fresh) {
  while (!idle_.empty()) {
    Idle last = std::move(idle_.back());
    idle_.pop_back();
    if (!last.connection->Alive() || Expired(*last.connection)) {
      CloseConnection(std::move(last.connection));
      continue;
    }
    fresh = options_.pre_ping == absl::ZeroDuration() ||
            reactor_.clock().Steady() - last.since < options_.pre_ping;
    return std::move(last.connection);
  }
  return nullptr;
}

Task<bool> Pool::Ping(Connection& connection) {
  const std::shared_ptr<Trip> trip = connection.Sync();
  Limit limit(reactor_, *trip);
  limit.Start(kPingLimit);
  const Trip::End end = co_await trip->Wait();
  co_return end == Trip::End::kDone;
}

Task<absl::StatusOr<std::unique_ptr<Connection>>> Pool::WaitForOne(Caller& caller) {
  CO_CHECK(Resting());
  const auto waiting = static_cast<int64_t>(waiters_.size());
  if (waiting >= options_.waiters) co_return errors::PoolExhausted("connections", options_.waiters);

  struct Limits final : Timer {
    Limits(Pool& its_pool, Waiter& its_waiter)
        : Timer([](Timer* timer) {
            auto* const self = static_cast<Limits*>(timer);
            Pool& owner = self->pool;
            ++owner.acquire_timeouts_;
            absl::Status late = owner.failure_;
            if (late.ok()) {
              late = errors::AcquireTimeout(static_cast<int64_t>(owner.waiters_.size()) - 1,
                                            owner.options_.max + owner.options_.overflow,
                                            owner.options_.acquire_timeout);
            }
            owner.Tell(self->waiter, std::move(late));
          }),
          pool(its_pool),
          waiter(its_waiter) {}

    Pool& pool;
    Waiter& waiter;
  };

  Waiter waiter;
  Limits limits(*this, waiter);
  reactor_.StartTimer(limits, options_.acquire_timeout);
  const Caller::Watch watch(caller, [&] { Tell(waiter, caller.Why(errors::Executed::kNo)); });
  absl::Status status = co_await Async<absl::Status>([&](Completion<absl::Status> done) {
    waiter.done.emplace(std::move(done));
    if (caller.stopped()) return Tell(waiter, caller.Why(errors::Executed::kNo));
    waiters_.push_back(&waiter);
    waiting_.store(static_cast<int64_t>(waiters_.size()), std::memory_order_relaxed);
    MayConnect();
  });
  reactor_.CancelTimer(limits);
  if (!status.ok()) co_return status;
  co_return std::move(waiter.got);
}

void Pool::Tell(Waiter& waiter, absl::Status status) {
  if (!waiter.done.has_value()) return;
  waiters_.remove(&waiter);
  waiting_.store(static_cast<int64_t>(waiters_.size()), std::memory_order_relaxed);
  Completion<absl::Status> done = *std::move(waiter.done);
  waiter.done.reset();
  done.Resolve(std::move(status));
}

void Pool::FailWaiters(const absl::Status& why) {
  while (!waiters_.empty()) Tell(*waiters_.front(), why);
}

bool Pool::Expired(const Connection& connection) const {
  if (connection.demoted() || connection.made() < left_at_) return true;
  const Timeline* const its = connection.timeline().get();
  const bool left_behind = its != nullptr && timeline_.has_value() &&
                           its->system == timeline_->system && its->number < timeline_->number;
  if (left_behind) return true;
  if (options_.recycle == absl::ZeroDuration()) return false;
  // A tenth of jitter, so that they do not all go at once.
  const double part = 0.9 + 0.2 * static_cast<double>(connection.serial() % 100) / 100;
  return reactor_.clock().Steady() - connection.made() > options_.recycle * part;
}

absl::Status Pool::Resting() const {
  const absl::Duration left = retry_at_ - reactor_.clock().Steady();
  if (failure_.ok() || IsTooMany(failure_) || left <= absl::ZeroDuration() || OthersMayReturn()) {
    return absl::OkStatus();
  }
  return Later(failure_, left);
}

// Those of lanes never come back to be leased. A transaction may keep for long what is lost.
bool Pool::OthersMayReturn() const {
  const auto lost = std::count_if(held_.begin(), held_.end(),
                                  [](const auto& each) { return each.first->lost(); });
  return count_ - lanes_ - static_cast<int>(lost) > (connecting_ ? 1 : 0);
}

bool Pool::HasRoom() const {
  return count_ + std::max(options_.lanes - lanes_, 0) < options_.max + options_.overflow;
}

void Pool::LookAt(const Connection& connection) {
  if (closing_ || !connection.demoted() || connection.made() < left_at_) return;
  left_at_ = reactor_.clock().Steady();
  log::Warning("postgres", "the server takes no more writes, and is left", {});
  std::vector<Idle> idle;
  idle.swap(idle_);
  for (Idle& each : idle) CloseConnection(std::move(each.connection));
  if (on_leave_) on_leave_();
}

void Pool::MayConnect() {
  const bool wanted = !waiters_.empty() || count_ < options_.min;
  if (closing_ || connecting_ || !wanted || !HasRoom()) return;
  const absl::Duration rest = retry_at_ - reactor_.clock().Steady();
  if (rest > absl::ZeroDuration()) {
    reactor_.StartTimer(retry_, rest);
    return;
  }
  connecting_ = true;
  Spawn(ConnectOne());
}

Task<void> Pool::ConnectOne() {
  absl::StatusOr<std::unique_ptr<Connection>> made = co_await Make(absl::InfiniteDuration());
  connecting_ = false;
  const absl::Status outcome = made.status();
  if (made.ok()) Serve(*std::move(made), /*used=*/false);
  // Others may come back; too many is a matter of time.
  if (!outcome.ok() && !OthersMayReturn() && !IsTooMany(outcome)) {
    FailWaiters(Later(outcome, retry_at_ - reactor_.clock().Steady()));
  }
  MayConnect();
  CheckClosed();
}

// What every session starts with. Forms of text are those that the decoder reads; a server that
// works for nobody is to find out.
Keywords Pool::Startup(absl::Duration allowance) const {
  if (target_->pooler) return {};  // it would not pass them on
  std::string options =
      "-c DateStyle=ISO -c IntervalStyle=postgres -c bytea_output=hex -c extra_float_digits=1 "
      "-c client_connection_check_interval=1s";
  if (allowance != absl::InfiniteDuration()) {
    const int64_t limit = absl::ToInt64Milliseconds(allowance);
    absl::StrAppend(&options, " -c statement_timeout=", limit, " -c lock_timeout=", limit);
  }
  return {{"options", std::move(options)}};
}

Task<absl::StatusOr<std::unique_ptr<Connection>>> Pool::Make(absl::Duration allowance) {
  ++count_;
  absl::StatusOr<RawConnection> raw = co_await Connect(target_, egress_, Startup(allowance));
  Learn(raw.status());
  if (!raw.ok()) {
    --count_;
    co_return raw.status();
  }
  open_.fetch_add(1, std::memory_order_relaxed);
  auto connection = std::make_unique<Connection>(reactor_, raw->release(), options_.statements);
  connection->set_must_write(must_write_);
  // What a pooler answers holds for one statement.
  if (!target_->pooler) AskTimeline(*connection);
  co_return std::move(connection);
}

void Pool::AskTimeline(Connection& connection) {
  connection.Run(kTimelineSql);
  const std::shared_ptr<Trip> trip = connection.Sync();
  trip->on_end = [this, &connection, answer = trip.get()] {
    if (answer->results.size() != 1) return;
    const std::optional<Timeline> timeline = TimelineIn(answer->results.front());
    if (!timeline.has_value()) return;
    connection.set_timeline(std::make_shared<const Timeline>(*timeline));
    LearnTimeline(*timeline);
  };
}

// Numbers of timelines grow, and have the same length.
void Pool::LearnTimeline(const Timeline& timeline) {
  const bool goes_on = timeline_.has_value() && timeline_->system == timeline.system;
  if (goes_on && timeline.number < timeline_->number) return;
  if (goes_on && timeline.number > timeline_->number) {
    ++timeline_changes_;
    log::Warning("postgres",
                 "the database goes on in another timeline: what its last server had "
                 "acknowledged and not passed on is lost",
                 {{"from", timeline_->number}, {"to", timeline.number}});
  }
  timeline_ = timeline;
}

void Pool::Learn(const absl::Status& outcome) {
  if (failure_.ok() != outcome.ok()) {
    log::Info("postgres", outcome.ok() ? "connected again" : "cannot connect",
              {{"reason", errors::ReasonOf(outcome)}});
  }
  failure_ = outcome;
  ++(outcome.ok() ? connects_ : connects_failed_);
  if (outcome.ok()) {
    failures_ = 0;
    retry_at_ = absl::ZeroDuration();
    return;
  }
  failures_ = std::min(failures_ + 1, 16);
  const absl::Duration longest =
      errors::IsTransient(outcome) ? kLongestRest : kLongestRestAfterRefusal;
  const absl::Duration most = std::min(kFirstRest * (1 << failures_), longest);
  const double part = std::uniform_real_distribution<double>(0, 1)(random_);
  retry_at_ = reactor_.clock().Steady() + most * part;
}

Task<absl::StatusOr<std::unique_ptr<Connection>>> Pool::MakeForLane(absl::Duration allowance) {
  if (closing_) co_return errors::PoolClosed();
  if (count_ >= options_.max + options_.overflow) {
    co_return errors::PoolExhausted("connections", options_.max + options_.overflow);
  }
  if (retry_at_ > reactor_.clock().Steady()) {
    co_return Later(failure_, retry_at_ - reactor_.clock().Steady());
  }
  ++lanes_;
  absl::StatusOr<std::unique_ptr<Connection>> made = co_await Make(allowance);
  if (!made.ok() || closing_) --lanes_;
  if (made.ok() && closing_) {
    CloseConnection(*std::move(made));
    co_return errors::PoolClosed();
  }
  if (made.ok()) ++lanes_open_;
  CheckClosed();
  co_return std::move(made);
}

// Whoever still waits on it is told at once, and lets go of it after that.
void Pool::CloseLane(std::shared_ptr<Connection> connection) {
  connection->Abort();
  --lanes_;
  --lanes_open_;
  Closed();
}

void Pool::Serve(std::unique_ptr<Connection> connection, bool used) {
  if (closing_) return CloseConnection(std::move(connection));
  if (!waiters_.empty()) {
    Waiter& waiter = *waiters_.front();
    waiter.got = std::move(connection);
    return Tell(waiter, absl::OkStatus());
  }
  if (idle_.empty()) reactor_.StartTimer(sweep_, kSweep);
  Idle idle{std::move(connection), reactor_.clock().Steady()};
  idle_.insert(used ? idle_.end() : idle_.begin(), std::move(idle));
}

void Pool::Return(std::unique_ptr<Connection> connection, Hygiene hygiene) {
  leased_.fetch_sub(1, std::memory_order_relaxed);
  held_.erase(connection.get());
  if (closing_) return CloseConnection(std::move(connection));
  const bool clean = hygiene == Hygiene::kClean && !connection->lost() &&
                     connection->trips() == 0 && connection->block() == Block::kNone &&
                     !connection->cancelling() && !Expired(*connection) &&
                     !connection->statements().over_limit() && connection->SettingsUnchanged();
  if (clean) {
    return Serve(std::move(connection), /*used=*/true);
  }
  // Only a session that has forgotten what it was told itself says how its server is.
  if (connection->demoted()) hygiene = std::max(hygiene, Hygiene::kReset);
  Spawn(Settle(std::move(connection), hygiene));
}

Task<void> Pool::Settle(std::unique_ptr<Connection> connection, Hygiene hygiene) {
  const bool good = hygiene != Hygiene::kClose && co_await CleanUp(*connection, hygiene);
  if (good) LookAt(*connection);
  if (good && !Expired(*connection)) {
    Serve(std::move(connection), /*used=*/true);
  } else {
    CloseConnection(std::move(connection));
  }
}

Task<bool> Pool::CleanUp(Connection& connection, Hygiene hygiene) {
  const std::shared_ptr<Cancelling> cancelling = connection.TakeCancelling();
  bool acknowledged = true;
  if (cancelling != nullptr) acknowledged = co_await cancelling->Wait();
  // It may still come, and would hit somebody else.
  if (connection.stray_cancel() || !acknowledged) co_return false;
  if (connection.trips() > 0 || cancelling != nullptr) {
    // A cancel that came late hits this instead of somebody else's statement.
    const bool over = co_await Finish(connection, "");
    if (!over) co_return false;
  }
  if (connection.block() != Block::kNone) {
    hygiene = Hygiene::kReset;
    const bool rolled_back = co_await Finish(connection, "ROLLBACK");
    if (!rolled_back) co_return false;
  }
  if (hygiene == Hygiene::kReset || !connection.SettingsUnchanged() ||
      connection.statements().over_limit()) {
    const bool reset = co_await Finish(connection, "DISCARD ALL");
    if (!reset) co_return false;
    connection.statements().Clear();
  }
  co_return !connection.lost() && connection.block() == Block::kNone;
}

Task<bool> Pool::Finish(Connection& connection, absl::string_view sql) {
  if (!sql.empty()) connection.Run(sql);
  const std::shared_ptr<Trip> trip = connection.Sync();
  Limit limit(reactor_, *trip);
  limit.Start(kSettleLimit);
  const Trip::End end = co_await trip->Wait();
  if (end != Trip::End::kDone) co_return false;
  co_return std::none_of(trip->results.begin(), trip->results.end(),
                         [](const Result& result) { return result.failed(); });
}

void Pool::CloseConnection(std::unique_ptr<Connection> connection) {
  connection.reset();
  Closed();
}

void Pool::Closed() {
  open_.fetch_sub(1, std::memory_order_relaxed);
  --count_;
  MayConnect();
  CheckClosed();
}

void Pool::OnSweep() {
  const absl::Duration now = reactor_.clock().Steady();
  for (size_t i = 0; i < idle_.size();) {
    const absl::Duration idle = now - idle_[i].since;
    const bool spare = count_ > options_.max && idle > kOverflowIdle;
    const bool unused = count_ > options_.min && idle > options_.idle_timeout;
    if (!spare && !unused && idle_[i].connection->Alive() && !Expired(*idle_[i].connection)) {
      ++i;
      continue;
    }
    std::unique_ptr<Connection> connection = std::move(idle_[i].connection);
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
    CloseConnection(std::move(connection));
  }
  if (!idle_.empty() || count_ < options_.min) reactor_.StartTimer(sweep_, kSweep);
}

db::PoolStats Pool::Stats() const {
  const absl::Duration now = reactor_.clock().Steady();
  db::PoolStats stats;
  stats.limits.min = options_.min;
  stats.limits.max = options_.max;
  stats.limits.overflow = options_.overflow;
  stats.limits.waiters = options_.waiters;
  stats.limits.acquire_timeout = options_.acquire_timeout;
  stats.limits.idle_timeout = options_.idle_timeout;
  stats.limits.recycle = options_.recycle;
  stats.limits.pre_ping = options_.pre_ping;
  stats.open = open();
  stats.idle = static_cast<int64_t>(idle_.size());
  stats.leased = leased();
  stats.waiting = waiting();
  stats.connecting = count_ - open();
  stats.lanes_open = lanes_open_;
  stats.lanes_condemned = lanes_condemned_;
  stats.connects = connects_;
  stats.connects_failed = connects_failed_;
  stats.acquire_timeouts = acquire_timeouts_;
  if (timeline_.has_value() && !absl::SimpleHexAtoi(timeline_->number, &stats.timeline)) {
    stats.timeline = 0;
  }
  stats.timeline_changes = timeline_changes_;
  stats.breaker_open = !failure_.ok();
  stats.last_failure = errors::ReasonOf(failure_);
  stats.retry_in = std::max(retry_at_ - now, absl::ZeroDuration());
  for (const auto& [connection, held] : held_) {
    db::PoolStats::Holder& holder = stats.holders.emplace_back();
    holder.transaction = held.tenant.transaction;
    holder.caller = held.tenant.caller;
    holder.request_id = held.tenant.request_id;
    holder.statement = db::MakeFingerprint(held.sql, db::Dialect::kPostgres).text;
    holder.held_for = now - held.since;
    holder.busy = connection->trips() > 0;
  }
  std::sort(stats.holders.begin(), stats.holders.end(),
            [](const auto& one, const auto& other) { return one.held_for > other.held_for; });
  if (stats.holders.size() > kMostHolders) stats.holders.resize(kMostHolders);
  return stats;
}

Task<void> Pool::Close() {
  closing_ = true;
  reactor_.CancelTimer(sweep_);
  reactor_.CancelTimer(retry_);
  FailWaiters(errors::PoolClosed());
  std::vector<Idle> idle;
  idle.swap(idle_);
  for (Idle& each : idle) CloseConnection(std::move(each.connection));
  if (count_ == 0 && !connecting_) co_return;
  co_await Async<bool>([&](Completion<bool> done) { closed_.emplace(std::move(done)); });
}

void Pool::CheckClosed() {
  if (!closing_ || count_ > 0 || connecting_ || !closed_.has_value()) return;
  Completion<bool> closed = *std::move(closed_);
  closed_.reset();
  closed.Resolve(true);
}

}  // namespace sluice::postgres
