// The messages of PostgreSQL's protocol 3.0 that a session exchanges once libpq has opened it:
// https://www.postgresql.org/docs/15/protocol-message-formats.html
#ifndef SLUICE_SERVER_DB_POSTGRES_PROTOCOL_H_
#define SLUICE_SERVER_DB_POSTGRES_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "server/db/postgres/sqlstate.h"
#include "server/db/postgres/types.h"

namespace sluice::postgres {

// Values for the parameters of one execution.
class ParameterValues {
 public:
  void AddNull();
  // `bytes` is copied.
  void Add(absl::string_view bytes, Format format);

 private:
  friend void AppendBind(absl::string_view statement,
                         const ParameterValues& values,
                         Format results,
                         std::string& out);

  absl::InlinedVector<Format, 8> formats_;
  std::string bytes_;  // as the message has them
};

// Each appends a message to `out`. No name, and no SQL, has a NUL.
void AppendParse(absl::string_view statement,
                 absl::string_view sql,
                 absl::Span<const Oid> types,
                 std::string& out);
// To the portal without a name, like the next two. All columns of its rows have one format.
void AppendBind(absl::string_view statement,
                const ParameterValues& values,
                Format results,
                std::string& out);
void AppendDescribePortal(std::string& out);
void AppendExecute(std::string& out);
void AppendDescribeStatement(absl::string_view statement, std::string& out);
void AppendSync(std::string& out);
// Commands in the simple protocol, which ends like a Sync.
void AppendQuery(absl::string_view sql, std::string& out);
void AppendCopyData(absl::string_view data, std::string& out);
void AppendCopyDone(std::string& out);
void AppendCopyFail(absl::string_view why, std::string& out);

// Of a message, before its body: its type and its length, which counts itself.
inline constexpr size_t kLengthSize = 4;
inline constexpr size_t kHeadSize = 1 + kLengthSize;

// What the server sends, by the first byte of the message.
enum class MessageType : char {
  kParseComplete = '1',
  kBindComplete = '2',
  kNotification = 'A',
  kCommandComplete = 'C',
  kDataRow = 'D',
  kError = 'E',
  kCopyIn = 'G',
  kEmptyQuery = 'I',
  kNotice = 'N',
  kNoData = 'n',
  kParameterStatus = 'S',
  kRowDescription = 'T',
  kParameterDescription = 't',
  kReady = 'Z',
};

struct ServerMessage {
  MessageType type;
  absl::string_view body;
};

// MessageReader: takes a body apart. What is not there is zero, and ok() is false from then on.
class MessageReader {
 public:
  explicit MessageReader(absl::string_view body) : rest_(body) {}

  char Byte();
  int16_t Int16();
  int32_t Int32();
  absl::string_view Bytes(size_t count);
  // Up to a NUL, which is taken, too.
  absl::string_view Text();

  bool ok() const { return ok_; }

  // Everything was taken, and was there.
  bool AtEnd() const { return ok_ && rest_.empty(); }

 private:
  absl::string_view rest_;
  bool ok_ = true;
};

// A column as the server describes it.
struct Column {
  std::string name;
  Oid table = 0;         // 0: no column of a table
  int table_column = 0;  // its number there, from 1
  Oid type = 0;
  int modifier = -1;
  Format format = Format::kText;
};

// What an execution gives: no value where it gives no rows, which is not the same as no columns.
struct Columns {
  bool rows = false;
  std::vector<Column> columns;
};

// Nothing: the body is not what it says it is. So for each of these.
std::optional<Columns> ReadRowDescription(absl::string_view body);
std::optional<std::vector<Oid>> ReadParameterDescription(absl::string_view body);
std::optional<ServerError> ReadError(absl::string_view body);

// Whether a body is a row of so many columns: a count, and for each a length, which is -1 for NULL,
// and as many bytes.
bool IsDataRow(absl::string_view body, size_t columns);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_PROTOCOL_H_
