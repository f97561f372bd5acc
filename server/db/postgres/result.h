// Result: what the server answered to one message, as libpq read it.
#ifndef SLUICE_SERVER_DB_POSTGRES_RESULT_H_
#define SLUICE_SERVER_DB_POSTGRES_RESULT_H_

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"

#include "server/db/postgres/decode.h"
#include "server/db/postgres/sqlstate.h"
#include "server/db/postgres/types.h"

struct pg_result;

namespace sluice::postgres {

class Result {
 public:
  enum class Kind {
    kRows,
    kDone,     // no rows: a command, or the description of a statement
    kEmpty,    // an empty statement
    kError,    // error() says why
    kSkipped,  // something before it in its trip failed
    kCopyIn,
    kCopyOut,
    kOther,  // nothing that was asked for: the connection is no longer to be trusted
  };

  explicit Result(pg_result* result) : result_(result) {}

  Kind kind() const;

  bool failed() const { return kind() == Kind::kError || kind() == Kind::kSkipped; }

  int rows() const;
  int columns() const;
  Cell cell(int row, int column) const;
  absl::string_view text(int row, int column) const;
  bool is_null(int row, int column) const;

  absl::string_view name(int column) const;
  Oid type(int column) const;
  int modifier(int column) const;
  Oid table(int column) const;         // 0: no column of a table
  int table_column(int column) const;  // its number there, from 1
  Format format(int column) const;

  // Of a description.
  int parameters() const;
  Oid parameter(int index) const;

  // `SELECT 3`.
  absl::string_view tag() const;
  // What the tag counts; 0 if it counts nothing.
  int64_t affected() const;

  ServerError error() const;
  // Only its SQLSTATE.
  absl::string_view sqlstate() const;

  // Bytes that it keeps in memory, about.
  size_t memory() const;

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };

  std::unique_ptr<pg_result, Clear> result_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_RESULT_H_
