// Runner: runs one statement on one connection.
#ifndef SLUICE_SERVER_DB_POSTGRES_RUNNER_H_
#define SLUICE_SERVER_DB_POSTGRES_RUNNER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/async/task.h"
#include "server/db/postgres/caller.h"
#include "server/db/postgres/connection.h"
#include "server/db/postgres/link.h"
#include "server/db/postgres/plan.h"
#include "server/db/postgres/sqlstate.h"
#include "server/db/postgres/timeline.h"
#include "server/db/postgres/types.h"
#include "server/db/rows.h"
#include "server/db/statement.h"

namespace sluice::postgres {

// Commands of our own around a statement, in the same trip.
struct Around {
  absl::InlinedVector<std::string, 2> before;
  absl::InlinedVector<std::string, 2> after;
  std::optional<Question> question;  // of our own, at the end
};

// What a failure means where the statement runs.
struct Setting {
  bool in_transaction = false;  // of the caller's: what is lost is rolled back
  bool read_only = false;       // by the server's own watch: nothing can have been written
  bool read_only_policy = false;
  bool may_commit = false;  // in the middle, by itself: nobody can say what remains
};

// How a trip ended, and what it brought.
struct Trial {
  Trip::End end = Trip::End::kDone;
  absl::Status status;
  ServerError error;     // what the server refused, if it did
  std::string sqlstate;  // its own; empty if it did not
  bool stale = false;    // the plan is out of date, and nothing remains of the attempt
  std::shared_ptr<Trip> trip;
  int first = 0;  // its result in the trip
};

// What was seen of the sessions of a database.
struct Habits {
  // They forget what was prepared, as functions of callers have them do: questions of our own are
  // not prepared any more, for they would fail the transactions of such callers again.
  bool forget = false;
};

// What all statements on one database share. The reactor's thread only.
class Runner {
 public:
  Runner(TypeBook& types, PlanBook& plans, Habits& habits)
      : types_(types), plans_(plans), habits_(habits) {}

  TypeBook& types() const { return types_; }

  PlanBook& plans() const { return plans_; }

  // Asks the server what a plan takes and gives, unless that is known.
  Task<absl::Status> Learn(Link& link,
                           Caller& caller,
                           std::shared_ptr<Plan> plan,
                           const Setting& setting);

  // Puts what the server said of a statement, whose types are known, into its plan.
  void Keep(const Result& description, Plan& plan) const;

  // Lets the server forget what is one too many.
  void Evict(Connection& connection) const;

  // Asks the server what these types are; those that AppendMissing gave.
  Task<absl::Status> LearnTypes(Link& link, Caller& caller, std::vector<Oid> wanted);

  // The values that a described plan takes. Error: PARAMETER_INVALID; nothing was sent.
  absl::Status Bind(const Plan& plan,
                    const db::Statement& statement,
                    ParameterValues& values) const;

  // Adds the execution of a described plan to the next trip: one message, or two if it has to be
  // prepared first. `again`: the message before was an execution of the same plan.
  void Send(Connection& connection,
            const Plan& plan,
            const ParameterValues& values,
            bool again = false) const;

  // After a trip that prepared a plan with the message at `place`: whether it is prepared now.
  void Keep(Connection& connection, const Plan& plan, const Trial& trial, int place) const;

  // After an error that says that a prepared statement no longer fits, or is gone.
  void Outdate(Connection& connection, const Plan& plan) const;

  // Adds a question of our own to the next trip, whose last result until then is the answer.
  void Ask(Connection& connection, Question question) const;

  // After an execution of a query: what its rows are need not be asked again on this connection.
  void Remember(Connection& connection, Plan& plan, const Result& result) const;

  // Sends what was added, and waits. `first`: which of its results is the statement's.
  Task<Trial> Go(Link& link, Caller& caller, const Plan* plan, int first, const Setting& setting);
  // Waits for what was sent.
  Task<Trial> Await(Link& link,
                    Caller& caller,
                    const Plan* plan,
                    std::shared_ptr<Trip> trip,
                    int first,
                    const Setting& setting);

  // How an execution goes, beside its answer.
  struct Report {
    // What is asked for.
    bool whole = false;   // facts only: the rows are taken from the trip
    bool shares = false;  // of several results that share their bytes: what does not fit is left
                          // out
    bool columns = true;  // tell them

    // What came of it.
    std::shared_ptr<Trip> trip;
    int first = 0;           // the statement's result in the trip
    bool sent = false;       // the statement, and what is around it
    bool failed = false;     // by the server, or on the way
    bool ran = false;        // the server answered it
    bool unlearnt = false;   // the session's own limit ended the description; nothing ran
    bool timed_out = false;  // the session's own limit, and nobody's wish, ended it
    bool lost = false;       // the connection ended first
    bool unsent = false;     // and the server got nothing of it
    bool flooded = false;    // for the size of what it brought
    absl::Duration took;     // of the server's time
  };

  // Learns, binds, sends and collects; tries again once where the plan was out of date, unless it
  // is in a transaction.
  Task<absl::StatusOr<db::Rows>> Execute(Link& link,
                                         Caller& caller,
                                         const db::Statement& statement,
                                         const Around& around,
                                         const Setting& setting,
                                         Report& report);

  // How much of a result is answered.
  struct Room {
    int64_t rows = 0;
    int64_t bytes = 0;
    bool shared = false;  // with other results: columns count, too
    bool cuts = false;    // a row that does not fit is left out, which is no error
    bool columns = true;  // tell them
    size_t head = 0;      // bytes of the answer that are columns
  };

  // The rows of a result, within the room that there is, with its closing facts.
  absl::StatusOr<db::Rows> Collect(const Result& result, Plan& plan, Room room) const;

  // In pieces, of results of the same statement: first the columns, then the rows of each.
  void AppendHead(const Result& result, const Plan& plan, Room& room, db::Rows& rows) const;
  absl::Status AppendRows(const Result& result, Plan& plan, const Room& room, db::Rows& rows) const;

  // The columns of a result, in wire form. A plan that described it differently is forgotten: its
  // table was changed meanwhile.
  std::string Head(const Result& result, const Plan& plan) const;

  // What a failed result means. `demoted`: that of a server which takes no more writes.
  absl::Status Why(const Result& result,
                   Caller& caller,
                   const Setting& setting,
                   bool demoted) const;
  // What the loss of the connection means, or that its caller went away, for what was sent.
  absl::Status WhyLost(const Trial& trial, Caller& caller, const Setting& setting) const;

 private:
  TypeBook& types_;
  PlanBook& plans_;
  Habits& habits_;
};

// The facts that end every answer: tag, counts.
void AddFacts(const Result& result, const Plan& plan, db::Rows& rows);

// The same without rows, for all rows of the result.
db::Rows FactsOf(const Result& result, const Plan& plan);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_RUNNER_H_
