// Connection: one sqlite3 connection with everything that a client-visible one needs: limits, the
// authorizer, the statement cache, the progress handler. It and its parts are the only code that
// calls sqlite3.
#ifndef SLUICE_SERVER_DB_SQLITE_CONNECTION_H_
#define SLUICE_SERVER_DB_SQLITE_CONNECTION_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/db/shape.h"
#include "server/db/sqlite/authorizer.h"
#include "server/db/sqlite/codec.h"
#include "server/db/sqlite/file_id.h"
#include "server/db/sqlite/functions.h"
#include "server/db/sqlite/result_code.h"
#include "server/db/sqlite/statement_cache.h"
#include "server/db/statement.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sluice::sqlite {

struct ConnectionOptions {
  std::string path;
  std::optional<FileId> id;  // which file the path must lead to; unset: whichever it is
  bool read_only = true;     // opened SQLITE_OPEN_READONLY, query_only; never checkpoints
  bool create = false;       // the writer of a new database only
  bool foreign_keys = true;
  absl::Duration busy_timeout = absl::Seconds(5);
  int statement_cache = 256;
  int max_value_bytes = 0;  // longest value; 0 = the limit that all connections have
};

// Watch: what may end a running statement early. Set before the statement runs, read by the
// progress handler on the connection's thread; `stop` may be set by any thread.
struct Watch {
  std::atomic<bool> stop{false};
  absl::Duration deadline = absl::InfiniteDuration();  // on the steady clock
  int64_t budget = 0;  // VM steps from the statement's first; 0 = no bound
  // Bytes to which the journal had grown when it was stopped for that reason; 0 = it was not.
  std::atomic<int64_t> relieved{0};

  // Why the handler ended the statement; read after it ended.
  enum class Ended { kNo, kStopped, kDeadline, kBudget };
  Ended ended = Ended::kNo;

  // Looks whether it is stopped or late, and then says so in `ended`. Also for what runs many
  // statements, each too short for the handler to be asked.
  bool Over();
};

class Connection {
 public:
  // Opens and configures. Errors: CONNECTION_INVALID_TARGET, DATABASE_CORRUPT, CONNECTION_IN_USE.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const ConnectionOptions& options);
  ~Connection();

  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One thread at a time, all of these.

  // Compiles a client's statement, or takes it from the cache; reset and unbound. Refuses what the
  // authorizer refuses, transaction control, a second statement, an empty one. It stays the
  // caller's until it is reset; one that was never stepped, until the next Prepare.
  absl::StatusOr<Prepared*> Prepare(absl::string_view sql);
  // The same, but anew and for the caller alone: it is as the schema is now.
  absl::StatusOr<std::unique_ptr<Prepared>> Compile(absl::string_view sql);
  // Whether Prepare would find it in the cache, idle.
  bool Cached(absl::string_view sql) const;

  // What it would find; null if nothing.
  Prepared* FindIdle(absl::string_view sql) { return cache_.Find(sql); }

  // Gives every parameter its value, without copying: the values stay where they are until Reset.
  // An error leaves the statement reset.
  absl::Status Bind(Prepared& prepared,
                    const db::Params& params,
                    const db::NamedParams& named_params);

  enum class Step { kRow, kDone };
  // One row further. An error leaves the statement reset. A statement that the watch ended is
  // CANCELLED; the caller says why. Without a watch nothing but Interrupt ends it.
  absl::StatusOr<Step> Advance(Prepared& prepared, Watch* watch);

  // The current row as a `rows` field, appended to `out`. Values larger than `split_above` bytes
  // stand as SplitValue, and their columns are appended to `split`. A row for which memory does not
  // suffice, or that is larger than 128 MiB, is left out, and the next Advance fails for it.
  void AppendRow(const Prepared& prepared,
                 int64_t split_above,
                 std::string& out,
                 std::vector<int>& split) const;
  // Bytes of a split value of the current row, valid until the next Advance or Reset.
  absl::string_view SplitBytes(const Prepared& prepared, int column) const;

