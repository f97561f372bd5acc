// Results: from a running statement to rows in wire form, whole or in chunks.
#ifndef SLUICE_SERVER_DB_SQLITE_RESULT_H_
#define SLUICE_SERVER_DB_SQLITE_RESULT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/db/rows.h"
#include "server/db/sqlite/connection.h"

namespace sluice::sqlite {

// Limits of a unary result.
struct RowLimits {
  int64_t max_rows = 0;
  int64_t max_bytes = 0;
  bool run_to_end = false;  // beyond the limits too: the statement writes
  // Of several that share `max_bytes`: columns count too, and what does not fit is left out, which
  // is no error.
  bool shares = false;
  bool columns = true;  // tell them
};

// Runs a bound statement and collects its rows. The statement is reset afterwards, whatever
// happened. Errors: VALUE_TOO_LARGE for a row that could never fit; the statement's own.
absl::StatusOr<db::Rows> CollectRows(Connection& connection,
                                     Prepared& prepared,
                                     const RowLimits& limits,
                                     Watch* watch);

// The closing facts of a statement that has run: its tag, and what it changed if it writes. `rows`
// holds the count of its rows.
void AddFacts(const Connection& connection, const Prepared& prepared, db::Rows& rows);

// AFFECTED_ROWS_EXCEEDED if the facts say more than `limit` rows; 0 = no bound.
absl::Status CheckAffected(const db::Rows& facts, int64_t limit);

// What a statement weighs with its values, about.
int64_t BytesOf(const db::Statement& statement);

// Why a statement did not end well: `failure` itself, unless our own watch ended it. `limit`: how
// long it may last where the call's deadline is further away. `closing`: the database goes away.
// `executed`: what became of a statement that was ended; one that only reads leaves nothing.
absl::Status WhyEnded(absl::Status failure,
                      const Watch& watch,
                      const Context& ctx,
                      absl::Duration limit,
                      bool closing,
                      errors::Executed executed);

// A call's deadline on the steady clock.
absl::Duration SteadyDeadline(absl::Time deadline);
// Whether there is no point in beginning.
bool DeadlinePassed(const Context& ctx);

// ChunkMaker: cuts the rows of one bound statement into chunks. Used by one thread at a time.
class ChunkMaker {
 public:
  ChunkMaker(Connection& connection, Prepared& prepared, int64_t chunk_bytes)
      : connection_(connection), prepared_(prepared), chunk_bytes_(chunk_bytes) {}

  // The next chunk, at most `chunk_bytes` unless one row is larger; nothing after the last one.
  // The first carries the columns and comes even without rows.
  absl::StatusOr<std::optional<db::Rows>> Next(Watch* watch);

  // No further chunk comes, once the first came.
  bool done() const { return done_ && carried_.empty() && part_ == split_.size(); }

  int64_t rows() const { return rows_; }

 private:
  absl::Status AppendNextRow(bool with_columns, Watch* watch, db::Rows& chunk);
  db::Rows NextPart();

  Connection& connection_;
  Prepared& prepared_;
  const int64_t chunk_bytes_;
  int64_t rows_ = 0;
  bool first_ = true;
  bool done_ = false;
  std::string carried_;     // a row that did not fit into the last chunk
  std::vector<int> split_;  // columns of the last row whose values follow in parts
  size_t part_ = 0;         // index into split_
  uint64_t offset_ = 0;     // in the value of that column
};

// The last piece of a result that was cut into chunks: the closing facts.
db::Rows EndOf(const Connection& connection, const Prepared& prepared, const ChunkMaker& maker);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_RESULT_H_
