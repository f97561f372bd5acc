// What the tests of transactions share: one connection to a scripted database, on a stopped clock.
#ifndef SLUICE_TESTS_UNIT_CORE_TRANSACTION_FIXTURE_H_
#define SLUICE_TESTS_UNIT_CORE_TRANSACTION_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/core/transaction.h"
#include "server/db/statement.h"
#include "tests/support/matchers.h"
#include "tests/unit/core/scripted_database.h"

namespace sluice::core {

using State = TransactionState;
using Standing = db::TransactionStanding;

inline constexpr auto kAborted = absl::StatusCode::kAborted;
inline constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
inline constexpr auto kNotFound = absl::StatusCode::kNotFound;
inline constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
inline constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;

// An error of SQL, as a driver answers it.
inline absl::Status SqlError() {
  errors::SqlFailure failure;
  failure.code = kInvalid;
  failure.message = "no such table: t";
  return errors::Sql(failure);
}

inline ScriptedAnswer Failing(absl::Status status) {
  ScriptedAnswer answer;
  answer.rows = std::move(status);
  return answer;
}

inline ScriptedAnswer Slow(absl::Duration delay) {
  ScriptedAnswer answer;
  answer.delay = delay;
  return answer;
}

inline constexpr absl::Duration kIdle = absl::Seconds(30);
inline constexpr absl::Duration kLife = absl::Minutes(10);

// Runs something on the side, and keeps what it answered.
template <class T>
class Aside {
 public:
  Aside(Timeline& timeline, Task<T> task) {
    timeline.executor().Start(Store(std::move(task), result_));
    timeline.executor().RunUntilIdle();
  }

  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

  bool done() const { return result_->has_value(); }

  T& operator*() { return **result_; }

 private:
  static Task<void> Store(Task<T> task, std::shared_ptr<std::optional<T>> result) {
    result->emplace(co_await task);
  }

  const std::shared_ptr<std::optional<T>> result_ = std::make_shared<std::optional<T>>();
};

class TransactionFixture : public ::testing::Test {
 protected:
  absl::Status Execute(Transaction::Turn& turn, absl::string_view sql = "SELECT 1") {
    return timeline_.Run(turn.session().Execute(ctx_, db::Statement(sql))).status();
  }

  absl::Status Commit(Transaction::Turn& turn) { return timeline_.Run(turn.Commit(ctx_, nullptr)); }

  absl::Status Rollback(Transaction::Turn& turn) { return timeline_.Run(turn.Rollback()); }

  void Advance(absl::Duration duration) { timeline_.clock().Advance(duration); }

  const std::shared_ptr<ScriptedDatabase> database_ = std::make_shared<ScriptedDatabase>();
  const Connections::EntryPtr connection_ =
      std::make_shared<Connections::Entry>(EntryOf("c1", "main", database_));
  Context ctx_;
  Timeline timeline_;
};

// One transaction, and the turn in it.
class TransactionTest : public TransactionFixture {
 protected:
  TransactionTest() { Begin(); }

  // Instead of the one there was.
  void Begin(bool interactive = false) {
    turn_.reset();
    script_ = std::make_shared<TransactionScript>();
    told_.clear();
    TransactionRequest request;
    request.idle_timeout = kIdle;
    request.max_life = kLife;
    request.interactive = interactive;
    request.options.label = "nightly";
    transaction_ = std::make_shared<Transaction>(
        "txn_x", std::move(request), connection_, std::make_unique<ScriptedTransaction>(script_),
        "alice", "alice", [this](Transaction&, State state) { told_.push_back(state); },
        timeline_.clock());
    turn_.emplace(*transaction_->TryEnter());
  }

  State state() const { return transaction_->facts().state; }

  absl::Status Execute() { return TransactionFixture::Execute(*turn_); }

  // A statement fails.
  void Fail() {
    script_->answers.push_back(Failing(SqlError()));
    EXPECT_THAT(Execute(), test::Fails(kInvalid, "SQL_ERROR"));
  }

  absl::Status Commit() { return TransactionFixture::Commit(*turn_); }

  absl::Status Rollback() { return TransactionFixture::Rollback(*turn_); }

  absl::Status Savepoint(const std::string& name) {
    return timeline_.Run(turn_->Savepoint(ctx_, name));
  }

  absl::Status RollbackTo(const std::string& name) {
    return timeline_.Run(turn_->RollbackTo(ctx_, name));
  }

  absl::Status Release(const std::string& name) {
    return timeline_.Run(turn_->Release(ctx_, name));
  }

  absl::Duration Left() { return transaction_->Expiry() - timeline_.clock().Steady(); }

  std::shared_ptr<TransactionScript> script_;
  std::vector<State> told_;
  std::shared_ptr<Transaction> transaction_;
  std::optional<Transaction::Turn> turn_;
};

}  // namespace sluice::core

#endif  // SLUICE_TESTS_UNIT_CORE_TRANSACTION_FIXTURE_H_
