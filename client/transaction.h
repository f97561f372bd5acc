// Statements that are committed together, over several calls.
#ifndef SLUICE_CLIENT_TRANSACTION_H_
#define SLUICE_CLIENT_TRANSACTION_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "client/bulk_inserter.h"
#include "client/call_options.h"
#include "client/row_stream.h"
#include "client/transaction_calls.h"
#include "sluice/v1/query.pb.h"
#include "sluice/v1/transaction.pb.h"

namespace sluice::client {

class TransactionFacts;

// How a transaction is begun.
struct BeginOptions {
  std::string connection_id = "default";
  v1::TransactionOptions options;
  // No call in it lasts longer than until then, streams and loads included.
  absl::Time deadline = absl::InfiniteFuture();
  // Cancels those of its calls that bring no stop token of their own.
  std::stop_token stop;
};

// The same request, for Transaction: when it has succeeded the transaction is committed, in the
// same round trip.
template <class Request>
Request ThenCommit(Request request) {
  request.mutable_transaction()->set_commit(true);
  return request;
}

// One transaction. Owned by its caller and used on one thread; it and its streams may outlive the
// client. Destroying it rolls back what is not committed, and waits two seconds for that at most.
//
//   auto transaction = client.Begin();
//   auto taken = transaction.Query(MakeQuery("UPDATE account SET … WHERE id = ?", 1));
//   if (taken.ok()) absl::Status status = transaction.Commit();
//
// BEGIN travels with the first statement, whose failure ends the transaction: what follows is
// FAILED_PRECONDITION `TRANSACTION_FINISHED`, and never runs outside of it. Between two statements
// the server waits for as long as the lease allows; see ExpireTime. RunTransaction repeats a
// transaction that met a conflict.
class Transaction {
 public:
  // Nothing is sent before the first statement.
  Transaction(std::shared_ptr<TransactionCalls> calls, BeginOptions options);
  ~Transaction();
  Transaction(Transaction&& other) noexcept = default;
  Transaction& operator=(Transaction&& other) noexcept;

  // As the methods of Client, in the transaction: the connection and the `transaction` of a request
  // are filled in. A stream or a load has to end before the next call: until then that is
  // FAILED_PRECONDITION `TRANSACTION_BUSY`.
  //
  // With ThenCommit, Query and ExecuteBatch are repeated until their outcome is certain, as Commit
  // is; they are given a `request_id` for it. If they were committed but their answer is lost, they
  // are FAILED_PRECONDITION `ANSWER_LOST`. StreamQuery and BulkInsert are never repeated: State is
  // UNKNOWN if the end of one that commits was lost, and Commit then asks what became of it.
  absl::StatusOr<v1::QueryResponse> Query(v1::QueryRequest request,
                                          const CallOptions& options = {});
  absl::StatusOr<std::unique_ptr<RowStream>> StreamQuery(v1::StreamQueryRequest request,
                                                         const CallOptions& options = {});
  absl::StatusOr<v1::ExecuteBatchResponse> ExecuteBatch(v1::ExecuteBatchRequest request,
                                                        const CallOptions& options = {});
  absl::StatusOr<std::unique_ptr<BulkInserter>> BulkInsert(v1::BulkInsertRequest header,
                                                           const CallOptions& options = {});

  // Commits. If the answer is lost it is sent again with the same `request_id`, and asked after,
  // until the outcome is certain or the deadline has passed. OK: it is committed, now or before.
  // UNKNOWN `COMMIT_OUTCOME_UNKNOWN`: it may be; another Commit goes on asking. Any other error: it
  // is not committed, and over unless State says otherwise; with ABORTED `TRANSACTION_ROLLED_BACK`
  // the answer that said why was lost.
  absl::Status Commit(const CallOptions& options = {});

  // Rolls back; a stream that is open is cancelled. OK if it was rolled back before.
  // FAILED_PRECONDITION `TRANSACTION_FINISHED`: it is committed. Decides also what becomes of one
  // whose COMMIT was lost.
  absl::Status Rollback(const CallOptions& options = {});

  // Sets a savepoint, goes back to one, forgets one. Savepoint begins the transaction, with a call
  // of its own, if there was no statement.
  absl::Status Savepoint(absl::string_view name, const CallOptions& options = {});
  absl::Status RollbackTo(absl::string_view name, const CallOptions& options = {});
  absl::Status Release(absl::string_view name, const CallOptions& options = {});

  // Starts the idle time of the lease anew, beside a stream as well. Nothing is sent if there is no
  // lease yet.
  absl::Status KeepAlive(const CallOptions& options = {});

  // What the last answer or error said. UNSPECIFIED: nothing was sent yet.
  v1::TransactionState State() const;
  // True once it is committed, or was rolled back by Rollback: nothing is left to do.
  bool Done() const;
  // Its id, and its public handle for logs; empty until the first answer.
  std::string Id() const;
  std::string Handle() const;
  // When the lease ends if no further call comes, on this side's clock; nullopt if there is none.
  std::optional<absl::Time> ExpireTime() const;

 private:
  // Runs a statement; with `commit`, until its outcome is certain.
  template <class Request, class Response>
  absl::StatusOr<Response> Execute(
      Request request,
      const CallOptions& options,
      absl::StatusOr<Response> (TransactionCalls::*call)(const Request&, const CallOptions&));
  template <class Request, class Response>
  absl::StatusOr<Response> ExecuteAndCommit(
      const Request& request,
      bool begin,
      const CallOptions& options,
      absl::StatusOr<Response> (TransactionCalls::*call)(const Request&, const CallOptions&));
  // Makes a call about the transaction itself, unless it is refused.
  template <class Request, class Response>
  absl::Status Control(const absl::Status& refusal,
                       Request request,
                       const CallOptions& options,
                       absl::StatusOr<Response> (TransactionCalls::*call)(const Request&,
                                                                          const CallOptions&));
  absl::Status BeginNow(const CallOptions& options);
  // How the outcome of what commits next is asked for.
  v1::GetTransactionOutcomeRequest Question(absl::string_view request_id) const;
  // The options of a call in the transaction.
  CallOptions Bounded(const CallOptions& options, bool stream) const;
  absl::Time Deadline(const CallOptions& options) const;
  void Abandon() noexcept;

  std::shared_ptr<TransactionCalls> calls_;
  BeginOptions begin_;
  std::shared_ptr<TransactionFacts> facts_;    // null once moved from
  std::string commit_id_;                      // request_id of Commit, the same for each attempt
  v1::GetTransactionOutcomeRequest question_;  // of the last statement that was to commit
  bool rolled_back_ = false;                   // Rollback answered OK
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_TRANSACTION_H_
