// Work: what runs in one transaction on one connection.
#ifndef SLUICE_SERVER_DB_POSTGRES_WORK_H_
#define SLUICE_SERVER_DB_POSTGRES_WORK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "server/async/task.h"
#include "server/db/batch.h"
#include "server/db/postgres/backend.h"
#include "server/db/postgres/caller.h"
#include "server/db/postgres/chunker.h"
#include "server/db/postgres/pool.h"
#include "server/db/postgres/timeline.h"
#include "server/db/rows.h"
#include "server/db/statement.h"
#include "server/db/transaction.h"

namespace sluice::postgres {

// A result that is read piece by piece: a cursor of the server's, or rows that are here already.
struct Reading {
  std::shared_ptr<Plan> plan;
  int64_t chunk_bytes = 0;
  std::string name;  // of the server's cursor; empty: there is none
  std::optional<Chunker> chunker;
  std::optional<db::Rows> replay;  // the whole answer of an earlier request
  int64_t fetch = 100;             // rows to ask for next
  bool fetched_all = false;
  int undone = 0;  // the Work's count when the cursor was made
  bool first = true;
  db::Rows facts;  // closing ones
};

// What is left of a batch's bytes.
struct BatchRoom {
  int64_t bytes = 0;
  int told = -1;  // the step whose columns were told last

  void Take(const db::Execution& execution, const db::Rows& rows) {
    bytes -= static_cast<int64_t>(rows.wire.size());
    if (!rows.wire.empty()) told = execution.step;
  }
};

// Executions of a batch that go in one trip.
struct Together {
  std::vector<std::shared_ptr<Plan>> plans;
  std::vector<ParameterValues> values;
  std::vector<int> places;    // of their results in the trip
  std::vector<size_t> fresh;  // those that are prepared in it
};

// What a statement is about, locked.
struct Held {
  std::vector<Oid> types;  // of its parameters
  std::string answer;      // to the question that was asked with it; empty: there was no row
};

// Begun with its first statement. After a failure it can go on only from a savepoint; where none is
// set, it is rolled back at once and holds nothing any more. One operation at a time; the reactor's
// thread only.
class Work : public std::enable_shared_from_this<Work> {
 public:
  using State = db::TransactionStanding::State;

  struct Change {
    State state = State::kOpen;
    absl::Status why;
    bool commits_on = false;
    std::optional<absl::Status> committed;
    db::Durability durability = db::Durability::kUnknown;
  };

  // Told of every change of its state.
  using OnChange = std::function<void(const Change& change)>;

  Work(Backend& backend, const db::TransactionOptions& options, OnChange on_change = nullptr);
  ~Work();

  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  Task<absl::StatusOr<db::Rows>> Execute(Caller& caller, const db::Statement& statement);

  // One that writes has run to its end.
  Task<absl::StatusOr<std::shared_ptr<Reading>>> Open(Caller& caller,
                                                      const db::Statement& statement);
  Task<absl::StatusOr<db::Rows>> Next(Caller& caller, std::shared_ptr<Reading> reading);
  // Nobody reads it any more.
  void Abandon(const Reading& reading);

  // A savepoint each in the modes that go on. `commits`: nothing else is to follow, so COMMIT goes
  // with the last statements where it can; committed() says so.
  Task<absl::StatusOr<db::BatchResults>> ExecuteBatch(Caller& caller,
                                                      const db::Batch& batch,
                                                      bool commits);

  Task<absl::Status> Savepoint(Caller& caller, int number);
  Task<absl::Status> RollbackTo(Caller& caller, int number);
  Task<absl::Status> Release(Caller& caller, int number);

  // A savepoint of our own, for what may have to be undone alone.
  Task<absl::Status> Guard(Caller& caller);
  // Its end: what came after it stays, or is undone. Undoing revives what failed since.
  Task<absl::Status> Unguard(Caller& caller, bool keep);
  // The same for what nobody waits for: it is undone with what is sent next.
  void UndoGuard();

  // Marks that an operation runs, which is to be stopped before the work is ended. They nest.
  class Running {
   public:
    Running(Work& work, Caller& caller)
        : work_(work), outer_(std::exchange(work.running_, &caller)) {}

    ~Running() {
      work_.running_ = outer_;
      // It was to be ended meanwhile.
      if (outer_ == nullptr && !work_.why_.ok()) work_.LetGo(work_.why_);
    }

    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    Work& work_;
    Caller* const outer_;
  };

  // While it lives, a failure leaves the guard that was set last to go back to.
  class Kept {
   public:
    explicit Kept(Work& work) : work_(work) { work_.savepoints_.push_back(0); }

    ~Kept() {
      if (!work_.savepoints_.empty()) work_.savepoints_.pop_back();
    }

    Kept(const Kept&) = delete;
    Kept& operator=(const Kept&) = delete;

   private:
    Work& work_;
  };

