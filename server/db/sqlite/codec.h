// Codec: values between sqlite3 and the contract. Rows go straight into the wire form of the reply
// that will carry them; no message is made for a cell. Runs on the connection's thread.
#ifndef SLUICE_SERVER_DB_SQLITE_CODEC_H_
#define SLUICE_SERVER_DB_SQLITE_CODEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/db/parameter_list.h"
#include "server/db/statement.h"

struct sqlite3_stmt;

namespace sluice::sqlite {

// How texts of the database are stored.
enum class TextEncoding { kUtf8, kUtf16 };

enum class RowFault {
  kNone,
  kNoMemory,  // for a value that had to be made first, as zeroblob's
  kTooLarge,  // more than kMaxRowBytes
};

// Appends the current row as a `rows` field. Values of more than `split_above` bytes stand as
// SplitValue, and their columns are appended to `split`. On a fault nothing is appended.
RowFault AppendRow(sqlite3_stmt* stmt,
                   int column_count,
                   TextEncoding encoding,
                   int64_t split_above,
                   std::string& out,
                   std::vector<int>& split);

// Bytes of one text or blob of the current row, valid until the next step or reset.
absl::string_view ColumnBytes(sqlite3_stmt* stmt, int column, TextEncoding encoding);

// The `columns` field of the result, in wire form.
std::string EncodeColumns(sqlite3_stmt* stmt);

// What a declared type implies: a name that stands for a type of its own (BOOLEAN, DATE, DECIMAL,
// JSON and the like) is that type, and any other has SQLite's affinity.
db::pb::ValueType TypeOfDeclaration(absl::string_view declared);

// Binds one value without copying it; it must stay where it is until the statement is unbound. What
// SQLite cannot hold is PARAMETER_INVALID, under the name that `parameter` has in the request.
absl::Status BindValue(sqlite3_stmt* stmt,
                       const db::Parameter& parameter,
                       const db::pb::Value& value);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_CODEC_H_
