// What the tests of the SQLite driver's transactions share.
#ifndef SLUICE_TESTS_DB_SQLITE_TRANSACTION_FIXTURE_H_
#define SLUICE_TESTS_DB_SQLITE_TRANSACTION_FIXTURE_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

#include "tests/db/print_state.h"
#include "tests/db/sqlite_group_fixture.h"

namespace sluice::test {

class SqliteTransactionTest : public SqliteGroupTest {
 protected:
  using State = db::TransactionStanding::State;

  std::unique_ptr<db::Transaction> Begin(absl::string_view handle = "tx_one",
                                         bool read_only = false) {
    db::TransactionOptions options;
    options.read_only = read_only;
    options.handle = std::string(handle);
    options.label = absl::StrCat("label of ", handle);
    auto transaction = database_->Begin(options);
    EXPECT_THAT(transaction, IsOk());
    return *std::move(transaction);
  }

  // One that has the writer, and has written a row.
  std::unique_ptr<db::Transaction> BeginHolding(absl::string_view handle = "tx_one",
                                                int64_t id = 1000) {
    auto transaction = Begin(handle);
    EXPECT_THAT(In(*transaction, kInsert, {Int(id), Text("held")}), IsOk());
    EXPECT_TRUE(transaction->standing().writer_since.has_value());
    return transaction;
  }

  absl::StatusOr<pb::QueryResponse> In(db::Session& session,
                                       absl::string_view sql,
                                       std::initializer_list<pb::Value> params = {}) {
    return Execute(executor_, session, sql, params);
  }

  // Starts a statement in a transaction, or anywhere, and leaves it on its way.
  Pending& StartIn(db::Session& session,
                   absl::string_view sql,
                   std::initializer_list<pb::Value> params = {},
                   Context ctx = {}) {
    started_.push_back(std::make_unique<Pending>(executor_, session, sql, std::move(ctx), params));
    executor_.RunUntilIdle();
    return *started_.back();
  }

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

  static State StateOf(const db::Transaction& transaction) { return transaction.standing().state; }

  // Who has the writer; empty if nobody has it for itself.
  std::string Holder() {
    const std::shared_ptr<const db::WriterHold> hold = Stats().hold;
    return hold == nullptr ? "" : hold->handle;
  }

  // Waits until nothing runs, waits, or has the writer.
  bool UntilFree() {
    return RunUntil(executor_, [&] {
      const db::DatabaseLoad load = database_->Load();
      return load.active == 0 && load.queued == 0 && load.writer->hold == nullptr;
    });
  }

  Context ctx_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_DB_SQLITE_TRANSACTION_FIXTURE_H_