  // A question of our own.
  Task<absl::StatusOr<Answer>> Ask(Caller& caller, std::string sql, ParameterValues values);

  // Runs prepared executions in one trip, after what is pending. `failed`: the index of the one
  // that failed, if one did.
  Task<absl::Status> RunAll(Caller& caller,
                            std::shared_ptr<Plan> plan,
                            const std::vector<ParameterValues>& values,
                            int64_t& affected,
                            int& failed);
  // What a statement takes, without running it, and the first value that `question` gives about its
  // table, which nobody can change any more before the transaction, or the guard set last, ends.
  Task<absl::StatusOr<Held>> Hold(Caller& caller,
                                  std::string sql,
                                  std::string question,
                                  ParameterValues values);
  // Sends COPY ... FROM STDIN, which reads `data`, after what is pending. It goes on by itself;
  // nothing else can be run before its end was waited for.
  Task<absl::StatusOr<std::shared_ptr<Trip>>> SendCopy(Caller& caller,
                                                       std::string sql,
                                                       std::string data);
  Task<absl::Status> AwaitCopy(Caller& caller, std::shared_ptr<Trip> copy, int64_t& affected);
  // Ends what was sent and nobody waits for.
  Task<void> Stop(std::shared_ptr<Trip> trip);
  // Makes sure that a plan is known.
  Task<absl::Status> Learn(Caller& caller, std::shared_ptr<Plan> plan);
  // Reserves a request's key. The answer that was stored with it, if there is one already.
  Task<absl::StatusOr<std::optional<db::BatchResults>>> Reserve(Caller& caller,
                                                                const db::RequestKey& key);
  // Stores the answer with the key.
  Task<absl::Status> Store(Caller& caller,
                           const db::RequestKey& key,
                           const db::BatchResults& results);

  // After it nothing can be run. A caller that stops before COMMIT was sent has it rolled back; one
  // that stops later is told that its outcome is unknown, while the COMMIT goes on.
  Task<absl::Status> Commit(Caller& caller, const db::RequestKey* key);
  Task<void> Rollback(Caller& caller);

  // Ends it from outside: what runs is cancelled, and that and whatever comes is answered with why.
  void End(const absl::Status& why);

  // For what failed without the server's saying so.
  Task<void> Fail(Caller& caller);

  State state() const { return state_; }

  // A batch has committed it.
  bool committed() const { return committed_; }

  bool read_only() const { return options_.read_only; }

  Backend& backend() const { return backend_; }

  // Of what runs in it, which may be its own.
  Runner& runner() { return own_runner_.has_value() ? *own_runner_ : backend_.runner(); }

  PlanBook& plans() { return own_runner_.has_value() ? own_plans_ : backend_.plans(); }

