// Rows: a result, or a piece of one, encoded once by its driver in the wire form of the reply that
// will carry it.
#ifndef SLUICE_SERVER_DB_ROWS_H_
#define SLUICE_SERVER_DB_ROWS_H_

#include <cstdint>
#include <string>

namespace sluice::db {

// Field numbers under which every reply that carries rows has them; query.proto keeps to these.
inline constexpr int kColumnsField = 1;
inline constexpr int kRowsField = 2;
inline constexpr int kPartField = 11;

struct Rows {
  std::string wire;          // `columns`, then `rows`; or one `part` of a value larger than a chunk
  int64_t count = 0;         // rows in `wire`
  bool has_columns = false;  // the statement has a result
  bool truncated = false;    // one row further was read, and is not here
  bool end = false;          // nothing follows; the facts below are final
  int64_t rows_affected = 0;
  int64_t last_insert_rowid = 0;
  std::string command_tag;
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_ROWS_H_
