#include "server/core/transaction.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/core/transaction_session.h"
#include "server/db/driver.h"
#include "server/db/fingerprint.h"

namespace sluice::core {
namespace {

using Standing = db::TransactionStanding;

// The database has ended it by itself, and not because a statement failed.
bool IsGone(const Standing& standing) {
  return standing.state == Standing::State::kGone && !standing.why.ok();
}

// What a transaction that its database has ended by itself answers from then on.
absl::Status AsExpired(const absl::Status& why) {
  const std::string reason = errors::ReasonOf(why);
  if (why.ok() || reason == "TRANSACTION_EXPIRED" || absl::IsUnknown(why)) return why;
  return errors::WithMetadata(
      errors::TransactionExpired(
          absl::StripSuffix(absl::string_view(why.message().data(), why.message().size()), ".")),
      "cause", reason);
}

absl::Status CheckSavepointName(absl::string_view name) {
  if (name.empty()) return errors::ParameterInvalid("name", "is empty");
  if (name.size() > kMostSavepointName) {
    return errors::ParameterInvalid("name",
                                    absl::StrCat("is longer than ", kMostSavepointName, " bytes"));
  }
  return absl::OkStatus();
}

TransactionState StateAfterCommit(const absl::Status& status) {
  if (status.ok()) return TransactionState::kCommitted;
  const std::string reason = errors::ReasonOf(status);
  if (reason == "COMMIT_OUTCOME_UNKNOWN") return TransactionState::kUnknown;
  if (reason == "TRANSACTION_EXPIRED") return TransactionState::kExpired;
  return TransactionState::kRolledBack;
}

}  // namespace

absl::string_view NameOf(TransactionState state) {
  switch (state) {
    case TransactionState::kActive:
      return "ACTIVE";
    case TransactionState::kFailed:
      return "FAILED";
    case TransactionState::kCommitted:
      return "COMMITTED";
    case TransactionState::kRolledBack:
      return "ROLLED_BACK";
    case TransactionState::kExpired:
      return "EXPIRED";
    case TransactionState::kUnknown:
      return "UNKNOWN";
  }
  return "UNKNOWN";
}

bool IsFinished(TransactionState state) {
  return state != TransactionState::kActive && state != TransactionState::kFailed;
}

absl::Status WithTransaction(absl::Status failure, const TransactionFacts& facts) {
  failure = errors::WithMetadata(std::move(failure), "transaction", facts.handle);
  const bool unknown = errors::ReasonOf(failure) == "COMMIT_OUTCOME_UNKNOWN";
  failure = errors::WithMetadata(std::move(failure), "transaction_state",
                                 NameOf(unknown ? TransactionState::kUnknown : facts.state));
  if (facts.expires_in == absl::InfiniteDuration()) return failure;
  return errors::WithMetadata(std::move(failure), "transaction_expires_in_ms",
                              absl::StrCat(absl::ToInt64Milliseconds(facts.expires_in)));
}

absl::Status AnswerAfterEnd(TransactionState state, const absl::Status& why) {
  return why.ok() ? errors::TransactionFinished(NameOf(state)) : why;
}

Transaction::Transaction(std::string id,
                         TransactionRequest request,
                         Connections::EntryPtr connection,
                         std::unique_ptr<db::Transaction> transaction,
                         std::string owner,
                         std::string holder,
                         OnFinished finished,
                         const Clock& clock)
    : key_(ids::HashOf(id)),
      id_(request.interactive ? std::string() : std::move(id)),
      handle_(ids::TransactionHandle(key_)),
      owner_(std::move(owner)),
      holder_(std::move(holder)),
      request_(std::move(request)),
      connection_(std::move(connection)),
      on_finished_(std::move(finished)),
      clock_(clock),
      begun_(clock.Steady()),
      begun_at_(clock.Now()),
      last_use_(begun_),
      transaction_(std::move(transaction)),
      session_(std::make_unique<TurnSession>(*this)) {}

Transaction::~Transaction() = default;

Task<absl::StatusOr<Transaction::Turn>> Transaction::Enter(const Context& ctx) {
  std::shared_ptr<Transaction> self = shared_from_this();
  CO_TRY(FifoMutex::Holding holding, co_await turns_.Lock(ctx));
  ExpireIfDue();
  co_return Turn(std::move(self), std::move(holding));
}

std::optional<Transaction::Turn> Transaction::TryEnter() {
  std::optional<FifoMutex::Holding> holding = turns_.TryLock();
  if (!holding.has_value()) return std::nullopt;
  return Turn(shared_from_this(), *std::move(holding));
}

TransactionFacts Transaction::facts() const {
  const Standing standing = transaction_->standing();
  const db::Isolation isolation = transaction_->isolation();
  MutexLock lock(&mu_);
  TransactionFacts facts = FactsLocked(standing);
  facts.isolation = isolation;
  return facts;
}

TransactionFacts Transaction::FactsLocked(const Standing& standing) const {
  TransactionFacts facts;
  facts.handle = handle_;
  facts.state = state_;
  facts.commits_on = commits_on_ && !IsFinished(state_);
  const bool finished = IsFinished(state_);
  if (state_ == TransactionState::kCommitted) facts.durability = standing.durability;
  if (!finished || !why_.ok()) facts.id = id_;
  if (finished) return facts;
  const absl::Duration end = std::min(ExpiryLocked(standing), EndOfLife(standing));
  facts.expires_in = std::max(end - clock_.Steady(), absl::ZeroDuration());
  return facts;
}

TransactionInfo Transaction::Info() const {
  TransactionInfo info;
  info.label = request_.options.label;
  info.connection = connection_;
  info.read_only = request_.options.read_only;
  info.interactive = request_.interactive;
  info.holder = holder_;
  info.begun = begun_at_;
  info.waiting_calls = static_cast<int64_t>(turns_.waiting());
  info.standing = transaction_->standing();
  const db::Isolation isolation = transaction_->isolation();
  std::string sql;
  {
    MutexLock lock(&mu_);
    const absl::Duration now = clock_.Steady();
    info.facts = FactsLocked(info.standing);
    info.age = now - begun_;
    info.busy = busy_ > 0;
    info.idle = info.busy ? absl::InfiniteDuration() : now - last_use_;
    info.statements = statements_;
    info.savepoints = static_cast<int>(savepoints_.size());
    sql = last_sql_;
  }
  info.facts.id.clear();
  info.facts.isolation = isolation;
  if (!sql.empty()) {
    const bool sqlite = connection_->engine == db::EngineKind::kSqlite;
    db::Fingerprint fingerprint =
        db::MakeFingerprint(sql, sqlite ? db::Dialect::kSqlite : db::Dialect::kPostgres);
    info.last_statement = std::move(fingerprint.text);
    info.fingerprint = std::move(fingerprint.hash);
  }
  return info;
}

bool Transaction::KeepAlive() {
  ExpireIfDue();
  MutexLock lock(&mu_);
  if (IsFinished(state_)) return false;
  last_use_ = clock_.Steady();
  return true;
}

absl::Duration Transaction::Expiry() const {
  const Standing standing = transaction_->standing();
  MutexLock lock(&mu_);
  return ExpiryLocked(standing);
}

absl::Duration Transaction::EndOfLife(const Standing& standing) const {
  return std::min(begun_ + request_.max_life, standing.end);
}

absl::Duration Transaction::IdleLimit(const Standing& standing) const {
  return std::min(request_.idle_timeout, standing.idle_limit);
}

absl::Duration Transaction::ExpiryLocked(const Standing& standing) const {
  if (committing_ || IsFinished(state_)) return absl::InfiniteDuration();
  if (busy_ > 0) return EndOfLife(standing);
  return std::min(EndOfLife(standing), last_use_ + IdleLimit(standing));
}

absl::Status Transaction::WhyExpired(const Standing& standing, absl::Duration now) const {
  const absl::string_view which = standing.writer_since.has_value()
                                      ? "The transaction, which had the database's writer,"
                                      : "The transaction";
  if (now >= begun_ + request_.max_life) {
    return errors::TransactionExpired(absl::StrCat("The transaction was ",
                                                   absl::FormatDuration(request_.max_life),
                                                   " old, the most that it may live"));
  }
  if (now >= standing.end) {
    return errors::TransactionExpired(
        absl::StrCat(which, " was in the way of others for as long as it may"));
  }
  return errors::TransactionExpired(
      absl::StrCat(which, " did nothing for ", absl::FormatDuration(IdleLimit(standing))));
}

bool Transaction::CommitsOn(const Standing& standing) {
  if (!standing.commits_on && !standing.committed.has_value()) return false;
  MutexLock lock(&mu_);
  commits_on_ = true;
  return true;
}

bool Transaction::FinishLateCommit(const Standing& standing) {
  {
    MutexLock lock(&mu_);
    if (!commits_on_ || !standing.committed.has_value()) return false;
  }
  Finish(StateAfterCommit(*standing.committed), absl::OkStatus());
  return true;
}

void Transaction::ExpireIfDue() {
  const Standing standing = transaction_->standing();
  if (FinishLateCommit(standing)) return;
  const bool gone = IsGone(standing);
  absl::Status why = AsExpired(standing.why);
  {
    MutexLock lock(&mu_);
    if (committing_ || IsFinished(state_)) return;
    if (!gone) {
      const absl::Duration now = clock_.Steady();
      if (now < ExpiryLocked(standing)) return;
      why = WhyExpired(standing, now);
    }
    FinishLocked(TransactionState::kExpired, why);
  }
  if (!gone) transaction_->End(why);
  TellOfEnd(TransactionState::kExpired);
}

bool Transaction::End(const absl::Status& why, TransactionState state) {
  {
    MutexLock lock(&mu_);
    if (committing_ || IsFinished(state_)) return false;
    FinishLocked(state, why);
  }
  transaction_->End(why);
  TellOfEnd(state);
  return true;
}

absl::Status Transaction::why() const {
  MutexLock lock(&mu_);
  return why_;
}

std::string Transaction::outcome_token() const {
  MutexLock lock(&mu_);
  return outcome_token_;
}

std::string Transaction::committed_by() const {
  MutexLock lock(&mu_);
  return committed_by_;
}

void Transaction::Finish(TransactionState state, const absl::Status& why) {
  {
    MutexLock lock(&mu_);
    if (IsFinished(state_)) return;
    FinishLocked(state, why);
  }
  TellOfEnd(state);
}

void Transaction::FinishLocked(TransactionState state, const absl::Status& why) {
  state_ = state;
  why_ = why;
}

void Transaction::TellOfEnd(TransactionState state) {
  const std::shared_ptr<Transaction> self = shared_from_this();  // the registry lets go of it
  on_finished_(*this, state);
  finished_->Come();
}

absl::Status Transaction::BeginWork(Needs needs) {
  ExpireIfDue();
  MutexLock lock(&mu_);
  if (IsFinished(state_)) return AnswerAfterEnd(state_, why_);
  if (commits_on_) return errors::TransactionFinished("COMMITTING");
  if (state_ == TransactionState::kFailed && needs == Needs::kActive) {
    return errors::TransactionFailed();
  }
  ++busy_;
  return absl::OkStatus();
}

void Transaction::EndWork() {
  const Standing standing = transaction_->standing();
  {
    MutexLock lock(&mu_);
    --busy_;
    last_use_ = clock_.Steady();
    Settle(standing);
  }
  if (IsGone(standing)) Finish(TransactionState::kExpired, AsExpired(standing.why));
}

absl::Status Transaction::BeginCommit(const db::RequestKey* key) {
  const Standing standing = transaction_->standing();
  MutexLock lock(&mu_);
  if (IsFinished(state_)) return AnswerAfterEnd(state_, why_);
  if (IsGone(standing)) return AsExpired(standing.why);
  Settle(standing);
  if (state_ == TransactionState::kFailed) return errors::TransactionFailed();
  committing_ = true;
  if (key != nullptr) committed_by_ = key->id;
  return absl::OkStatus();
}

void Transaction::Settle(const Standing& standing) {
  if (IsFinished(state_) || commits_on_) return;
  const bool open = standing.state == Standing::State::kOpen && !marked_failed_;
  state_ = open ? TransactionState::kActive : TransactionState::kFailed;
  if (standing.state == Standing::State::kGone) savepoints_.clear();
}

bool Transaction::MarkFailed() {
  MutexLock lock(&mu_);
  marked_failed_ = true;
  if (!IsFinished(state_)) state_ = TransactionState::kFailed;
  return !savepoints_.empty();
}

void Transaction::CountStatement(absl::string_view sql) {
  MutexLock lock(&mu_);
  ++statements_;
  if (sql.empty()) return;
  sql = sql.substr(0, kMostStatementKept);
  last_sql_.assign(sql.data(), sql.size());
}

void Transaction::NoteRequest(const db::RequestKey* key) {
  if (key == nullptr || !key->commits) return;
  MutexLock lock(&mu_);
  committed_by_ = key->id;
}

void Transaction::NoteToken(const absl::Status& unknown) {
  std::string token = errors::MetadataOf(unknown, "outcome_token");
  MutexLock lock(&mu_);
  outcome_token_ = std::move(token);
}

absl::StatusOr<int> Transaction::NextSavepoint() const {
  MutexLock lock(&mu_);
  if (savepoints_.size() >= kMostSavepoints) {
    return errors::TransactionLimit("savepoints in this transaction", kMostSavepoints);
  }
  return static_cast<int>(savepoints_.size()) + 1;
}

void Transaction::AddSavepoint(std::string name) {
  MutexLock lock(&mu_);
  savepoints_.push_back(std::move(name));
}

void Transaction::ReturnTo(int number) {
  KeepSavepoints(number);
  MutexLock lock(&mu_);
  marked_failed_ = false;
}

int Transaction::FindSavepoint(absl::string_view name) const {
  MutexLock lock(&mu_);
  const auto newest = std::find(savepoints_.rbegin(), savepoints_.rend(), name);
  return static_cast<int>(savepoints_.rend() - newest);
}

void Transaction::KeepSavepoints(int count) {
  MutexLock lock(&mu_);
  if (savepoints_.size() > static_cast<size_t>(count)) savepoints_.resize(count);
}

db::Session& Transaction::Turn::session() {
  return *transaction_->session_;
}

Task<absl::Status> Transaction::Turn::Commit(const Context& ctx, const db::RequestKey* key) {
  Transaction& transaction = *transaction_;
  const Work work(transaction, Needs::kActive);
  CO_CHECK(work.refused());
  CO_CHECK(transaction.BeginCommit(key));
  absl::Status status = co_await transaction.transaction_->CommitFor(ctx, key);
  const TransactionState state = StateAfterCommit(status);
  if (state == TransactionState::kUnknown) transaction.NoteToken(status);
  if (state == TransactionState::kUnknown &&
      transaction.CommitsOn(transaction.transaction_->standing())) {
    co_return status;
  }
  transaction.Finish(state, state == TransactionState::kExpired ? status : absl::OkStatus());
  co_return status;
}

Task<absl::Status> Transaction::Turn::Rollback() {
  Transaction& transaction = *transaction_;
  const Work work(transaction, Needs::kOpen);
  if (!work.refused().ok()) {
    const TransactionState state = transaction.facts().state;
    const bool gone = state == TransactionState::kRolledBack || state == TransactionState::kExpired;
    co_return gone ? absl::OkStatus() : work.refused();
  }
  co_await transaction.transaction_->Rollback();
  transaction.Finish(TransactionState::kRolledBack, absl::OkStatus());
  co_return absl::OkStatus();
}

Task<void> Transaction::Turn::Fail() {
  Transaction& transaction = *transaction_;
  const Work work(transaction, Needs::kOpen);
  const bool may_be_cured = transaction.MarkFailed();
  if (!work.refused().ok() || may_be_cured) co_return;
  co_await transaction.transaction_->Rollback();  // it need not hold anything any more
}

Task<absl::Status> Transaction::Turn::Savepoint(const Context& ctx, std::string name) {
  Transaction& transaction = *transaction_;
  CO_CHECK(CheckSavepointName(name));
  const Work work(transaction, Needs::kActive);
  CO_CHECK(work.refused());
  CO_TRY(const int number, transaction.NextSavepoint());
  absl::Status status = co_await transaction.transaction_->Savepoint(ctx, number);
  if (status.ok()) transaction.AddSavepoint(std::move(name));
  co_return status;
}

Task<absl::Status> Transaction::Turn::RollbackTo(const Context& ctx, std::string name) {
  Transaction& transaction = *transaction_;
  CO_CHECK(CheckSavepointName(name));
  const Work work(transaction, Needs::kOpen);
  CO_CHECK(work.refused());
  const int number = transaction.FindSavepoint(name);
  if (number == 0) co_return errors::SavepointNotFound(name);
  absl::Status status = co_await transaction.transaction_->RollbackTo(ctx, number);
  if (status.ok()) transaction.ReturnTo(number);
  co_return status;
}

Task<absl::Status> Transaction::Turn::Release(const Context& ctx, std::string name) {
  Transaction& transaction = *transaction_;
  CO_CHECK(CheckSavepointName(name));
  const Work work(transaction, Needs::kActive);
  CO_CHECK(work.refused());
  const int number = transaction.FindSavepoint(name);
  if (number == 0) co_return errors::SavepointNotFound(name);
  absl::Status status = co_await transaction.transaction_->Release(ctx, number);
  if (status.ok()) transaction.KeepSavepoints(number - 1);
  co_return status;
}

}  // namespace sluice::core
