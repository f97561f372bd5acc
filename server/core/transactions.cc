#include "server/core/transactions.h"

#include <algorithm>
#include <cassert>

#include "absl/strings/match.h"

#include "server/async/sleep.h"
#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"

namespace sluice::core {
namespace {

constexpr absl::Duration kShortestLease = absl::Milliseconds(1);

ids::Hash KeyOf(absl::string_view id) {
  return ids::HashOf({id.data(), id.size()});
}

// Empty: nobody in particular.
std::string OwnerOf(const Context& ctx) {
  return ctx.who == nullptr ? std::string() : ctx.who->name;
}

std::string HolderOf(const Context& ctx) {
  std::string owner = OwnerOf(ctx);
  if (!owner.empty()) return owner;
  return ctx.peer == nullptr ? "the server" : ctx.peer->Address();
}

// All clients on a Unix socket have its address.
bool CanBeToldApart(const Transaction& transaction) {
  return !transaction.owner().empty() || !absl::StartsWith(transaction.holder(), "unix:");
}

int64_t& CountOf(TransactionCounts& counts, TransactionState state, bool by_server) {
  switch (state) {
    case TransactionState::kCommitted:
      return counts.committed;
    case TransactionState::kExpired:
      return counts.expired;
    case TransactionState::kUnknown:
      return counts.unknown;
    default:
      return by_server ? counts.ended : counts.rolled_back;
  }
}

}  // namespace

Transactions::Transactions(TransactionLimits limits, const Clock& clock)
    : limits_(limits),
      clock_(clock),
      start_([](Job* job) { Spawn(static_cast<WatchJob*>(job)->transactions->Watch()); }, this),
      stop_([](Job* job) { static_cast<WatchJob*>(job)->transactions->EndWatch(); }, this) {}

Transactions::~Transactions() {
  assert((executor_ == nullptr || ended_.HasBeenNotified()) && "a running watch was destroyed");
}

absl::StatusOr<Transaction::Turn> Transactions::Begin(const Context& ctx,
                                                      const Connections::EntryPtr& connection,
                                                      TransactionRequest request) {
  TRY_STATUS(CompleteLease(request));
  if (ctx.draining) return errors::ServerDraining(errors::Executed::kNo);
  std::string id = ids::NewTransactionId();
  request.options.handle = ids::TransactionHandle(ids::HashOf(id));
  request.options.holder = HolderOf(ctx);
  request.options.request_id = std::string(ctx.request_id);
  TRY(std::unique_ptr<db::Transaction> begun, connection->database->Begin(request.options));
  const auto transaction = std::make_shared<Transaction>(
      std::move(id), std::move(request), connection, std::move(begun), OwnerOf(ctx), HolderOf(ctx),
      [this](Transaction& ended, TransactionState state) { OnFinished(ended, state); }, clock_);
  Transaction::Turn turn = *transaction->TryEnter();  // nobody else knows of it yet
  TRY_STATUS(Add(transaction));
  return turn;
}

absl::Status Transactions::CompleteLease(TransactionRequest& request) const {
  if (request.idle_timeout < kShortestLease) {
    return errors::ParameterInvalid("idle_timeout", "is less than 1 ms");
  }
  if (request.max_life < kShortestLease) {
    return errors::ParameterInvalid("max_life", "is less than 1 ms");
  }
  request.idle_timeout = std::min(request.idle_timeout, limits_.idle_timeout);
  request.max_life = std::min(request.max_life, limits_.max_life);
  return absl::OkStatus();
}

absl::Status Transactions::Add(const std::shared_ptr<Transaction>& transaction) {
  std::optional<Completion<bool>> asleep;
  {
    MutexLock lock(&mu_);
    if (refusing_) return errors::ServerDraining(errors::Executed::kNo);
    OnConnection& connection = connections_[transaction->connection()->key];
    absl::Status room = CheckRoom(*transaction, connection);
    if (!room.ok()) {
      ++connection.counts.refused;
      return room;
    }
    ++connection.counts.begun;
    connection.open.emplace(transaction->begun(), transaction->key());
    ++by_holder_[transaction->holder()];
    open_.emplace(transaction->key(), transaction);
    open_count_.fetch_add(1, std::memory_order_release);
    asleep.swap(asleep_);
  }
  if (asleep.has_value()) asleep->Resolve(true);
  return absl::OkStatus();
}

absl::Status Transactions::CheckRoom(const Transaction& transaction,
                                     const OnConnection& connection) const {
  if (static_cast<int64_t>(connection.open.size()) >= limits_.per_connection) {
    return errors::TransactionLimit("transactions open on this connection", limits_.per_connection);
  }
  if (!CanBeToldApart(transaction)) return absl::OkStatus();
  const auto held = by_holder_.find(transaction.holder());
  if (held != by_holder_.end() && held->second >= limits_.per_caller) {
    return errors::TransactionLimit("transactions open by this caller", limits_.per_caller);
  }
  return absl::OkStatus();
}

Transactions::Found Transactions::Lookup(const Context& ctx, absl::string_view id) const {
  const ids::Hash key = KeyOf(id);
  const std::string owner = OwnerOf(ctx);
  Found found;
  {
    MutexLock lock(&mu_);
    const auto open = open_.find(key);
    if (open != open_.end()) {
      if (open->second->owner() == owner) found.open = open->second;
    } else if (const auto old = finished_.find(key); old != finished_.end()) {
      const bool known = clock_.Steady() - old->second.since < kRememberFinished;
      if (known && old->second.owner == owner) found.finished = old->second;
    }
  }
  if (found.open != nullptr) found.open->ExpireIfDue();
  return found;
}

TransactionFacts Transactions::FactsOf(const ids::Hash& key, const Finished& finished) {
  TransactionFacts facts;
  facts.handle = ids::TransactionHandle(key);
  facts.state = finished.state;
  facts.isolation = finished.isolation;
  return facts;
}

absl::StatusOr<std::shared_ptr<Transaction>> Transactions::Find(const Context& ctx,
                                                                absl::string_view id) const {
  if (id.empty()) return errors::ParameterInvalid("transaction_id", "names no transaction");
  Found found = Lookup(ctx, id);
  if (found.finished.has_value()) {
    return WithTransaction(AnswerAfterEnd(found.finished->state, found.finished->why),
                           FactsOf(KeyOf(id), *found.finished));
  }
  if (found.open == nullptr) return errors::TransactionNotFound();
  const TransactionFacts facts = found.open->facts();
  if (IsFinished(facts.state)) {
    return WithTransaction(AnswerAfterEnd(facts.state, found.open->why()), facts);
  }
  if (facts.commits_on) return WithTransaction(errors::TransactionFinished("COMMITTING"), facts);
  return std::move(found.open);
}

std::optional<Transactions::Known> Transactions::Remember(const Context& ctx,
                                                          absl::string_view id) const {
  const Found found = Lookup(ctx, id);
  Known known;
  if (found.open != nullptr) {
    known.facts = found.open->facts();
    known.connection = found.open->connection()->key;
  } else if (found.finished.has_value()) {
    known.facts = FactsOf(KeyOf(id), *found.finished);
    known.connection = found.finished->connection;
    known.committed_by = found.finished->committed_by;
    known.outcome_token = found.finished->outcome_token;
  } else {
    return std::nullopt;
  }
  return known;
}

absl::StatusOr<std::shared_ptr<Transaction>> Transactions::FindHandle(
    absl::string_view handle) const {
  for (std::shared_ptr<Transaction>& transaction : AllOpen()) {
    if (transaction->handle() != handle) continue;
    transaction->ExpireIfDue();
    if (!IsFinished(transaction->facts().state)) return std::move(transaction);
  }
  return errors::TransactionNotFound();
}

std::vector<std::shared_ptr<Transaction>> Transactions::List(const ids::Hash* connection) const {
  std::vector<std::shared_ptr<Transaction>> listed;
  if (connection != nullptr) {
    MutexLock lock(&mu_);
    const auto found = connections_.find(*connection);
    if (found != connections_.end()) listed = AllOf(found->second);
    return listed;
  }
  listed = AllOpen();
  std::sort(listed.begin(), listed.end(), [](const auto& one, const auto& other) {
    return Place(one->begun(), one->key()) < Place(other->begun(), other->key());
  });
  return listed;
}

std::vector<std::shared_ptr<Transaction>> Transactions::AllOpen() const {
  std::vector<std::shared_ptr<Transaction>> all;
  MutexLock lock(&mu_);
  all.reserve(open_.size());
  for (const auto& [key, transaction] : open_) all.push_back(transaction);
  return all;
}

std::vector<std::shared_ptr<Transaction>> Transactions::AllOf(
    const OnConnection& connection) const {
  std::vector<std::shared_ptr<Transaction>> all;
  all.reserve(connection.open.size());
  for (const auto& [begun, key] : connection.open) all.push_back(open_.at(key));
  return all;
}

int64_t Transactions::Unended() const {
  const auto all = AllOpen();
  return std::count_if(all.begin(), all.end(), [](const std::shared_ptr<Transaction>& each) {
    const TransactionInfo info = each->Info();
    return info.facts.state == TransactionState::kActive || info.savepoints > 0;
  });
}

void Transactions::EndConnection(const ids::Hash& connection) {
  std::vector<std::shared_ptr<Transaction>> ending;
  {
    MutexLock lock(&mu_);
    const auto found = connections_.find(connection);
    if (found == connections_.end()) return;
    ending = AllOf(found->second);
    connections_.erase(found);
  }
  const absl::Status why = errors::TransactionExpired("The connection was closed");
  for (const auto& transaction : ending) transaction->End(why, TransactionState::kRolledBack);
}

void Transactions::EndAll() {
  const absl::Status why = errors::TransactionExpired("The server is going down");
  for (const auto& transaction : AllOpen()) transaction->End(why, TransactionState::kRolledBack);
}

TransactionCounts Transactions::Counts(const ids::Hash& connection) const {
  MutexLock lock(&mu_);
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return {};
  TransactionCounts counts = found->second.counts;
  const auto& open = found->second.open;
  counts.open = static_cast<int64_t>(open.size());
  if (!open.empty()) counts.oldest = clock_.Steady() - open.begin()->first;
  return counts;
}

void Transactions::CountConflict(const ids::Hash& connection) {
  MutexLock lock(&mu_);
  ++connections_[connection].counts.conflicts_retried;
}

void Transactions::OnFinished(Transaction& transaction, TransactionState state) {
  const absl::Status why = transaction.why();
  const Finished finished{state,
                          transaction.facts().isolation,
                          transaction.owner(),
                          transaction.connection()->key,
                          transaction.committed_by(),
                          transaction.outcome_token(),
                          why,
                          clock_.Steady()};
  if (!why.ok() || state == TransactionState::kUnknown) {
    const absl::string_view words = why.ok() ? "The outcome of a COMMIT was lost." : why.message();
    log::Info("transactions", words,
              {{"transaction", transaction.handle()},
               {"label", transaction.label()},
               {"state", NameOf(state)},
               {"connection", transaction.connection()->name}});
  }
  MutexLock lock(&mu_);
  open_.erase(transaction.key());  // whoever ends it still has it, and drops it without our lock
  open_count_.fetch_sub(1, std::memory_order_release);
  const auto held = by_holder_.find(transaction.holder());
  if (--held->second == 0) by_holder_.erase(held);
  const auto connection = connections_.find(finished.connection);
  if (connection != connections_.end()) {  // otherwise it was closed
    connection->second.open.erase(Place(transaction.begun(), transaction.key()));
    ++CountOf(connection->second.counts, state, !why.ok());
  }
  if (!transaction.interactive()) KeepFinished(transaction.key(), finished);
}

void Transactions::KeepFinished(const ids::Hash& key, const Finished& finished) {
  finished_.emplace(key, finished);
  in_order_.push_back(key);
  Forget();
}

void Transactions::Forget() {
  const absl::Duration now = clock_.Steady();
  while (!in_order_.empty()) {
    const auto oldest = finished_.find(in_order_.front());
    const bool old = now - oldest->second.since >= kRememberFinished;
    if (!old && in_order_.size() <= kMostRemembered) return;
    finished_.erase(oldest);
    in_order_.pop_front();
  }
}

void Transactions::Start(Executor& executor) {
  assert(executor_ == nullptr && "a watch starts once");
  executor_ = &executor;
  executor.Post(&start_);
}

void Transactions::Drain() {
  {
    MutexLock lock(&mu_);
    refusing_ = true;
  }
  draining_->Come();
}

void Transactions::Stop() {
  if (executor_ != nullptr && !stopping_.exchange(true)) executor_->Post(&stop_);
}

void Transactions::Join() {
  if (executor_ != nullptr) ended_.WaitForNotification();
}

Task<void> Transactions::Watch() {
  const Context ctx = scope_.MakeContext(absl::InfiniteFuture(), "");
  while (!scope_.stopped()) {
    if (open() == 0) {
      co_await Async<bool>([this](Completion<bool> woken) { AwaitOpen(std::move(woken)); });
    }
    co_await SleepFor(ctx, kLeaseWatch);
    Sweep();
  }
  ended_.Notify();
}

void Transactions::Sweep() {
  for (const auto& transaction : AllOpen()) transaction->ExpireIfDue();
  MutexLock lock(&mu_);
  Forget();
}

void Transactions::AwaitOpen(Completion<bool> woken) {
  {
    MutexLock lock(&mu_);
    if (open_.empty()) {
      asleep_.emplace(std::move(woken));
      return;
    }
  }
  woken.Resolve(true);
}

void Transactions::EndWatch() {
  std::optional<Completion<bool>> asleep;
  {
    MutexLock lock(&mu_);
    asleep.swap(asleep_);
  }
  scope_.Stop(StopCause::kDraining);
  if (asleep.has_value()) asleep->Resolve(true);
}

}  // namespace sluice::core
