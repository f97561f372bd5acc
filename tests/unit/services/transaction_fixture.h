// What the tests of transactions at the services share: all services on a real database.
#ifndef SLUICE_TESTS_UNIT_SERVICES_TRANSACTION_FIXTURE_H_
#define SLUICE_TESTS_UNIT_SERVICES_TRANSACTION_FIXTURE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/services/interact_service.h"
#include "server/services/page_token.h"
#include "server/services/transaction_service.h"
#include "tests/unit/services/store_fixture.h"

namespace sluice::services {

class TransactionFixture : public StoreFixture {
 protected:
  using StoreFixture::StoreFixture;

  absl::StatusOr<pb::BeginTransactionResponse> BeginWith(const pb::TransactionOptions& options,
                                                         absl::string_view connection = "default") {
    pb::BeginTransactionRequest request;
    request.set_connection_id(std::string(connection));
    *request.mutable_options() = options;
    return executor_.Run(service_.BeginTransaction(ctx_, request));
  }

  // The id of a new transaction.
  std::string Begin(bool read_only = false) {
    pb::TransactionOptions options;
    options.set_read_only(read_only);
    const auto begun = BeginWith(options);
    EXPECT_THAT(begun, test::IsOk());
    return begun.ok() ? begun->transaction().transaction_id() : "";
  }

  static pb::QueryRequest In(absl::string_view id, absl::string_view sql, bool commit = false) {
    pb::QueryRequest request = Request(sql);
    request.clear_connection_id();
    request.mutable_transaction()->set_transaction_id(std::string(id));
    request.mutable_transaction()->set_commit(commit);
    return request;
  }

  absl::StatusOr<pb::QueryResponse> QueryIn(absl::string_view id, absl::string_view sql) {
    return Query(In(id, sql));
  }

  // The number that a statement answers in a transaction.
  int64_t NumberIn(absl::string_view id, absl::string_view sql) {
    const auto response = QueryIn(id, sql);
    EXPECT_THAT(response, test::IsOk());
    return response.ok() && response->rows_size() == 1 ? response->rows(0).values(0).int64_value()
                                                       : -1;
  }

  absl::StatusOr<pb::CommitTransactionResponse> Commit(absl::string_view id,
                                                       absl::string_view request_id = "") {
    pb::CommitTransactionRequest request;
    request.set_transaction_id(std::string(id));
    request.set_request_id(std::string(request_id));
    return executor_.Run(service_.CommitTransaction(ctx_, request));
  }

  absl::StatusOr<pb::RollbackTransactionResponse> Rollback(absl::string_view id) {
    pb::RollbackTransactionRequest request;
    request.set_transaction_id(std::string(id));
    return executor_.Run(service_.RollbackTransaction(ctx_, request));
  }

  pb::ListTransactionsResponse List(const pb::ListTransactionsRequest& request = {}) {
    const auto listed = executor_.Run(service_.ListTransactions(ctx_, request));
    EXPECT_THAT(listed, test::IsOk());
    return listed.ok() ? *listed : pb::ListTransactionsResponse();
  }

  pb::TransactionOutcome Outcome(absl::string_view request_id) {
    pb::GetTransactionOutcomeRequest request;
    request.set_connection_id("default");
    request.set_request_id(std::string(request_id));
    const auto outcome = executor_.Run(service_.GetTransactionOutcome(ctx_, request));
    EXPECT_THAT(outcome, test::IsOk());
    return outcome.ok() ? outcome->outcome() : pb::TRANSACTION_OUTCOME_UNSPECIFIED;
  }

  const PageTokens tokens_{"key"};
  TransactionService service_{venues_, tokens_, Clock::System()};
  InteractService interact_{venues_,           queries_,          batches_,
                            absl::Seconds(60), absl::Seconds(60), Clock::System()};
};

}  // namespace sluice::services

#endif  // SLUICE_TESTS_UNIT_SERVICES_TRANSACTION_FIXTURE_H_
