// The registry of transactions on the connection of a scripted database.
#ifndef SLUICE_TESTS_UNIT_CORE_TRANSACTIONS_FIXTURE_H_
#define SLUICE_TESTS_UNIT_CORE_TRANSACTIONS_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/core/transactions.h"
#include "tests/unit/core/transaction_fixture.h"

namespace sluice::core {

class TransactionsTest : public TransactionFixture {
 protected:
  TransactionsTest() { Restart({}); }

  void Restart(TransactionLimits limits) {
    transactions_ = std::make_unique<Transactions>(limits, timeline_.clock());
  }

  absl::StatusOr<Transaction::Turn> TryBegin(const Connections::EntryPtr& connection,
                                             TransactionRequest request = {}) {
    return transactions_->Begin(ctx_, connection, std::move(request));
  }

  Transaction::Turn Begin(TransactionRequest request = {}) {
    auto turn = TryBegin(connection_, std::move(request));
    EXPECT_THAT(turn, test::IsOk());
    return *std::move(turn);
  }

  // One that nobody has a turn in; its id.
  std::string Abandon() { return Begin().transaction().id(); }

  // Of one that is ended by the operator.
  std::string Ended(const std::string& why) {
    const Transaction::Turn turn = Begin();
    std::string id = turn.transaction().id();
    turn.transaction().End(errors::TransactionExpired(why), State::kRolledBack);
    return id;
  }

  absl::Status Find(const std::string& id) { return transactions_->Find(ctx_, id).status(); }

  TransactionCounts Counts() { return transactions_->Counts(connection_->key); }

  const Principal alice_{"alice"};
  const Principal bob_{"bob"};
  std::unique_ptr<Transactions> transactions_;
};

}  // namespace sluice::core

#endif  // SLUICE_TESTS_UNIT_CORE_TRANSACTIONS_FIXTURE_H_
