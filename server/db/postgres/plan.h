// Plan: what is known of one SQL text on one database.
#ifndef SLUICE_SERVER_DB_POSTGRES_PLAN_H_
#define SLUICE_SERVER_DB_POSTGRES_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/db/postgres/result.h"
#include "server/db/postgres/types.h"
#include "server/db/postgres/wait_list.h"
#include "server/db/shape.h"
#include "server/db/statement.h"

namespace sluice::postgres {

// Speed: whether a statement is quick enough to share a connection, by its slowest executions and
// not by their mean: one slow one in a hundred is forgiven.
class Speed {
 public:
  // An execution that holds up others for longer is a slow one.
  static constexpr absl::Duration kSlow = absl::Milliseconds(10);

  bool known() const { return known_; }

  bool slow() const { return score_ >= kLimit; }

  void Learn(absl::Duration took) {
    if (!known_ && took >= kSlow) score_ = kLimit;
    known_ = true;
    score_ = took >= kSlow ? std::min(score_ + kPenalty, kMost) : std::max(score_ - 1, 0);
  }

  // It did not end within the allowance of a lane.
  void LearnSlow() {
    known_ = true;
    score_ = kMost;
  }

 private:
  static constexpr int kPenalty = 100;
  static constexpr int kLimit = 200;
  static constexpr int kMost = 1000;

  bool known_ = false;
  int score_ = 0;
};

struct Plan {
  uint64_t id = 0;  // never used twice in a process
  // By its text alone.
  db::StatementShape shape;
  absl::Status refusal;        // why it is not run; OK if it is
  std::string sql;             // as the server gets it: named parameters are numbered
  bool plain = false;          // by its verb and text, leaves nothing behind in its session
  bool reads = false;          // by its verb, a query that writes nothing itself; functions may
  bool may_commit = false;     // by its verb, in the middle of what it does
  bool may_read_only = false;  // by its verb, makes sense in a transaction that is read-only
  bool leaves_seed = false;    // may set the state of random(), which nothing resets
  bool counts = false;         // may take a number from a sequence, which the session remembers
  bool asks_number = false;    // asks for the last number that the session took

  std::vector<Oid> asked;  // the types of its parameters that its callers say; 0 = to be inferred

  // Once the server described it.
  bool described = false;
  std::vector<Oid> parameters;
  bool has_columns = false;
  Format results = Format::kText;
  std::shared_ptr<const Columns> columns;  // which the owner of their table may change
  std::shared_ptr<const Columns> told;     // the same, by an execution; null before the first
  std::string encoded_columns;             // `columns` of the reply, in wire form

  Speed speed;
  bool large = false;     // had more rows, or bytes, than were asked for
  int64_t row_bytes = 0;  // that a row took here, last time; 0 = not known
  bool learning = false;  // somebody runs it for the first time
  WaitList followers;     // and others wait for how that goes

  // It brought more than may be taken at once: a few rows at a time, until one is seen.
  void LearnWide() {
    large = true;
    row_bytes = std::max(row_bytes, kWideRow);
  }

 private:
  static constexpr int64_t kWideRow = 1 << 20;
};

// PlanBook: the plans of one database, the most recently used ones. The reactor's thread only.
class PlanBook {
 public:
  std::shared_ptr<Plan> Find(absl::string_view sql);
  std::shared_ptr<Plan> Find(const db::Statement& statement);

  // What was known of it no longer holds: others get a new one.
  void Forget(const Plan& plan);

 private:
  static constexpr size_t kMost = 10'000;
  static constexpr size_t kMostBytes = 32 << 20;

  struct Entry {
    std::string text;
    std::shared_ptr<Plan> plan;
  };

  using Order = std::list<Entry>;

  // `key`: the text, and the types that are asked for.
  std::shared_ptr<Plan> Find(absl::string_view key, absl::string_view sql, std::vector<Oid> asked);

  void Remove(Order::iterator entry);

  Order order_;  // most recent first
  absl::flat_hash_map<absl::string_view, Order::iterator> by_text_;
  size_t bytes_ = 0;
};

// Reads an SQL text.
std::shared_ptr<Plan> MakePlan(absl::string_view sql);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_PLAN_H_
