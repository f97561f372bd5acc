// Sqlstate: what the server's errors mean to a caller. The table is in sqlstate.cc.
#ifndef SLUICE_SERVER_DB_POSTGRES_SQLSTATE_H_
#define SLUICE_SERVER_DB_POSTGRES_SQLSTATE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/base/errors.h"

namespace sluice::postgres {

// An error or notice of the server's, field by field as the protocol has them; bytes as they came,
// so nothing of it is safe to show before it went through ToStatus.
struct ServerError {
  std::string severity;  // not localised
  std::string sqlstate;  // may be empty or anything, from a server that is none
  std::string message;
  std::string detail;  // may hold values of rows
  std::string hint;
  std::string schema;
  std::string table;
  std::string column;
  std::string datatype;
  std::string constraint;
  std::string routine;  // of the server's source, so in no language
  int position = 0;     // characters from 1; 0 = not known
};

// What was going on when it came; decides between codes where one SQLSTATE means several things.
struct ErrorContext {
  errors::Executed executed = errors::Executed::kRolledBack;
  bool in_transaction = false;    // of the caller's
  bool read_only_policy = false;  // the transaction is read-only because we made it so
};

// Never OK, whatever the server wrote: an SQLSTATE that means success, or is none, is INTERNAL. A
// cancelled statement (57014) is ABORTED SQL_CANCELLED_BY_ADMIN; whoever had it cancelled says why.
absl::Status ToStatus(const ServerError& error, const ErrorContext& context);

// The cached plan of a prepared statement no longer fits, or it is gone: prepare it anew.
bool IsStalePlan(const ServerError& error);
// One that we prepared is gone: the session was told to forget it.
bool IsForgottenStatement(const ServerError& error);
// The server ended a statement, for a timeout or because someone asked (57014).
bool IsCancelled(absl::string_view sqlstate);
// The session is over, whatever the socket says.
bool EndsSession(absl::string_view sqlstate);

// Why a connection could not be made, without a word of libpq's or of the server's. `sqlstate` is
// empty where the server did not answer.
absl::Status ConnectFailed(absl::string_view sqlstate);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_SQLSTATE_H_
