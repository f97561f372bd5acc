#include "server/core/transactions.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/core/transactions_fixture.h"

namespace sluice::core {
namespace {

using test::Fails;
using test::IsOk;
using test::WasExecuted;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Client final : public Peer {
 public:
  std::string Address() const override { return "ipv4:127.0.0.1:40112"; }
};

TEST_F(TransactionsTest, BeginsWithTheFirstTurn) {
  Transaction::Turn turn = Begin();
  const TransactionFacts facts = turn.facts();
  EXPECT_TRUE(absl::StartsWith(facts.id, "txn_"));
  EXPECT_EQ(facts.handle, ids::TransactionHandle(ids::HashOf(facts.id)));
  EXPECT_EQ(facts.state, State::kActive);
  EXPECT_EQ(facts.expires_in, absl::Seconds(30));
  EXPECT_FALSE(turn.transaction().TryEnter().has_value());
  EXPECT_THAT(Execute(turn), IsOk());
  ASSERT_THAT(database_->begun, SizeIs(1));
  EXPECT_THAT(database_->begun[0]->executed, SizeIs(1));
  EXPECT_EQ(database_->begun[0]->options.handle, facts.handle);
  EXPECT_EQ(transactions_->open(), 1);
}

TEST_F(TransactionsTest, TheDatabaseIsGivenTheOptions) {
  TransactionRequest request;
  request.options.isolation = db::Isolation::kRepeatableRead;
  request.options.read_only = true;
  request.options.label = "nightly";
  Begin(std::move(request));
  const db::TransactionOptions& options = database_->begun[0]->options;
  EXPECT_EQ(options.isolation, db::Isolation::kRepeatableRead);
  EXPECT_TRUE(options.read_only);
  EXPECT_EQ(options.label, "nightly");
}

TEST_F(TransactionsTest, ALeaseIsAtLeastAMillisecond) {
  TransactionRequest request;
  request.idle_timeout = absl::Microseconds(999);
  absl::Status status = TryBegin(connection_, request).status();
  EXPECT_THAT(status, Fails(kInvalid, "PARAMETER_INVALID"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("idle_timeout"));

  request = TransactionRequest();
  request.max_life = -absl::Seconds(1);
  status = TryBegin(connection_, request).status();
  EXPECT_THAT(status, Fails(kInvalid, "PARAMETER_INVALID"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("max_life"));
  EXPECT_THAT(database_->begun, IsEmpty());

  request.max_life = absl::Milliseconds(1);
  const Transaction::Turn turn = Begin(request);
  EXPECT_EQ(turn.facts().expires_in, absl::Milliseconds(1));
}

TEST_F(TransactionsTest, ALeaseIsNoLongerThanTheSettings) {
  TransactionRequest request;
  request.idle_timeout = absl::Hours(1);
  request.max_life = absl::Hours(1);
  const Transaction::Turn turn = Begin(request);
  const absl::Duration now = timeline_.clock().Steady();
  EXPECT_EQ(turn.transaction().Expiry() - now, absl::Seconds(30));
  Standing standing;
  for (int i = 0; i < 40; ++i) {
    Advance(absl::Seconds(15));
    turn.transaction().KeepAlive();
  }
  EXPECT_EQ(turn.facts().state, State::kExpired);  // ten minutes are over
}

TEST_F(TransactionsTest, WhatTheDatabaseRefusesIsNotBegun) {
  database_->begin = errors::PoolClosed();
  EXPECT_THAT(TryBegin(connection_), Fails(absl::StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_EQ(transactions_->open(), 0);
  EXPECT_EQ(Counts().begun, 0);
}

TEST_F(TransactionsTest, AnIdLeadsToItsTransaction) {
  const std::string id = Abandon();
  const auto found = transactions_->Find(ctx_, id);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ((*found)->id(), id);
  auto turn = timeline_.Run((*found)->Enter(ctx_));
  ASSERT_THAT(turn, IsOk());
  EXPECT_THAT(Commit(*turn), IsOk());
  EXPECT_EQ(transactions_->open(), 0);
}

TEST_F(TransactionsTest, AFailedOneStaysUntilItIsRolledBack) {
  Transaction::Turn turn = Begin();
  database_->begun[0]->answers.push_back(Failing(SqlError()));
  ASSERT_THAT(Execute(turn), Fails(kInvalid, "SQL_ERROR"));
  EXPECT_EQ(transactions_->open(), 1);
  EXPECT_THAT(Find(turn.transaction().id()), IsOk());
  ASSERT_THAT(Rollback(turn), IsOk());
  EXPECT_EQ(transactions_->open(), 0);
}

TEST_F(TransactionsTest, WithoutAnIdNothingIsFound) {
  EXPECT_THAT(Find(""), Fails(kInvalid, "PARAMETER_INVALID"));
  EXPECT_FALSE(transactions_->Remember(ctx_, "").has_value());
}

TEST_F(TransactionsTest, AnIdThatNeverWasIsNotFound) {
  const std::string id = Abandon();
  EXPECT_THAT(Find("txn_x"), Fails(kNotFound, "TRANSACTION_NOT_FOUND"));
  EXPECT_THAT(Find(ids::TransactionHandle(ids::HashOf(id))),
              Fails(kNotFound, "TRANSACTION_NOT_FOUND"));
  EXPECT_THAT(Find("txn_x"), WasExecuted("no"));
}

TEST_F(TransactionsTest, AnotherPrincipalsIdIsAnsweredAsOneThatNeverWas) {
  ctx_.who = &alice_;
  const std::string open = Abandon();
  Transaction::Turn turn = Begin();
  const std::string finished = turn.transaction().id();
  ASSERT_THAT(Commit(turn), IsOk());
  EXPECT_THAT(Find(open), IsOk());
  EXPECT_THAT(Find(finished), Fails(kPrecondition, "TRANSACTION_FINISHED"));
  EXPECT_TRUE(transactions_->Remember(ctx_, finished).has_value());

  for (const Principal* other : {&bob_, static_cast<const Principal*>(nullptr)}) {
    ctx_.who = other;
    EXPECT_EQ(Find(open), Find("txn_x"));
    EXPECT_EQ(Find(finished), Find("txn_x"));
    EXPECT_FALSE(transactions_->Remember(ctx_, open).has_value());
    EXPECT_FALSE(transactions_->Remember(ctx_, finished).has_value());
  }
}

TEST_F(TransactionsTest, NobodysTransactionIsNoPrincipals) {
  const std::string id = Abandon();
  ctx_.who = &alice_;
  EXPECT_THAT(Find(id), Fails(kNotFound, "TRANSACTION_NOT_FOUND"));
}

TEST_F(TransactionsTest, HolderIsThePrincipalOrTheAddress) {
  const Client peer;
  EXPECT_EQ(Begin().transaction().holder(), "the server");
  ctx_.peer = &peer;
  EXPECT_EQ(Begin().transaction().holder(), "ipv4:127.0.0.1:40112");
  EXPECT_EQ(Begin().transaction().owner(), "");
  ctx_.who = &alice_;
  EXPECT_EQ(Begin().transaction().holder(), "alice");
  EXPECT_EQ(Begin().transaction().owner(), "alice");
}

TEST_F(TransactionsTest, FinishedOnesAreRememberedByHowTheyEnded) {
  Transaction::Turn committed = Begin();
  ASSERT_THAT(Commit(committed), IsOk());
  Transaction::Turn rolled_back = Begin();
  ASSERT_THAT(Rollback(rolled_back), IsOk());
  Transaction::Turn unknown = Begin();
  database_->begun[2]->commit = errors::CommitOutcomeUnknown(SqlError());
  ASSERT_FALSE(Commit(unknown).ok());
  for (const auto& [turn, state] :
       {std::pair(&committed, "COMMITTED"), {&rolled_back, "ROLLED_BACK"}, {&unknown, "UNKNOWN"}}) {
    const absl::Status status = Find(turn->transaction().id());
    EXPECT_THAT(status, Fails(kPrecondition, "TRANSACTION_FINISHED"));
    EXPECT_THAT(status, WasExecuted("no"));
    EXPECT_EQ(errors::MetadataOf(status, "transaction"), turn->transaction().handle());
    EXPECT_EQ(errors::MetadataOf(status, "transaction_state"), state);
    EXPECT_EQ(errors::MetadataOf(status, "transaction_expires_in_ms"), "");
  }
}

TEST_F(TransactionsTest, OneThatExpiredSaysSoWithoutAWatch) {
  const std::string id = Abandon();
  Advance(absl::Seconds(30));
  for (int i = 0; i < 2; ++i) {  // it ends; it is remembered
    const absl::Status status = Find(id);
    EXPECT_THAT(status, Fails(kAborted, "TRANSACTION_EXPIRED"));
    EXPECT_THAT(status, WasExecuted("rolled_back"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("did nothing for 30s"));
    EXPECT_EQ(errors::MetadataOf(status, "transaction_state"), "EXPIRED");
    EXPECT_EQ(errors::MetadataOf(status, "transaction"), ids::TransactionHandle(ids::HashOf(id)));
    EXPECT_EQ(transactions_->open(), 0);
  }
  EXPECT_FALSE(database_->begun[0]->alive);
}

TEST_F(TransactionsTest, OneThatTheServerEndedIsRememberedWithTheReason) {
  const std::string id = Ended("An operator ended it");
  const absl::Status status = Find(id);
  EXPECT_THAT(status, Fails(kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("An operator ended it"));
  EXPECT_EQ(errors::MetadataOf(status, "transaction_state"), "ROLLED_BACK");
}

TEST_F(TransactionsTest, WhatIsKnownOfAnOpenOneAndOfAFinishedOne) {
  Transaction::Turn turn = Begin();
  const std::string id = turn.transaction().id();
  auto known = transactions_->Remember(ctx_, id);
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(known->facts.id, id);
  EXPECT_EQ(known->facts.state, State::kActive);
  EXPECT_EQ(known->facts.expires_in, absl::Seconds(30));
  EXPECT_EQ(known->connection, connection_->key);

  ASSERT_THAT(Commit(turn), IsOk());
  known = transactions_->Remember(ctx_, id);
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(known->facts.id, "");
  EXPECT_EQ(known->facts.handle, turn.transaction().handle());
  EXPECT_EQ(known->facts.state, State::kCommitted);
  EXPECT_EQ(known->facts.expires_in, absl::InfiniteDuration());
  EXPECT_EQ(known->facts.isolation, db::Isolation::kSerializable);
  EXPECT_EQ(known->connection, connection_->key);
}

TEST_F(TransactionsTest, WhatIsFinishedIsRememberedForTenMinutesByTheSteadyClock) {
  const std::string id = Ended("Ended");
  timeline_.clock().SetWall(absl::Hours(24 * 365));
  Advance(absl::Minutes(10) - absl::Milliseconds(1));
  EXPECT_THAT(Find(id), Fails(kAborted, "TRANSACTION_EXPIRED"));
  timeline_.clock().SetWall(-2 * absl::Hours(24 * 365));
  Advance(absl::Milliseconds(1));
  EXPECT_THAT(Find(id), Fails(kNotFound, "TRANSACTION_NOT_FOUND"));
  EXPECT_FALSE(transactions_->Remember(ctx_, id).has_value());
}

TEST_F(TransactionsTest, TheLast65536FinishedOnesAreRemembered) {
  const std::string first = Ended("Ended");
  const std::string second = Ended("Ended");
  for (size_t i = 1; i < 65'536; ++i) Ended("Ended");
  EXPECT_THAT(Find(first), Fails(kNotFound, "TRANSACTION_NOT_FOUND"));
  EXPECT_THAT(Find(second), Fails(kAborted, "TRANSACTION_EXPIRED"));
}

TEST_F(TransactionsTest, AStreamsTransactionHasAHandleAndNoId) {
  TransactionRequest request;
  request.interactive = true;
  Transaction::Turn one = Begin(request);
  const Transaction::Turn other = Begin(request);
  EXPECT_EQ(one.facts().id, "");
  EXPECT_NE(one.facts().handle, other.facts().handle);
  EXPECT_EQ(database_->begun[0]->options.handle, one.facts().handle);
  const auto found = transactions_->FindHandle(one.facts().handle);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->get(), &one.transaction());
  EXPECT_THAT(transactions_->List(), SizeIs(2));
  EXPECT_THAT(Rollback(one), IsOk());
  EXPECT_THAT(transactions_->List(), SizeIs(1));
}

TEST_F(TransactionsTest, AHandleLeadsToAnOpenOneOnly) {
  Transaction::Turn turn = Begin();
  const std::string handle = turn.transaction().handle();
  EXPECT_THAT(transactions_->FindHandle(handle), IsOk());
  EXPECT_THAT(transactions_->FindHandle("tx_0"), Fails(kNotFound, "TRANSACTION_NOT_FOUND"));
  Advance(absl::Seconds(30));
  EXPECT_THAT(transactions_->FindHandle(handle), Fails(kNotFound, "TRANSACTION_NOT_FOUND"));
  EXPECT_EQ(transactions_->open(), 0);
}

TEST_F(TransactionsTest, ListsTheOldestFirst) {
  const Connections::EntryPtr other =
      std::make_shared<Connections::Entry>(EntryOf("c2", "other", database_));
  std::vector<std::string> handles;
  for (int i = 0; i < 6; ++i) {
    const auto turn = TryBegin(i % 2 == 0 ? connection_ : other);
    ASSERT_THAT(turn, IsOk());
    handles.push_back(turn->transaction().handle());
    Advance(absl::Milliseconds(1));
  }
  const auto handles_of = [&](const ids::Hash* connection) {
    std::vector<std::string> listed;
    for (const auto& each : transactions_->List(connection)) listed.push_back(each->handle());
    return listed;
  };
  EXPECT_EQ(handles_of(nullptr), handles);
  EXPECT_THAT(handles_of(&other->key), ElementsAre(handles[1], handles[3], handles[5]));
  const ids::Hash none = ids::HashOf("none");
  EXPECT_THAT(handles_of(&none), IsEmpty());
}

TEST_F(TransactionsTest, AConnectionHasALimit) {
  TransactionLimits limits;
  limits.per_connection = 2;
  Restart(limits);
  Transaction::Turn first = Begin();
  Abandon();
  const absl::Status status = TryBegin(connection_).status();
  EXPECT_THAT(status, Fails(kExhausted, "TRANSACTION_LIMIT"));
  EXPECT_THAT(status, WasExecuted("no"));
  EXPECT_EQ(errors::MetadataOf(status, "limit"), "2");
  EXPECT_EQ(errors::PartsOf(status).retry_delay, absl::Milliseconds(100));
  EXPECT_EQ(Counts().refused, 1);
  EXPECT_FALSE(database_->begun[2]->alive);
  EXPECT_EQ(transactions_->open(), 2);

  const Connections::EntryPtr other =
      std::make_shared<Connections::Entry>(EntryOf("c2", "other", database_));
  EXPECT_THAT(TryBegin(other), IsOk());
  EXPECT_EQ(transactions_->Counts(other->key).refused, 0);
  ASSERT_THAT(Commit(first), IsOk());
  EXPECT_THAT(TryBegin(connection_), IsOk());
}

TEST_F(TransactionsTest, ACallerHasALimit) {
  TransactionLimits limits;
  limits.per_caller = 2;
  Restart(limits);
  const Connections::EntryPtr other =
      std::make_shared<Connections::Entry>(EntryOf("c2", "other", database_));
  ctx_.who = &alice_;
  Transaction::Turn first = Begin();
  ASSERT_THAT(TryBegin(other), IsOk());
  const absl::Status status = TryBegin(connection_).status();
  EXPECT_THAT(status, Fails(kExhausted, "TRANSACTION_LIMIT"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("by this caller"));
  EXPECT_EQ(Counts().refused, 1);

  ctx_.who = &bob_;
  EXPECT_THAT(TryBegin(connection_), IsOk());
  ctx_.who = &alice_;
  ASSERT_THAT(Rollback(first), IsOk());
  EXPECT_THAT(TryBegin(connection_), IsOk());
}

TEST_F(TransactionsTest, CountsWhatBecameOfThem) {
  for (int i = 0; i < 7; ++i) Abandon();
  const auto all = transactions_->List();
  const auto turn_of = [&](int i) { return *all[i]->TryEnter(); };
  Transaction::Turn committed = turn_of(0);
  Transaction::Turn rolled_back = turn_of(1);
  Transaction::Turn failing = turn_of(2);
  Transaction::Turn unknown = turn_of(3);
  for (const auto& script : database_->begun) {
    if (script->options.handle == failing.transaction().handle()) script->commit = SqlError();
    if (script->options.handle == unknown.transaction().handle()) {
      script->commit = errors::CommitOutcomeUnknown(SqlError());
    }
  }
  EXPECT_TRUE(Commit(committed).ok());
  EXPECT_TRUE(Rollback(rolled_back).ok());
  EXPECT_FALSE(Commit(failing).ok());
  EXPECT_FALSE(Commit(unknown).ok());
  all[4]->End(errors::TransactionExpired("An operator ended it"), State::kRolledBack);
  all[5]->KeepAlive();
  Advance(absl::Seconds(20));
  all[5]->KeepAlive();
  Advance(absl::Seconds(10));
  all[5]->ExpireIfDue();
  all[6]->ExpireIfDue();
  transactions_->CountConflict(connection_->key);
  transactions_->CountConflict(connection_->key);

  const TransactionCounts counts = Counts();
  EXPECT_EQ(counts.open, 1);
  EXPECT_EQ(counts.oldest, absl::Seconds(30));
  EXPECT_EQ(counts.begun, 7);
  EXPECT_EQ(counts.committed, 1);
  EXPECT_EQ(counts.rolled_back, 2);
  EXPECT_EQ(counts.expired, 1);
  EXPECT_EQ(counts.ended, 1);
  EXPECT_EQ(counts.unknown, 1);
  EXPECT_EQ(counts.refused, 0);
  EXPECT_EQ(counts.conflicts_retried, 2);
  EXPECT_EQ(transactions_->Counts(ids::HashOf("other")).begun, 0);
  EXPECT_EQ(transactions_->Counts(ids::HashOf("other")).oldest, absl::ZeroDuration());
}

TEST_F(TransactionsTest, AClosedConnectionEndsItsOwn) {
  const Connections::EntryPtr other =
      std::make_shared<Connections::Entry>(EntryOf("c2", "other", database_));
  const std::string id = Abandon();
  ASSERT_THAT(TryBegin(other), IsOk());
  transactions_->EndConnection(connection_->key);
  EXPECT_EQ(transactions_->open(), 1);
  EXPECT_THAT(std::string(Find(id).message()), HasSubstr("The connection was closed"));
  EXPECT_EQ(Counts().begun, 0);
  EXPECT_EQ(transactions_->Counts(other->key).open, 1);
  EXPECT_EQ(connection_.use_count(), 1);
}

TEST_F(TransactionsTest, AClosedConnectionsCommitComesToItsEnd) {
  Transaction::Turn turn = Begin();
  database_->begun[0]->commit_delay = absl::Seconds(1);
  Aside<absl::Status> commit(timeline_, turn.Commit(ctx_, nullptr));
  transactions_->EndConnection(connection_->key);
  EXPECT_EQ(transactions_->open(), 1);
  timeline_.Pass(absl::Seconds(1));
  EXPECT_THAT(*commit, IsOk());
  EXPECT_EQ(transactions_->open(), 0);
  EXPECT_THAT(Find(turn.transaction().id()), Fails(kPrecondition, "TRANSACTION_FINISHED"));
  EXPECT_EQ(Counts().committed, 0);
}

TEST_F(TransactionsTest, ADrainRefusesNewOnesOnly) {
  const std::string id = Abandon();
  EXPECT_FALSE(transactions_->draining()->came());
  transactions_->Drain();
  EXPECT_TRUE(transactions_->draining()->came());
  EXPECT_THAT(TryBegin(connection_), Fails(absl::StatusCode::kUnavailable, "SERVER_DRAINING"));
  EXPECT_THAT(Find(id), IsOk());
  EXPECT_EQ(transactions_->open(), 1);
}

TEST_F(TransactionsTest, ACallOfADrainBeginsNone) {
  ctx_.draining = true;
  EXPECT_THAT(TryBegin(connection_), Fails(absl::StatusCode::kUnavailable, "SERVER_DRAINING"));
  EXPECT_EQ(transactions_->open(), 0);
}

TEST_F(TransactionsTest, EndAllEndsAllButCommits) {
  const std::string id = Abandon();
  Transaction::Turn turn = Begin();
  database_->begun[1]->commit_delay = absl::Seconds(1);
  Aside<absl::Status> commit(timeline_, turn.Commit(ctx_, nullptr));
  transactions_->EndAll();
  EXPECT_EQ(transactions_->open(), 1);
  EXPECT_THAT(std::string(Find(id).message()), HasSubstr("going down"));
  timeline_.Pass(absl::Seconds(1));
  EXPECT_THAT(*commit, IsOk());
  EXPECT_EQ(Counts().ended, 1);
  EXPECT_EQ(Counts().committed, 1);
}

TEST_F(TransactionsTest, SeveralThreadsKeepTheLimitAndTheCounts) {
  TransactionLimits limits;
  limits.per_caller = 3;
  Restart(limits);
  std::atomic<int64_t> begun = 0;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const Connections::EntryPtr connection = std::make_shared<Connections::Entry>(
          EntryOf(absl::StrCat("c", i), "own", std::make_shared<ScriptedDatabase>()));
      const Context ctx;
      for (int n = 0; n < 500; ++n) {
        const auto turn = transactions_->Begin(ctx, connection, TransactionRequest());
        EXPECT_LE(transactions_->open(), 3);
        if (!turn.ok()) continue;
        ++begun;
        EXPECT_THAT(transactions_->Find(ctx, turn->transaction().id()), IsOk());
        turn->transaction().End(errors::TransactionExpired("Ended"), State::kRolledBack);
      }
      const TransactionCounts counts = transactions_->Counts(connection->key);
      EXPECT_EQ(counts.begun + counts.refused, 500);
      EXPECT_EQ(counts.begun, counts.ended);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(begun, 0);
  EXPECT_EQ(transactions_->open(), 0);
  EXPECT_THAT(transactions_->List(), IsEmpty());
}

}  // namespace
}  // namespace sluice::core
