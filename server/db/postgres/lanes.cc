#include "server/db/postgres/lanes.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"

namespace sluice::postgres {
namespace {

// More on one lane gain nothing, and what was not sent yet can still go elsewhere.
constexpr int kMostInFlight = 64;
constexpr size_t kMostQueued = 1024;
// One in so many that overrun in a second, and what is not known has to wait elsewhere.
constexpr int kOverrunPart = 20;
constexpr int kFewToJudge = 40;
// So many looks in a row that come late are forgiven.
constexpr int kMostLate = 8;

constexpr char kReadOnly[] = "SELECT pg_catalog.set_config('transaction_read_only', 'on', true)";

}  // namespace

// A caller's place on a lane, which keeps the connection that he began with.
class Lanes::Seat final : public Link {
 public:
  Seat() = default;

  Connection& connection() const override { return *connection_; }

  Task<Trip::End> Await(std::shared_ptr<Trip> trip, Caller& caller) override;

 private:
  friend class Lanes;

  Lane* lane_ = nullptr;
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Trip> orphan_;  // what runs on though its caller is gone
  bool unknown_ = false;
};

// One shared connection, made when it is first needed and anew when it is gone.
class Lanes::Lane {
 public:
  explicit Lane(Lanes& lanes) : lanes_(lanes), silence_(*this) {}

  ~Lane() { Drop(); }

  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // A connection to send on; null: none can be had, or the caller was stopped.
  Task<std::shared_ptr<Connection>> Open(Caller& caller) {
    if (Ready()) co_return connection_;
    if (!std::exchange(opening_, true)) {
      CloseCurrent();
      Spawn(Make());
    }
    // An attempt that was not even begun has ended by now.
    if (opening_) co_await waiting_.Wait(caller);
    const bool ready = Ready();
    co_return ready ? connection_ : nullptr;
  }

  // Nobody new is let in on this connection; it is closed when nothing is under way any more.
  void Retire() {
    if (connection_ != nullptr) retired_.push_back(std::move(connection_));
  }

  void LookAt(const Connection& connection) { lanes_.pool_.LookAt(connection); }

  // Lets go of this connection, at once where nothing is under way.
  void Leave() {
    Retire();
    CloseGone();
  }

