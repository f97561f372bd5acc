// Question: one of the server's own statements, asked on a client's connection.
#ifndef SLUICE_SERVER_DB_SQLITE_QUESTION_H_
#define SLUICE_SERVER_DB_SQLITE_QUESTION_H_

#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/db/sqlite/authorizer.h"
#include "server/db/sqlite/connection.h"

namespace sluice::sqlite {

// Lives on the stack of the connection's thread; while it does, the connection's authorizer allows
// everything, and the client's statements are not compiled.
class Question {
 public:
  Question(Connection& connection, Watch& watch);
  ~Question();

  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  // Compiles and binds; what was asked before is over. The texts stay where they are.
  absl::Status Ask(absl::string_view sql, std::initializer_list<absl::string_view> texts = {});

  // One row further; false after the last one.
  absl::StatusOr<bool> Next();

  // The current row. A text is what the database holds, in UTF-8 or not.
  bool IsNull(int column) const;
  int64_t Number(int column) const;
  std::string Text(int column) const;

 private:
  void Finish();

  Connection& connection_;
  Watch& watch_;
  const Authorizer::Suspension suspension_;
  sqlite3_stmt* stmt_ = nullptr;
};

// For between two of them: the watch looks only while a statement runs, and compiling is none.
absl::Status CheckEnded(Watch& watch);

// `text` as a message may carry it: what is no UTF-8 could not be parsed in a reply.
std::string Shown(std::string text);

// `name` as SQL can name it, in quotes where it needs them.
std::string QuotedName(absl::string_view name);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_QUESTION_H_
