// Inserter: puts rows into one table.
#ifndef SLUICE_SERVER_DB_SQLITE_INSERTER_H_
#define SLUICE_SERVER_DB_SQLITE_INSERTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/repeated_ptr_field.h"

#include "server/db/load.h"
#include "server/db/parameter_list.h"
#include "server/db/sqlite/connection.h"

namespace sluice::sqlite {

// Lives inside one transaction, on the connection's thread. What it inserted before an error is for
// whoever holds the transaction to undo.
class Inserter {
 public:
  // `target` outlives it.
  Inserter(Connection& connection, const db::LoadTarget& target, Watch& watch)
      : connection_(connection), target_(target), watch_(watch) {}

  // Inserts all of them, and adds to `affected` what that changed. Errors: TABLE_NOT_FOUND;
  // PARAMETER_INVALID; what the database said of a row, with `row` in the metadata, counted on from
  // `first_row`; CANCELLED if the watch ended it.
  absl::Status Insert(const google::protobuf::RepeatedPtrField<db::pb::Row>& rows,
                      int64_t first_row,
                      int64_t& affected);

 private:
  // A column of the table.
  struct Column {
    std::string name;
    bool generated = false;
    int64_t key = 0;  // position in the primary key, from 1; 0 = not in it
  };

  absl::Status Plan();
  absl::StatusOr<std::vector<Column>> ReadColumns();
  absl::Status TableMissing();
  absl::Status ChooseColumns(const std::vector<Column>& all);
  absl::StatusOr<std::string> ConflictClause(const std::vector<Column>& all) const;
  absl::Status InsertRow(Prepared& prepared, const db::pb::Row& row);
  absl::Status Bind(Prepared& prepared, const db::pb::Row& row);

  Connection& connection_;
  const db::LoadTarget& target_;
  Watch& watch_;
  std::string sql_;  // empty until there is a plan
  std::vector<std::string> columns_;
  std::vector<db::Parameter> parameters_;  // one per column
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_INSERTER_H_
