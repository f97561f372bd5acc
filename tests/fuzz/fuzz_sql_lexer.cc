// Reads any bytes as SQL, and holds what the lexer says of them against SQLite itself: what SQLite
// compiles must have the parameters, the end and the emptiness that we say it has, and must not
// control a transaction unless we refuse it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include <sqlite3.h>

#include "absl/strings/string_view.h"

#include "server/base/utf8.h"
#include "server/db/fingerprint.h"
#include "server/db/lexer.h"
#include "server/db/shape.h"
#include "tests/fuzz/check.h"

namespace sluice::db {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL);"
    "CREATE TABLE u(a, b, PRIMARY KEY(a, b)) WITHOUT ROWID;"
    "CREATE INDEX i ON t(b);"
    "CREATE VIEW v AS SELECT a, b FROM t;"
    "CREATE VIRTUAL TABLE f USING fts5(x, y);"
    "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE u SET b = 1; END;";

// The database that statements are compiled for, and what the last of them was about to do.
class Engine {
 public:
  Engine() {
    FUZZ_CHECK(sqlite3_open(":memory:", &db_) == SQLITE_OK);
    FUZZ_CHECK(sqlite3_exec(db_, kSchema, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_limit(db_, SQLITE_LIMIT_VARIABLE_NUMBER, kMaxSqliteParameters);
    sqlite3_limit(db_, SQLITE_LIMIT_EXPR_DEPTH, 100);
    sqlite3_set_authorizer(db_, &Engine::Authorize, this);
  }

  // Compiles one statement; `*statement` is null if there is none.
  bool Prepare(absl::string_view sql, sqlite3_stmt** statement, absl::string_view* tail) {
    controls_transaction_ = false;
    const char* end = nullptr;
    const int result =
        sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), statement, &end);
    if (result != SQLITE_OK) return false;
    *tail = sql.substr(static_cast<size_t>(end - sql.data()));
    return true;
  }

  bool IsBlank(absl::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    absl::string_view tail;
    const bool blank = Prepare(sql, &statement, &tail) && statement == nullptr;
    sqlite3_finalize(statement);
    return blank;
  }

  bool ControlsTransaction() const { return controls_transaction_; }

 private:
  static int Authorize(void* self, int action, const char*, const char*, const char*, const char*) {
    if (action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT) {
      static_cast<Engine*>(self)->controls_transaction_ = true;
    }
    // These act when they are compiled.
    return action == SQLITE_PRAGMA || action == SQLITE_ATTACH ? SQLITE_DENY : SQLITE_OK;
  }

  sqlite3* db_ = nullptr;
  bool controls_transaction_ = false;
};

void CheckTokens(absl::string_view sql, Dialect dialect) {
  Lexer lexer(sql, dialect);
  size_t covered = 0;
  bool quoted_name = false;
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    FUZZ_CHECK(token.offset == covered);
    FUZZ_CHECK(!token.text.empty());
    FUZZ_CHECK(token.text.data() == sql.data() + covered);
    covered += token.text.size();
    quoted_name |= token.kind == TokenKind::kQuotedName;
  }
  FUZZ_CHECK(covered == sql.size());
  FUZZ_CHECK(lexer.Next().kind == TokenKind::kEnd);

  const Fingerprint fingerprint = MakeFingerprint(sql, dialect);
  FUZZ_CHECK(fingerprint.hash.size() == 16);
  FUZZ_CHECK(fingerprint.text.size() <= kMaxFingerprintText);
  FUZZ_CHECK(IsValidUtf8(fingerprint.text));
  FUZZ_CHECK(quoted_name || fingerprint.text.find('\'') == std::string::npos);
}

void CheckParameters(const ParameterList& list, sqlite3_stmt* statement) {
  std::set<int> indexes;
  int highest = 0;
  for (const Parameter& parameter : list.all) {
    FUZZ_CHECK(indexes.insert(parameter.index).second);
    highest = std::max(highest, parameter.index);
    const char* const name = sqlite3_bind_parameter_name(statement, parameter.index);
    if (parameter.form == ParameterForm::kBare) {
      FUZZ_CHECK(name == nullptr);
    } else {
      FUZZ_CHECK(name != nullptr && parameter.text == name);
    }
  }
  FUZZ_CHECK(highest == sqlite3_bind_parameter_count(statement));
}

void CheckAgainstSqlite(absl::string_view sql) {
  static Engine engine;
  const StatementShape shape = Inspect(sql, Dialect::kSqlite);
  const absl::Status allowed = CheckAllowed(shape, Dialect::kSqlite);
  FUZZ_CHECK(static_cast<bool>(shape.nul) == (sql.find('\0') != absl::string_view::npos));
  if (shape.nul) {
    FUZZ_CHECK(!allowed.ok());
    return;
  }
  sqlite3_stmt* statement = nullptr;
  absl::string_view tail;
  if (!engine.Prepare(sql, &statement, &tail)) return;
  const bool controls_transaction = engine.ControlsTransaction();
  FUZZ_CHECK(shape.empty == (statement == nullptr));
  if (statement != nullptr) {
    FUZZ_CHECK(!shape.error);
    FUZZ_CHECK(!shape.keyword.empty());
    FUZZ_CHECK(shape.explain == (sqlite3_stmt_isexplain(statement) != 0));
    FUZZ_CHECK(!controls_transaction || !allowed.ok());
    if (shape.parameters.problem.ok()) CheckParameters(shape.parameters, statement);
    FUZZ_CHECK(static_cast<bool>(shape.stacked) == !engine.IsBlank(tail));
    if (shape.stacked) {
      FUZZ_CHECK(!allowed.ok());
      const size_t tail_offset = sql.size() - tail.size();
      FUZZ_CHECK(shape.stacked.offset >= tail_offset);
      FUZZ_CHECK(engine.IsBlank(tail.substr(0, shape.stacked.offset - tail_offset)));
    }
  }
  sqlite3_finalize(statement);
}

}  // namespace
}  // namespace sluice::db

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sluice::db::Dialect;
  const absl::string_view sql(reinterpret_cast<const char*>(data), size);
  sluice::db::CheckTokens(sql, Dialect::kSqlite);
  sluice::db::CheckTokens(sql, Dialect::kPostgres);
  const sluice::db::StatementShape shape = sluice::db::Inspect(sql, Dialect::kPostgres);
  sluice::db::CheckAllowed(shape, Dialect::kPostgres).IgnoreError();
  sluice::db::CheckAgainstSqlite(sql);
  return 0;
}