  // What is lost holds the rows that it was given, which may be many.
  void CloseGone() {
    if (connection_ != nullptr && connection_->lost()) CloseCurrent();
    for (size_t i = 0; i < retired_.size();) {
      if (retired_[i]->trips() > 0) {
        ++i;
        continue;
      }
      lanes_.pool_.CloseLane(std::move(retired_[i]));
      retired_.erase(retired_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  // Looks from time to time whether the server still answers.
  void Watch() {
    if (connection_ == nullptr) return;
    if (std::exchange(watching_, true)) return;
    next_look_ = lanes_.reactor_.clock().Steady() + lanes_.options_.allowance;
    lanes_.reactor_.StartTimer(silence_, lanes_.options_.allowance);
  }

  void Drop() {
    CloseCurrent();
    for (std::shared_ptr<Connection>& each : retired_) lanes_.pool_.CloseLane(std::move(each));
    retired_.clear();
  }

  int inside = 0;        // callers, and what runs on for those that are gone
  bool unknown = false;  // one of them runs what was never run before

 private:
  struct Silence final : Timer {
    explicit Silence(Lane& owner)
        : Timer([](Timer* timer) { static_cast<Silence*>(timer)->lane.Look(); }), lane(owner) {}

    Lane& lane;
  };

  void CloseCurrent() {
    lanes_.reactor_.CancelTimer(silence_);
    watching_ = false;
    if (connection_ != nullptr) lanes_.pool_.CloseLane(std::move(connection_));
  }

  bool Ready() {
    if (connection_ == nullptr || !connection_->Alive()) return false;
    if (connection_->trips() == 0 && lanes_.pool_.Expired(*connection_)) return false;
    return true;
  }

  Task<void> Make() {
    absl::StatusOr<std::shared_ptr<Connection>> made =
        co_await lanes_.pool_.MakeForLane(lanes_.options_.allowance);
    opening_ = false;
    if (made.ok()) connection_ = *std::move(made);
    waiting_.WakeAll();
  }

  void Look() {
    watching_ = false;
    if (connection_ == nullptr || connection_->trips() == 0) return;
    const absl::Duration now = lanes_.reactor_.clock().Steady();
    // Who looks late was held up himself, and the server perhaps with him: it begins anew.
    const bool late = now - next_look_ > lanes_.options_.allowance / 4;
    late_looks_ = late ? late_looks_ + 1 : 0;
    if (late && late_looks_ <= kMostLate) excused_until_ = now;
    const absl::Duration silent = now - std::max(connection_->silent_since(), excused_until_);
    if (silent > 2 * lanes_.options_.allowance) {
      log::Warning("postgres", "a shared connection is silent and is given up", {});
      lanes_.pool_.CountCondemned();
      return Drop();
    }
    Watch();
  }

  Lanes& lanes_;
  std::shared_ptr<Connection> connection_;
  Silence silence_;
  bool watching_ = false;
  absl::Duration next_look_;  // if so; on the steady clock
  int late_looks_ = 0;        // in a row
  absl::Duration excused_until_;
  bool opening_ = false;
  std::vector<std::shared_ptr<Connection>> retired_;
  WaitList waiting_;  // for it to be open
};

Task<Trip::End> Lanes::Seat::Await(std::shared_ptr<Trip> trip, Caller& caller) {
  lane_->Watch();
  // Nothing on a shared connection is cancelled: that would hit a neighbour.
  const Caller::Watch stop(caller, [&] { trip->Abandon(); });
  const Trip::End end = co_await trip->Wait();
  if (end == Trip::End::kAbandoned) orphan_ = trip;
  if (end != Trip::End::kDone) co_return end;
  // Not known while others are under way behind it.
  if (trip->block == Block::kOpen || trip->block == Block::kFailed) {
    log::Error("postgres", "a statement left a transaction open on a shared connection", {});
    connection_->Abort();
  } else if (!connection_->SettingsUnchanged()) {
    log::Warning("postgres", "a statement changed a setting of a shared connection", {});
    lane_->Retire();
  }
  if (!connection_->demoted()) co_return end;
  // A function may have told the session so; what it says once it has forgotten that is its
  // server's.
  lane_->Retire();
  connection_->Command("RESET default_transaction_read_only");
  const std::shared_ptr<Trip> reset = connection_->Sync();
  const Trip::End forgot = co_await reset->Wait();
  if (forgot == Trip::End::kDone) lane_->LookAt(*connection_);
  co_return end;
}

Lanes::Lanes(Reactor& reactor, Pool& pool, Runner& runner, const Options& options)
    : reactor_(reactor), pool_(pool), runner_(runner), options_(options) {
  for (int i = 0; i < options_.count; ++i) lanes_.push_back(std::make_unique<Lane>(*this));
  pool_.set_on_leave([this] {
    for (const std::unique_ptr<Lane>& lane : lanes_) lane->Leave();
  });
}

Lanes::~Lanes() = default;

Task<std::optional<absl::StatusOr<db::Rows>>> Lanes::TryExecute(Caller& caller,
                                                                const db::Statement& statement,
                                                                std::shared_ptr<Plan> plan) {
  while (plan->learning) {
    const bool told = co_await plan->followers.Wait(caller);
    if (!told) co_return caller.Why(errors::Executed::kNo);
  }
  const bool unknown = !plan->speed.known();
  if (closed_ || plan->speed.slow() || plan->large || (unknown && TooManySlow())) {
    co_return std::nullopt;
  }
  if (unknown) plan->learning = true;
  Seat seat;
  const bool entered = co_await Enter(caller, unknown, seat);
  if (!entered || caller.stopped()) {
    Leave(seat);
    if (unknown) GiveVerdict(*plan);
    if (caller.stopped()) co_return caller.Why(errors::Executed::kNo);
    co_return std::nullopt;
  }
  Around around;
  Setting setting;
  setting.read_only = setting.read_only_policy = statement.read_only;
  // In the transaction that a Sync ends: a failure of the statement must not leave one behind, as
  // it would after a BEGIN.
  if (statement.read_only) around.before.emplace_back(kReadOnly);
  ++ran_;
  Runner::Report report;
  absl::StatusOr<db::Rows> rows =
      co_await runner_.Execute(seat, caller, statement, around, setting, report);
  // The server ends what takes longer than its allowance, and undoes it. Its clock began a little
  // before ours.
  const bool overran =
      report.unlearnt || (report.timed_out && 2 * report.took >= options_.allowance);
  // One that took the end of its allowance for something that it may catch goes on without one.
  const bool used_up = report.ran && report.took >= options_.allowance * 0.9;
  if (overran) {
    ++overran_;
    plan->speed.LearnSlow();
  } else if (used_up) {
    plan->speed.LearnSlow();
  } else if (report.ran) {
    plan->speed.Learn(report.took);
  }
  // What wrote nothing, as the server itself saw to, may be asked again, and so may what the server
  // has not seen.
  const bool harmless = statement.read_only || report.unsent;
  const bool again = overran || ((report.lost || used_up) && harmless && !caller.stopped());
  if (seat.orphan_ != nullptr && !seat.orphan_->ended()) {
    LeaveLater(std::move(seat), plan);
  } else {
    Leave(seat);
  }
  if (unknown) GiveVerdict(*plan);
  if (again) co_return std::nullopt;
  co_return std::move(rows);
}

void Lanes::GiveVerdict(Plan& plan) {
  plan.learning = false;
  plan.followers.WakeAll();
}

// The lane keeps the place until the server is done with it.
void Lanes::LeaveLater(Seat seat, std::shared_ptr<Plan> plan) {
  const std::shared_ptr<Trip> trip = std::exchange(seat.orphan_, nullptr);
  // Told by the connection, which must not be let go of just then.
  trip->on_end = [this, seat, plan, taken = std::weak_ptr<Trip>(trip)] {
    reactor_.PostFunction([this, seat, plan, trip = taken.lock()] {
      if (trip != nullptr && trip->over > trip->begun) plan->speed.Learn(trip->over - trip->begun);
      Seat left = seat;
      Leave(left);
    });
  };
}

Task<void> Lanes::Idle() {
  Caller nobody(reactor_);
  while (in_flight() > 0) co_await idle_.Wait(nobody);
}

Lanes::Lane* Lanes::Pick(bool unknown) {
  Lane* best = nullptr;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (unknown && lane->unknown) continue;
    if (best == nullptr || lane->inside < best->inside) best = lane.get();
  }
  return best;
}

Task<bool> Lanes::Enter(Caller& caller, bool unknown, Seat& seat) {
  while (!closed_ && !caller.stopped()) {
    Lane* const lane = Pick(unknown);
    if (lane == nullptr) {
      queue_.WakeOne();  // whose turn this was
      co_return false;
    }
    if (lane->inside < kMostInFlight) {
      ++lane->inside;
      lane->unknown = lane->unknown || unknown;
      in_flight_.fetch_add(1, std::memory_order_relaxed);
      seat.lane_ = lane;
      seat.unknown_ = unknown;
      seat.connection_ = co_await lane->Open(caller);
      co_return seat.connection_ != nullptr;
    }
    if (queue_.size() >= kMostQueued) co_return false;
    const bool told = co_await queue_.Wait(caller);
    if (!told) co_return false;
  }
  queue_.WakeOne();  // whose turn this was
  co_return false;
}

void Lanes::Leave(Seat& seat) {
  if (seat.lane_ == nullptr) return;
  --seat.lane_->inside;
  if (seat.unknown_) seat.lane_->unknown = false;
  seat.connection_.reset();
  seat.lane_->CloseGone();
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  queue_.WakeOne();
  if (in_flight() == 0) idle_.WakeAll();
}

bool Lanes::TooManySlow() {
  const absl::Duration second = absl::Floor(reactor_.clock().Steady(), absl::Seconds(1));
  if (second != second_) {
    cautious_ = ran_ >= kFewToJudge && overran_ * kOverrunPart > ran_;
    second_ = second;
    ran_ = overran_ = 0;
  }
  return cautious_;
}

void Lanes::Close() {
  closed_ = true;
  for (const std::unique_ptr<Lane>& lane : lanes_) lane->Drop();
  queue_.WakeAll();
}

}  // namespace sluice::postgres
