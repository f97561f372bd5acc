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
  bool unknown_ = false;
};

// One shared connection, made when it is first needed and anew when it is gone.
class Lanes::Lane {
 public:
  explicit Lane(Lanes& lanes) : lanes_(lanes), silence_(*this) {}

  ~Lane() { Drop(); }

  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Whether there is a connection to send on.
  Task<std::shared_ptr<Connection>> Open() {
    while (connection_ == nullptr || !connection_->Alive()) {
      if (opening_) {
        const bool opened = co_await Async<bool>(
            [&](Completion<bool> done) { waiting_.push_back(std::move(done)); });
        if (!opened) co_return nullptr;
        continue;
      }
      opening_ = true;
      Drop();
      absl::StatusOr<std::unique_ptr<Connection>> made =
          co_await lanes_.pool_.MakeForLane(lanes_.options_.allowance);
      opening_ = false;
      const bool opened = made.ok();
      if (opened) connection_ = *std::move(made);
      std::vector<Completion<bool>> waiting;
      waiting.swap(waiting_);
      for (Completion<bool>& each : waiting) each.Resolve(opened);
      if (!opened) co_return nullptr;
    }
    co_return connection_;
  }

  // Looks from time to time whether the server still answers.
  void Watch() {
    if (std::exchange(watching_, true)) return;
    lanes_.reactor_.StartTimer(silence_, lanes_.options_.allowance);
  }

  void Drop() {
    lanes_.reactor_.CancelTimer(silence_);
    watching_ = false;
    if (connection_ != nullptr) lanes_.pool_.CloseLane(std::move(connection_));
  }

  int inside = 0;        // callers
  bool unknown = false;  // one of them runs what was never run before

 private:
  struct Silence final : Timer {
    explicit Silence(Lane& owner)
        : Timer([](Timer* timer) { static_cast<Silence*>(timer)->lane.Look(); }), lane(owner) {}

    Lane& lane;
  };

  void Look() {
    watching_ = false;
    if (connection_ == nullptr || connection_->trips() == 0) return;
    const absl::Duration silent = lanes_.reactor_.clock().Steady() - connection_->busy_since();
    if (silent > 2 * lanes_.options_.allowance) {
      log::Warning("postgres", "a shared connection is silent and is given up", {});
      return Drop();
    }
    Watch();
  }

  Lanes& lanes_;
  std::shared_ptr<Connection> connection_;
  Silence silence_;
  bool watching_ = false;
  bool opening_ = false;
  std::vector<Completion<bool>> waiting_;  // for it to be open
};

Task<Trip::End> Lanes::Seat::Await(std::shared_ptr<Trip> trip, Caller& caller) {
  lane_->Watch();
  // Nothing on a shared connection is cancelled: that would hit a neighbour.
  const Caller::Watch stop(caller, [&] { trip->Abandon(); });
  const Trip::End end = co_await trip->Wait();
  // Not known while others are under way behind it.
  if (end == Trip::End::kDone && (trip->block == Block::kOpen || trip->block == Block::kFailed)) {
    log::Error("postgres", "a statement left a transaction open on a shared connection", {});
    connection_->Abort();
  }
  co_return end;
}

Lanes::Lanes(Reactor& reactor, Pool& pool, Runner& runner, const Options& options)
    : reactor_(reactor), pool_(pool), runner_(runner), options_(options) {
  for (int i = 0; i < options_.count; ++i) lanes_.push_back(std::make_unique<Lane>(*this));
}

Lanes::~Lanes() = default;

Task<std::optional<absl::StatusOr<db::Rows>>> Lanes::TryExecute(Caller& caller,
                                                                const db::Statement& statement,
                                                                std::shared_ptr<Plan> plan) {
  if (plan->learning) co_await WaitForVerdict(*plan);
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
  // The server ends what takes longer than its allowance, and undoes it.
  const bool overran = report.timed_out && report.took >= options_.allowance;
  if (overran) {
    ++overran_;
    plan->speed.LearnSlow();
  } else if (report.ran) {
    plan->speed.Learn(report.took);
  }
  // What wrote nothing, as the server itself saw to, may be asked again.
  const bool again = overran || (report.lost && statement.read_only && !caller.stopped());
  Leave(seat);
  if (unknown) GiveVerdict(*plan);
  if (again) co_return std::nullopt;
  co_return std::move(rows);
}

Task<void> Lanes::WaitForVerdict(Plan& plan) {
  while (plan.learning) {
    co_await Async<bool>([&](Completion<bool> done) { plan.followers.push_back(std::move(done)); });
  }
}

void Lanes::GiveVerdict(Plan& plan) {
  plan.learning = false;
  std::vector<Completion<bool>> followers;
  followers.swap(plan.followers);
  for (Completion<bool>& each : followers) each.Resolve(true);
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
    if (lane == nullptr) co_return false;
    if (lane->inside < kMostInFlight) {
      ++lane->inside;
      lane->unknown = lane->unknown || unknown;
      in_flight_.fetch_add(1, std::memory_order_relaxed);
      seat.lane_ = lane;
      seat.unknown_ = unknown;
      seat.connection_ = co_await lane->Open();
      co_return seat.connection_ != nullptr;
    }
    if (queue_.size() >= kMostQueued) co_return false;
    co_await Async<bool>([&](Completion<bool> done) { queue_.push_back(std::move(done)); });
  }
  co_return false;
}

void Lanes::Leave(Seat& seat) {
  if (seat.lane_ == nullptr) return;
  --seat.lane_->inside;
  if (seat.unknown_) seat.lane_->unknown = false;
  seat.connection_.reset();
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  if (queue_.empty()) return;
  Completion<bool> next = std::move(queue_.front());
  queue_.pop_front();
  next.Resolve(true);
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
  std::list<Completion<bool>> queue;
  queue.swap(queue_);
  for (Completion<bool>& each : queue) each.Resolve(false);
}

}  // namespace sluice::postgres
