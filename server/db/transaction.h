// Transaction: statements that are committed together, over several calls.
#ifndef SLUICE_SERVER_DB_TRANSACTION_H_
#define SLUICE_SERVER_DB_TRANSACTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/request_key.h"
#include "server/db/session.h"
#include "server/db/session_options.h"

namespace sluice::db {

// From weak to strong; an engine gives at least what is asked for.
enum class Isolation { kDefault, kReadCommitted, kRepeatableRead, kSerializable };

struct TransactionOptions {
  TransactionOptions() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  Isolation isolation = Isolation::kDefault;
  bool read_only = false;
  bool deferrable = false;
  // How those who wait for it are told of it.
  std::string handle;
  std::string label;
  std::string holder;         // who began it
  std::string request_id;     // of the call that did; empty: it has no name
  SessionOptionsPtr session;  // for its length; null: there are none
};

// Who keeps the one writer of an embedded database from everyone else.
struct WriterHold {
  std::string handle;  // of a transaction, or "load"
  std::string label;
  absl::Duration since;  // on the steady clock
};

// Who has what was committed, when COMMIT was answered.
enum class Durability {
  kUnknown,     // nobody knows, or nothing was written
  kMemory,      // its server, which may lose it in a crash
  kLocal,       // the disk of its server
  kReplicated,  // and as many standbys as the server was told to wait for
};

// What became of a transaction whose COMMIT was not answered.
enum class Outcome { kCommitted, kRolledBack, kPending, kUnknown };

// How a transaction stands with its database.
struct TransactionStanding {
  enum class State {
    kOpen,
    kFailed,  // a statement failed; going back to a savepoint helps
    kGone,    // the database holds nothing for it any more, and it is not committed
  };

  State state = State::kOpen;
  // Why it is gone, where that was not the failure of a statement of its own.
  absl::Status why;
  // It is gone for its callers, but its COMMIT still goes on; what became of that in the end.
  bool commits_on = false;
  std::optional<absl::Status> committed;
  // Once it is committed.
  Durability durability = Durability::kUnknown;
  // It has the writer, since then, on the steady clock.
  std::optional<absl::Duration> writer_since;
  // It waits for the writer, since then, and who has it now.
  std::optional<absl::Duration> waiting_since;
  std::shared_ptr<const WriterHold> waits_for;
  // A shorter lease than the caller's own, for the sake of others: how long it may do nothing, and
  // until when it may live, on the steady clock.
  absl::Duration idle_limit = absl::InfiniteDuration();
  absl::Duration end = absl::InfiniteDuration();
};

// Transaction: begun, but the database hears of it with the first statement. Used by one call at a
// time, on any executor; destroying it rolls back what is not committed, without waiting.
//
// A statement that fails leaves it kFailed, or kGone where no savepoint is set, and then it holds
// nothing any more. It stays kOpen where the request was refused before anything ran
// (PARAMETER_INVALID, STATEMENT_REFUSED, TRANSACTION_CONTROL_REFUSED, READ_ONLY_VIOLATION,
// REQUEST_ID_REUSED, REPLAY_TOO_LARGE), where what it did was undone alone (validate_only,
// AFFECTED_ROWS_EXCEEDED), and where its call ended before it began.
class Transaction : public Session {
 public:
  // Commits, and stores `key` with it if there is one, with an answer of no results. Not to be
  // cancelled: it takes its time, whatever becomes of the caller. After an error nothing of the
  // transaction remains, or the error is COMMIT_OUTCOME_UNKNOWN.
  virtual Task<absl::Status> Commit(const RequestKey* key) = 0;

  // The same for a caller who listens until his deadline, or until the server goes down. An engine
  // whose COMMIT may take long answers COMMIT_OUTCOME_UNKNOWN by then, while the COMMIT goes on;
  // its end shows in the standing.
  virtual Task<absl::Status> CommitFor(const Context& /*ctx*/, const RequestKey* key) {
    return Commit(key);
  }

  // Rolls back, and waits for it.
  virtual Task<void> Rollback() = 0;

  // Savepoints are numbered by the caller; a number is free again once it is released.
  virtual Task<absl::Status> Savepoint(const Context& ctx, int number) = 0;
  // Undoes what came after it. It stays set, and what failed is forgotten.
  virtual Task<absl::Status> RollbackTo(const Context& ctx, int number) = 0;
  // Forgets it and those set after it; what they guarded stays.
  virtual Task<absl::Status> Release(const Context& ctx, int number) = 0;

  // Ends it for `why`: what runs is asked to end and answers `why`, as does what comes, and all is
  // rolled back, perhaps a moment later. Not a COMMIT that has begun. Any thread, never waits.
  virtual void End(const absl::Status& why) = 0;

  // Any thread, never waits.
  virtual TransactionStanding standing() const = 0;

  virtual Isolation isolation() const = 0;
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_TRANSACTION_H_
