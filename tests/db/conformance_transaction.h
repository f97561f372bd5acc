// What the tests of transactions of every driver share.
#ifndef SLUICE_TESTS_DB_CONFORMANCE_TRANSACTION_H_
#define SLUICE_TESTS_DB_CONFORMANCE_TRANSACTION_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <utility>

#include "absl/time/clock.h"

#include "tests/db/conformance.h"
#include "tests/db/print_state.h"

namespace sluice::test {

// Neither ends by itself; the second one would write a row.
inline constexpr char kEndlessRead[] =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
inline constexpr char kEndlessWrite[] =
    "INSERT INTO number (n) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT "
    "count(*) FROM c";

// With `number`, n = 1, 2, 3.
class ConformanceTransaction : public Conformance {
 protected:
  using State = db::TransactionStanding::State;

  static constexpr char kAdd[] = "INSERT INTO number (n, word) VALUES ($1, 'new')";
  static constexpr char kTaken[] = "INSERT INTO number (n, word) VALUES (1, 'taken')";

  void SetUp() override {
    Conformance::SetUp();
    MakeNumbers(3);
  }

  std::unique_ptr<db::Transaction> Begin(bool read_only = false) {
    db::TransactionOptions options;
    options.read_only = read_only;
    options.handle = "tx_conformance";
    auto transaction = database_->Begin(options);
    EXPECT_THAT(transaction, IsOk());
    return *std::move(transaction);
  }

  absl::StatusOr<pb::QueryResponse> In(db::Session& session,
                                       absl::string_view sql,
                                       std::initializer_list<pb::Value> params = {}) {
    return Execute(executor_, session, sql, params);
  }

  // The same with a key, for which the statement is done once.
  absl::StatusOr<pb::QueryResponse> Once(db::Session& session,
                                         const db::RequestKey& key,
                                         absl::string_view sql,
                                         std::initializer_list<pb::Value> params = {}) {
    const db::Params values = MakeParams(params);
    const db::NamedParams no_names;
    db::Statement statement(sql, values, no_names);
    statement.request = &key;
    return Execute(executor_, session, statement);
  }

  // Rows of `number`, as the session sees it.
  int64_t Count(db::Session& session) {
    const auto reply = Execute(executor_, session, "SELECT count(*) FROM number");
    EXPECT_THAT(reply, IsOk());
    return reply.ok() ? reply->rows(0).values(0).int64_value() : -1;
  }

  int64_t Count() { return Count(*database_); }

  absl::Status Commit(db::Transaction& transaction, const db::RequestKey* key = nullptr) {
    return executor_.Run(transaction.Commit(key));
  }

  void Rollback(db::Transaction& transaction) { executor_.Run(transaction.Rollback()); }

  absl::Status Savepoint(db::Transaction& transaction, int number) {
    return executor_.Run(transaction.Savepoint(ctx_, number));
  }

  absl::Status RollbackTo(db::Transaction& transaction, int number) {
    return executor_.Run(transaction.RollbackTo(ctx_, number));
  }

  absl::Status Release(db::Transaction& transaction, int number) {
    return executor_.Run(transaction.Release(ctx_, number));
  }

  static State StateOf(const db::Transaction& transaction) { return transaction.standing().state; }

  // Runs an endless statement and stops it a little later, over and over until it had been begun by
  // then. What it then answered.
  absl::Status StopWhileItRuns(db::Transaction& transaction, absl::string_view endless) {
    absl::Status status;
    int64_t pause = 1;
    const auto begun = [&] {
      CallScope scope;
      Pending pending(executor_, transaction, endless,
                      scope.MakeContext(absl::InfiniteFuture(), ""));
      const absl::Time until = absl::Now() + absl::Milliseconds(pause++);
      RunUntil(executor_, [&] { return absl::Now() > until; });
      scope.Stop(StopCause::kCancelled);
      status = pending.Wait().status();
      EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
      // Until then it is as if nobody had asked.
      const bool not_begun = StateOf(transaction) == State::kOpen;
      if (not_begun) {
        EXPECT_THAT(status, WasExecuted("no"));
      }
      return !not_begun;
    };
    RunUntil(executor_, begun);
    return status;
  }

  // Runs an endless statement with a deadline, and with a longer one if it had not been begun by
  // then. What it then answered.
  absl::Status OutliveItsDeadline(db::Transaction& transaction,
                                  absl::string_view endless,
                                  bool streamed = false) {
    const db::Statement statement(endless);
    absl::Status status;
    absl::Duration allowed = absl::Milliseconds(50);
    while (StateOf(transaction) == State::kOpen && allowed < absl::Seconds(10)) {
      Context ctx;
      ctx.deadline = absl::Now() + allowed;
      status = streamed ? ReadAll(executor_, transaction, statement, ctx).status()
                        : Execute(executor_, transaction, statement, ctx).status();
      EXPECT_LT(absl::Now() - ctx.deadline, absl::Seconds(2));
      allowed *= 2;
    }
    return status;
  }

  Context ctx_;
  ManualExecutor other_;  // for another thread; outlives the database
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_DB_CONFORMANCE_TRANSACTION_H_
