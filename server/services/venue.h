// Venue: where a request runs: on its connection, or in a transaction of the caller's.
#ifndef SLUICE_SERVER_SERVICES_VENUE_H_
#define SLUICE_SERVER_SERVICES_VENUE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/core/connections.h"
#include "server/core/transaction.h"
#include "server/core/transactions.h"
#include "server/db/batch.h"
#include "server/db/request_key.h"
#include "server/db/session.h"
#include "sluice/v1/common.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Held by a call while it runs. Constructed, not an aggregate, for the reason that db::Statement
// gives.
struct Venue {
  Venue() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  core::Connections::EntryPtr connection;
  std::shared_ptr<core::Transaction::Turn> turn;  // null: in no transaction of the caller's
  bool begun = false;                             // by this request
  bool commit = false;                            // after it
  bool kept = false;                              // whatever becomes of the call: a stream has it

  db::Session& session() const {
    if (turn != nullptr) return turn->session();
    return *connection->database;
  }

  // REQUIRES: in a transaction.
  core::TransactionFacts facts() const { return turn->facts(); }
};

// Owned by the app, which outlives every call; constant, so any executor.
class Venues {
 public:
  Venues(core::Connections& connections, core::Transactions& transactions)
      : connections_(connections), transactions_(transactions) {}

  // The connection of a request without a transaction, its database open. Errors: SERVER_DRAINING
  // and what Connections::Open says.
  Task<absl::StatusOr<core::Connections::EntryPtr>> Open(const Context& ctx, std::string id) const;

  // Where a request with a selector runs; waits for its turn. `session`: of the transaction, if the
  // request begins one; null: it has none. Errors: those of the id, or of beginning.
  Task<absl::StatusOr<Venue>> Enter(const Context& ctx,
                                    std::string connection_id,
                                    const pb::TransactionSelector& selector,
                                    const pb::SessionOptions* session) const;

  // Of a whole request.
  template <class Request>
  Task<absl::StatusOr<Venue>> Enter(const Context& ctx, const Request& request) const {
    return Enter(ctx, request.connection_id(), request.transaction(), SessionIn(request));
  }

  // Begins one for a caller, and has its first turn. `interactive`: it lives in a stream.
  Task<absl::StatusOr<core::Transaction::Turn>> Begin(const Context& ctx,
                                                      std::string connection_id,
                                                      const pb::TransactionOptions& options,
                                                      const pb::SessionOptions* session,
                                                      bool interactive) const;

  // Null: the request has none.
  template <class Request>
  static const pb::SessionOptions* SessionIn(const Request& request) {
    return request.has_session() ? &request.session() : nullptr;
  }

  // After the request has run, with what became of it: commits if that was asked for, rolls back
  // what it had begun if it failed, and answers what the caller is told.
  Task<absl::Status> Leave(const Context& ctx, Venue& venue, absl::Status outcome) const;

  // The connection of a request that names a transaction, which may be forgotten, or finished.
  Task<absl::StatusOr<core::Connections::EntryPtr>> ConnectionOf(
      const Context& ctx, std::string connection_id, absl::string_view transaction_id) const;

  // PARAMETER_INVALID unless the id, if there is one, is that of the transaction's connection.
  static absl::Status CheckAgrees(const core::Transaction& transaction,
                                  absl::string_view connection_id);

  static absl::Status Disagrees();

  core::Connections& connections() const { return connections_; }

  core::Transactions& transactions() const { return transactions_; }

 private:
  core::Connections& connections_;
  core::Transactions& transactions_;
};

// Errors: PARAMETER_INVALID.
absl::StatusOr<core::TransactionRequest> TransactionRequestOf(const pb::TransactionOptions& options,
                                                              absl::string_view field);

pb::TransactionState StateOf(core::TransactionState state);
pb::IsolationLevel IsolationOf(db::Isolation isolation);
void SetStatus(const core::TransactionFacts& facts, absl::Time now, pb::TransactionStatus& status);

// The same for a repeat whose transaction was committed before.
void SetReplayed(const Context& ctx,
                 const core::Transactions& transactions,
                 absl::string_view transaction_id,
                 absl::Time now,
                 pb::TransactionStatus& status);

// Whether the failure is that of a transaction id that leads nowhere any more: its request may have
// been committed with it.
bool IsOver(const absl::Status& failure);

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_VENUE_H_