 private:
  absl::Status Ready(Caller& caller) const;
  // Waits for the end of a cancel that came too late for what it was meant for: it would hit what
  // is sent next. Error: nobody knows whether it still comes, so the transaction is gone.
  Task<absl::Status> Settle();
  // Sends what was added, and waits for no longer than to roll back may take. Whether all went
  // well.
  Task<bool> Conclude();
  // Gives a reserved key back, where nothing that ran with it remains and the transaction goes on.
  // It does not where the caller went away: he may ask what became of the request.
  Task<void> Unreserve(Caller& caller, const db::RequestKey& key);
  // Sends COMMIT, and waits. Where its caller stops first, it goes on without him.
  Task<absl::Status> SendCommit(Caller& caller);
  // What the end of a COMMIT means.
  absl::Status Committed(Trip::End end, const Trip& trip);
  // A COMMIT that nobody waits for any more: it is to go on, so its connection stays.
  static Task<void> SeeOff(std::shared_ptr<Work> work,
                           Lease lease,
                           std::shared_ptr<Trip> trip,
                           absl::Duration limit);
  // That it is not known, and how to ask later.
  absl::Status OutcomeLost() const;
  // Whether a statement of a caller's own may give the transaction its number, which it is asked
  // for in the same trip where the connection's timeline is known.
  bool MayMark(const Plan& plan) const;
  // Makes sure that the timeline is known, if it will ever be.
  Task<absl::Status> AwaitTimeline(Caller& caller);
  void Remember(const Result& marked);
  // A connection, and BEGIN among what is pending.
  Task<absl::Status> Begin(Caller& caller);
  // The same with the session's settings in force, as whatever a caller asks for finds them.
  Task<absl::Status> Enter(Caller& caller);
  // Adds to the next trip what puts the connection's own names back in force, for questions of our
  // own. How many results it has there.
  int Leave();
  // Puts what is pending before what comes next. How many results it has there.
  int SendPending();
  // Sends what is pending, and waits for it.
  Task<absl::Status> Flush(Caller& caller);
  // What became of it, after the failure of something that was sent.
  Task<absl::Status> AfterFailure(Caller& caller, absl::Status failure);
  Task<absl::StatusOr<db::Rows>> ExecuteOnce(Caller& caller,
                                             const db::Statement& statement,
                                             Runner::Report& report);
  Task<absl::StatusOr<db::Rows>> ExecuteKeyed(Caller& caller, const db::Statement& statement);
  // With the key reserved.
  Task<absl::StatusOr<db::Rows>> ExecuteReserved(Caller& caller, const db::Statement& statement);
  // Only as many rows as are asked for leave the server.
  Task<absl::StatusOr<db::Rows>> ExecuteAsCursor(Caller& caller,
                                                 const db::Statement& statement,
                                                 std::shared_ptr<Plan> plan,
                                                 Runner::Report& report);
  absl::Status MayRun(const Plan& plan, bool read_only) const;
  bool IsKeyed(const db::Statement& statement);
  Task<absl::StatusOr<std::shared_ptr<Reading>>> OpenKeyed(Caller& caller,
                                                           const db::Statement& statement,
                                                           std::shared_ptr<Plan> plan);
  Task<absl::StatusOr<std::shared_ptr<Reading>>> OpenWhole(Caller& caller,
                                                           const db::Statement& statement,
                                                           std::shared_ptr<Plan> plan,
                                                           bool keyed);
  Task<absl::StatusOr<std::shared_ptr<Reading>>> OpenCursor(Caller& caller,
                                                            const db::Statement& statement,
                                                            std::shared_ptr<Plan> plan);
  Task<absl::Status> Fetch(Caller& caller, Reading& reading);
  // Sends a FETCH, after what is pending.
  std::shared_ptr<Trip> SendFetch(Reading& reading);
  // The same before it is asked for, where nothing else can come first: the server is at the next
  // rows while the last ones are told.
  void FetchAhead(Reading& reading);
  // The batch within its limits; with its key reserved, if it is to be stored.
  Task<absl::StatusOr<db::BatchResults>> RunWithin(Caller& caller,
                                                   const db::Batch& batch,
                                                   bool keyed,
                                                   bool commits);
  Task<absl::StatusOr<db::BatchResults>> RunBatch(Caller& caller,
                                                  const db::Batch& batch,
                                                  bool commits);
  Task<absl::StatusOr<db::Rows>> RunStep(Caller& caller,
                                         const db::Execution& execution,
                                         BatchRoom& room);
  // Executions from `begin` on that may go in one trip.
  Together Gather(const db::Batch& batch, size_t begin);
  // Adds them to the next trip, after what is pending.
  void Send(Together& together);
  // Appends what the trip brought for each. Error: of the first that failed; those before it are
  // there.
  absl::Status Tell(const Together& together,
                    absl::Span<const db::Execution> executions,
                    const Trial& trial,
                    BatchRoom& room,
                    db::BatchResults& results);
  // What the loss of a trip that ended with COMMIT means, or that its caller went away.
  absl::Status WhyLost(const Trial& trial, Caller& caller);
  Task<absl::Status> RunTogether(Caller& caller,
                                 const db::Batch& batch,
                                 size_t begin,
                                 bool commits,
                                 BatchRoom& room,
                                 db::BatchResults& results);
  Setting SettingOf() const;
  void Become(State state);
  void LetGo(absl::Status why);
  // Its session is lost: unlike after a failure, no savepoint helps.
  void Lose();

  Backend& backend_;
  const db::TransactionOptions options_;
  const OnChange on_change_;
  // Where the session's settings change what a statement means.
  PlanBook own_plans_;
  std::optional<Runner> own_runner_;
  bool entered_ = false;     // the session's settings are in force
  std::string search_path_;  // without them
  std::string role_;
  Lease lease_;
  State state_ = State::kOpen;
  bool ending_ = false;               // COMMIT or ROLLBACK is on its way
  bool commit_sent_ = false;          // with the last statements of a batch
  bool committed_ = false;            // by that
  bool settling_ = false;             // the lease is kept until that is over
  bool commits_on_ = false;           // it is, and nobody waits for it
  int undone_ = 0;                    // times that it went back to a savepoint
  bool begun_ = false;                // BEGIN was sent
  std::vector<std::string> pending_;  // to be sent before anything else
  std::vector<int> savepoints_;
  int cursors_ = 0;
  std::string request_;                                   // id of a key that is stored with it
  std::string number_;                                    // of the transaction; empty: not known
  std::shared_ptr<const Timeline> timeline_;              // of that
  db::Durability durability_ = db::Durability::kUnknown;  // of its COMMIT
  std::shared_ptr<Trip> ahead_;                           // of FetchAhead
  Caller* running_ = nullptr;
  absl::Status why_;  // it was ended from outside
};

// A statement by itself that needs a transaction around it.
Task<absl::StatusOr<db::Rows>> ExecuteInWork(Backend& backend,
                                             Caller& caller,
                                             const db::Statement& statement);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_WORK_H_