  // Ends the statement and forgets its values; it stays cached.
  void Reset(Prepared& prepared);

  // Our own fixed statements: BEGIN, COMMIT, SAVEPOINT, …; no authorizer, no watch. BEGIN fails
  // with CONNECTION_INVALID_TARGET once another file, or none, stands under the database's name: it
  // would write what nobody reads.
  absl::Status Run(const char* sql);

  // Facts after a write.
  int64_t Changes() const;
  int64_t LastInsertRowid() const;
  bool InTransaction() const;  // the transaction has not been rolled back under us

  // The error of a transaction that breaks a deferred foreign key as it stands now; OK if none.
  absl::Status CheckDeferredKeys();

  // Whether a call since the last BEGIN met a fault of the device: an I/O error, damage.
  bool device_failed() const { return device_failed_; }

  // Writer only. Pages in the journal after the last commit.
  int64_t journal_pages() const { return journal_pages_; }

  enum class Checkpoint {
    kPassive,  // copies what no reader is in the way of, and never waits
    kRestart,  // waits for readers up to the busy timeout, so that the journal can start over
    kTruncate,
  };
  // Copies the journal into the database. UNAVAILABLE: readers were in the way of all of it.
  absl::Status CopyJournal(Checkpoint how);
  // Commits a transaction that changes nothing, so that a frame is written and synced.
  absl::Status Touch();

  // Size of the database in bytes.
  absl::StatusOr<int64_t> DatabaseSize();
  absl::StatusOr<int64_t> PageSize();

  // As the transaction sees it.
  absl::StatusOr<SchemaState> Schema();

  // What is longer, a stored row or a value that is made, fails with VALUE_TOO_LARGE.
  void SetLongestValue(int bytes);

  // Ends whatever runs on this connection now. Any thread, but never while the connection may be
  // closing.
  void Interrupt();

  sqlite3* raw() const { return db_; }

 private:
  friend class Question;
  friend class RequestLog;

  Connection(sqlite3* db, const ConnectionOptions& options);

  // What the progress handler sees; it is called after every `period` VM steps.
  struct RunningWatch {
    Watch* watch = nullptr;
    int64_t steps = 0;
    int period = 0;
  };

  static int OnProgress(void* running_watch);
  static int OnCommit(void* self, sqlite3* db, const char* name, int pages);

  absl::Status Configure(const ConnectionOptions& options);
  absl::Status ConfigureLimits();
  absl::StatusOr<std::string> Pragma(const std::string& sql);
  absl::Status CheckView(const db::StatementShape& shape, absl::string_view sql);
  absl::Status CompileInto(Prepared& prepared, const db::StatementShape& shape);
  void Describe(Prepared& prepared);
  void Start(Prepared& prepared, const Watch* watch);
  void SetPeriod(int period);
  absl::StatusOr<sqlite3_stmt*> Own(absl::string_view sql);
  // The one number that a statement of our own gives.
  absl::StatusOr<int64_t> Number(const char* sql);
  absl::Status CheckInPlace();
  absl::Status TakeRowFault();
  absl::Status Error(int code, Phase phase, absl::string_view sql);
  std::vector<std::string> TableNames();

  sqlite3* const db_;
  const bool read_only_;
  TextEncoding encoding_ = TextEncoding::kUtf8;
  Authorizer authorizer_;
  Functions functions_;
  RunningWatch running_;
  bool device_failed_ = false;
  int64_t journal_pages_ = 0;
  int64_t schema_changes_ = 0;
  mutable RowFault row_fault_ = RowFault::kNone;                 // of a row that is left out
  absl::Duration checked_in_place_ = -absl::InfiniteDuration();  // when, on the steady clock
  StatementCache cache_;
  absl::flat_hash_map<std::string, sqlite3_stmt*> own_;  // statements of Run
};

// Version of the SQLite library in use.
std::string LibraryVersion();
// Checks the library's build once and sets process-wide limits; before the first Open.
absl::Status InitializeLibrary();

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_CONNECTION_H_
