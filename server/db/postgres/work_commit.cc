// COMMIT, and what is told of one whose answer is lost.
#include <utility>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/postgres/work.h"

namespace sluice::postgres {
namespace {

using errors::Executed;

}  // namespace

absl::Status Work::OutcomeLost() const {
  OutcomeToken token{request_, number_, {}};
  if (timeline_ != nullptr) token.timeline = *timeline_;
  absl::Status status = errors::CommitOutcomeLost();
  if (token.request.empty() && token.number.empty()) return status;
  return errors::WithMetadata(std::move(status), "outcome_token", Pack(token));
}

bool Work::MayMark(const Plan& plan) const {
  const bool writes = !plan.reads && !options_.read_only;
  const bool owned = options_.session == nullptr || options_.session->role.empty();
  return on_change_ && writes && owned && number_.empty();
}

// The answer to the question that a new connection is asked comes before that to BEGIN.
Task<absl::Status> Work::AwaitTimeline(Caller& caller) {
  const Connection& connection = lease_.connection();
  if (connection.timeline() != nullptr || connection.trips() == 0) co_return absl::OkStatus();
  absl::Status status = co_await Flush(caller);
  co_return status;
}

void Work::Remember(const Result& marked) {
  number_ = NumberIn(marked);
  if (!number_.empty()) timeline_ = lease_.connection().timeline();
}

Task<absl::Status> Work::Commit(Caller& caller, const db::RequestKey* key) {
  if (!why_.ok()) co_return why_;
  if (state_ != State::kOpen) co_return errors::TransactionFailed();
  const Running running(*this, caller);
  if (key != nullptr) {
    CO_TRY(const std::optional<db::BatchResults> replay, co_await Reserve(caller, *key));
    if (!replay.has_value()) {
      const db::BatchResults nothing;
      CO_CHECK(co_await Store(caller, *key, nothing));
    }
  }
  if (!lease_ || (!begun_ && !pending_.empty())) {
    pending_.clear();
    lease_.Release();
    Become(State::kGone);
    co_return absl::OkStatus();
  }
  if (!why_.ok()) {
    LetGo(why_);
    co_return why_;
  }
  ending_ = true;
  CO_CHECK(co_await Settle());
  if (caller.stopped()) {
    const absl::Status stopped = caller.Why(Executed::kRolledBack);
    co_await Rollback(caller);
    co_return stopped;
  }
  if (!lease_.connection().Alive()) {
    LetGo(absl::OkStatus());
    co_return errors::BackendLost(Executed::kRolledBack, /*in_transaction=*/true);
  }
  absl::Status status = co_await SendCommit(caller);
  LetGo(absl::OkStatus());
  co_return status;
}

absl::Status Work::Committed(Trip::End end, const Trip& trip) {
  if (end != Trip::End::kDone) return OutcomeLost();
  absl::Status status;
  for (const Result& result : trip.results) {
    if (!status.ok() || result.kind() != Result::Kind::kError) continue;
    Caller nobody(backend_.reactor());
    status = runner().Why(result, nobody, SettingOf(), /*demoted=*/false);
    // What the session was left with is forgotten with the transaction.
    if (IsForgottenStatement(result.error())) backend_.habits().forget = true;
  }
  // A COMMIT of what has failed is a ROLLBACK, and says so only in its tag.
  if (status.ok() && trip.results.back().tag() != "COMMIT") status = errors::TransactionFailed();
  if (status.ok() && trip.unconfirmed) status = errors::CommitUnconfirmed();
  if (status.ok() && !number_.empty()) durability_ = DurabilityIn(trip.results.rbegin()[1]);
  return status;
}

Task<absl::Status> Work::SendCommit(Caller& caller) {
  const Backend::Committing committing(backend_);
  Connection& connection = lease_.connection();
  SendPending();
  // What COMMIT will wait for, as late as that can be asked.
  if (!number_.empty()) runner().Ask(connection, Question::kDurability);
  connection.Command("COMMIT");
  // Nobody cancels it.
  const std::shared_ptr<Trip> trip = connection.Sync();
  const absl::Duration begun = backend_.reactor().clock().Steady();
  const absl::Duration grace = backend_.settings().commit_grace;
  Trip::End end = Trip::End::kDone;
  {
    const Caller::Watch watch(caller, [&] { trip->Abandon(); });
    end = co_await lease_.AwaitAtMost(trip, grace);
  }
  const absl::Duration left = grace - (backend_.reactor().clock().Steady() - begun);
  if (lease_ && end == Trip::End::kAbandoned && left > absl::ZeroDuration()) {
    commits_on_ = true;
    Lease lease = std::move(lease_);
    LetGo(absl::OkStatus());  // told before its end may be
    Spawn(SeeOff(shared_from_this(), std::move(lease), trip, left));
  } else if (end != Trip::End::kDone) {
    lease_.Leaves(Hygiene::kClose);
  }
  co_return Committed(end, *trip);
}

Task<void> Work::SeeOff(std::shared_ptr<Work> work,
                        Lease lease,
                        std::shared_ptr<Trip> trip,
                        absl::Duration limit) {
  const Backend::Committing committing(work->backend_);
  const Trip::End end = co_await lease.AwaitAtMost(trip, limit);
  if (end != Trip::End::kDone) lease.Leaves(Hygiene::kClose);
  absl::Status committed = work->Committed(end, *trip);
  if (work->on_change_) {
    work->on_change_({State::kGone, work->why_, false, std::move(committed), work->durability_});
  }
  work.reset();  // before the backend may be gone
}

}  // namespace sluice::postgres
