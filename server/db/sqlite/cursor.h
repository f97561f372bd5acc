// Cursors: results that are read piece by piece.
#ifndef SLUICE_SERVER_DB_SQLITE_CURSOR_H_
#define SLUICE_SERVER_DB_SQLITE_CURSOR_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/executor.h"
#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/result.h"
#include "server/db/sqlite/spool.h"
#include "server/db/sqlite/work_queue.h"
#include "server/db/statement.h"

namespace sluice::sqlite {

class Stream;

// Cursors: all open cursors of one Database, and the connections that wait for the next one. Owned
// by the Database; any thread.
class Cursors {
 public:
  Cursors(DatabaseFile& file, WorkQueue& readers) : file_(file), readers_(readers) {}

  // A stream for the statement, which it copies. Errors: POOL_EXHAUSTED, POOL_CLOSED.
  absl::StatusOr<std::shared_ptr<Stream>> Admit(const Context& ctx, const db::Statement& statement)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Ends all that hold a snapshot, for the sake of a journal that has grown to `limit_bytes`. Any
  // thread.
  void Relieve(int64_t limit_bytes) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends all streams, and waits for none.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

  // A connection for whoever keeps a snapshot. Reader threads only, for it may block.
  absl::StatusOr<std::unique_ptr<Connection>> TakeConnection() ABSL_LOCKS_EXCLUDED(mu_);
  // It has no open transaction.
  void ReturnConnection(std::unique_ptr<Connection> connection) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class Stream;

  void Remove(Stream& stream) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::shared_ptr<Stream>> Alive() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  DatabaseFile& file_;
  WorkQueue& readers_;

  Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<Stream*, std::weak_ptr<Stream>> open_ ABSL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<Connection>> idle_ ABSL_GUARDED_BY(mu_);
};

// Stream: one running SELECT with a connection of its own, so that its snapshot binds nobody else.
// Readers produce its chunks, one ahead of what was taken; each chunk is one entry of their queue,
// so long streams and short reads take turns. Shared by its cursor and, while it is scheduled, the
// queue.
class Stream final : public Work, public std::enable_shared_from_this<Stream> {
 public:
  using Result = absl::StatusOr<db::Rows>;

  Stream(Cursors& cursors, const Context& ctx, const db::Statement& statement);
  ~Stream();

  // The next chunk, when it is there. `done` may be resolved at once.
  void Take(Completion<Result> done) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends it for good: what is taken later is `why`. Frees the connection, or leaves that to the
  // reader that is at it. Any thread.
  void End(const absl::Status& why) { End(why, /*removed=*/false); }

  // The same for a snapshot that is too old, unless all rows have been read and none is held. True
  // if it ended now.
  bool Expire();
  // Ends it if it keeps the journal from starting over.
  void Relieve(int64_t journal_bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // The same, for `why`.
  bool LetGo(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);

  // After the first Take: the statement writes and did not run.
  bool writes() const ABSL_LOCKS_EXCLUDED(mu_);
  // When the snapshot is too old, on the steady clock.
  absl::Duration expiry() const ABSL_LOCKS_EXCLUDED(mu_);

  void Run(Connection& connection) override;
  void Answer() override;

  void Refuse(const absl::Status& why) override { End(why, /*removed=*/true); }

 private:
  // What one run made.
  struct Produced {
    absl::Status status;
    bool writes = false;
    std::optional<db::Rows> chunk;
    std::optional<db::Rows> facts;  // the statement is done
  };

  // What a stream holds while it has a snapshot.
  struct Held {
    std::unique_ptr<Connection> connection;
    Prepared* prepared = nullptr;
  };

  Produced Produce();
  absl::Status Begin(bool& writes);
  absl::Status Why(const absl::Status& failure) const;
  void End(const absl::Status& why, bool removed) ABSL_LOCKS_EXCLUDED(mu_);
  // Marks it as scheduled; the caller then pushes it, without the lock.
  void Schedule() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Only while it does not run.
  Held TakeOut() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Free(Held held) ABSL_LOCKS_EXCLUDED(mu_);

  Cursors& cursors_;
  const std::string sql_;
  const db::Params params_;
  const db::NamedParams named_params_;
  const int64_t chunk_bytes_;
  const absl::Time deadline_;  // to have begun by

  // While it runs, its reader; otherwise whoever holds mu_.
  Held held_;
  std::optional<ChunkMaker> maker_;
  Produced produced_;

  mutable Mutex mu_;
  bool scheduled_ ABSL_GUARDED_BY(mu_) = false;  // waits in the queue, runs, or is being answered
  std::shared_ptr<Stream> kept_ ABSL_GUARDED_BY(mu_);  // while it is scheduled
  bool writes_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status ended_ ABSL_GUARDED_BY(mu_);  // not OK: why nothing more comes
  absl::Duration expiry_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
  std::optional<db::Rows> ready_ ABSL_GUARDED_BY(mu_);  // read ahead
  std::optional<db::Rows> facts_ ABSL_GUARDED_BY(mu_);  // set once all rows have been read
  std::optional<Completion<Result>> waiter_ ABSL_GUARDED_BY(mu_);
};

// StreamCursor: a Stream in the hands of a call. Used on the executor of that call.
class StreamCursor final : public db::Cursor {
 public:
  // `database` lives as long as its cursors do.
  StreamCursor(std::shared_ptr<const db::Database> database,
               std::shared_ptr<Stream> stream,
               db::Rows first);
  ~StreamCursor() override;

  StreamCursor(const StreamCursor&) = delete;
  StreamCursor& operator=(const StreamCursor&) = delete;

  Task<absl::StatusOr<db::Rows>> Next(const Context& ctx) override;

 private:
  // Ends a snapshot that nobody reads on.
  struct Expiry : Timer {
    explicit Expiry(StreamCursor& owner)
        : Timer([](Timer* timer) { static_cast<Expiry*>(timer)->cursor.Expire(); }),
          cursor(owner) {}

    StreamCursor& cursor;
  };

  void Expire();

  const std::shared_ptr<const db::Database> database_;
  const std::shared_ptr<Stream> stream_;
  Executor& executor_;
  Expiry expiry_;
  std::optional<db::Rows> first_;
};

// SpoolCursor: the rows of a write that has been committed.
class SpoolCursor final : public db::Cursor {
 public:
  SpoolCursor(std::shared_ptr<const db::Database> database, Spool spool)
      : database_(std::move(database)), spool_(std::move(spool)) {}

  Task<absl::StatusOr<db::Rows>> Next(const Context& ctx) override;

 private:
  const std::shared_ptr<const db::Database>
      database_;  // first: the spool gives its room back to it
  Spool spool_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_CURSOR_H_
