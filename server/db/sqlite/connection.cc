#include "server/db/sqlite/connection.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <sqlite3.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/parameters.h"
#include "server/db/sqlite/hints.h"
#include "server/db/sqlite/limits.h"
#include "server/db/sqlite/parameter_plan.h"
#include "server/db/sqlite/policy.h"

namespace sluice::sqlite {
namespace {

// VM steps between two looks at the watch: some ten microseconds.
constexpr int kPeriod = 1000;
constexpr absl::Duration kInPlaceInterval = absl::Milliseconds(100);
constexpr size_t kNamesForHint = 500;

constexpr absl::string_view kWritingVerbs[] = {"INSERT", "UPDATE", "DELETE",  "REPLACE", "CREATE",
                                               "DROP",   "ALTER",  "ANALYZE", "REINDEX"};

bool IsWritingVerb(absl::string_view verb) {
  return std::find(std::begin(kWritingVerbs), std::end(kWritingVerbs), verb) !=
         std::end(kWritingVerbs);
}

// Of one that may change how others are compiled.
bool IsSchemaVerb(absl::string_view verb) {
  return verb == "CREATE" || verb == "DROP" || verb == "ALTER" || verb == "ANALYZE" ||
         verb == "REINDEX";
}

// SQLITE_FULL is none: it is also what a table without free rowids says. Nor is an index that
// disagrees with its table: that is the trouble of one statement, and mended by another.
bool IsDeviceFault(int code) {
  switch (code & 0xFF) {
    case SQLITE_CORRUPT:
      return code != SQLITE_CORRUPT_VTAB && code != SQLITE_CORRUPT_INDEX;
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
      return true;
    case SQLITE_IOERR:
      return code != SQLITE_IOERR_NOMEM;
    default:
      return false;
  }
}

// Counts `AS (`, `AS MATERIALIZED (` and `AS NOT MATERIALIZED (`, of which a text that is short
// cannot have too many.
absl::Status CheckTableExpressions(absl::string_view sql) {
  constexpr size_t kShortest = sizeof("a AS(VALUES(1)),") - 1;
  if (sql.size() < kMaxTableExpressions * kShortest) return absl::OkStatus();
  db::Lexer lexer(sql, db::Dialect::kSqlite);
  int count = 0;
  bool begins = false;
  for (db::Token token = lexer.Next(); token.kind != db::TokenKind::kEnd; token = lexer.Next()) {
    if (token.kind == db::TokenKind::kSpace || token.kind == db::TokenKind::kComment) continue;
    const bool modifier = begins && token.kind == db::TokenKind::kWord &&
                          (absl::EqualsIgnoreCase(token.text, "NOT") ||
                           absl::EqualsIgnoreCase(token.text, "MATERIALIZED"));
    if (modifier) continue;
    if (begins && token.kind == db::TokenKind::kOpen) ++count;
    begins = token.kind == db::TokenKind::kWord && absl::EqualsIgnoreCase(token.text, "AS");
  }
  if (count <= kMaxTableExpressions) return absl::OkStatus();
  return errors::StatementForbidden(
      absl::StrCat("A statement may have ", kMaxTableExpressions, " common table expressions"), "");
}

// SQLite asks the authorizer about VACUUM only when it runs.
absl::Status CheckVacuum(const db::StatementShape& shape, absl::string_view sql) {
  if (shape.keyword != "VACUUM") return absl::OkStatus();
  db::Lexer lexer(sql, db::Dialect::kSqlite);
  for (db::Token token = lexer.Next(); token.kind != db::TokenKind::kEnd; token = lexer.Next()) {
    if (token.kind == db::TokenKind::kWord && absl::EqualsIgnoreCase(token.text, "INTO")) {
      return errors::StatementForbidden("VACUUM INTO is not run", "a backup");
    }
  }
  return errors::StatementForbidden("VACUUM is not run", "");
}

// The names of the server's own tables must not come into being by any way, RENAME TO included,
// whose new name no authorizer is told.
absl::Status CheckNames(const Verdict& verdict, absl::string_view sql) {
  if (!verdict.ddl || !HoldsReservedName(sql)) return absl::OkStatus();
  return errors::StatementForbidden("Names that begin with _sluice_ are the server's own",
                                    "another name");
}

// Whether SQLite counts the parameters as the shape does.
bool AgreeOnParameters(sqlite3_stmt* stmt, const db::ParameterList& parameters) {
  if (!parameters.problem.ok()) return true;  // nothing is bound to them
  int last = 0;
  for (const db::Parameter& parameter : parameters.all) {
    const char* const name = sqlite3_bind_parameter_name(stmt, parameter.index);
    const bool bare = parameter.form == db::ParameterForm::kBare;
    if (bare != (name == nullptr) || (!bare && parameter.text != name)) return false;
    last = std::max(last, parameter.index);
  }
  return sqlite3_bind_parameter_count(stmt) == last;
}

}  // namespace

Connection::Connection(sqlite3* db, const ConnectionOptions& options)
    : db_(db),
      read_only_(options.read_only),
      cache_(static_cast<size_t>(std::max(options.statement_cache, 1))) {
  SetPeriod(kPeriod);
}

Connection::~Connection() {
  cache_.Clear();
  for (const auto& [sql, stmt] : own_) sqlite3_finalize(stmt);
  sqlite3_close(db_);
}

absl::StatusOr<Prepared*> Connection::Prepare(absl::string_view sql) {
  if (Prepared* const cached = cache_.Find(sql)) {
    if (cached->bound) Reset(*cached);  // it was given up before its first step
    return cached;
  }
  TRY(std::unique_ptr<Prepared> prepared, Compile(sql));
  return cache_.Insert(std::move(prepared));
}

bool Connection::Cached(absl::string_view sql) const {
  return cache_.Contains(sql);
}

absl::StatusOr<std::unique_ptr<Prepared>> Connection::Compile(absl::string_view sql) {
  if (sql.size() > kMaxSqlBytes) return errors::ValueTooLarge("The SQL", kMaxSqlBytes, "");
  auto prepared = std::make_unique<Prepared>();
  prepared->sql = std::string(sql);
  auto plan = std::make_unique<ParameterPlan>();
  plan->shape = db::Inspect(prepared->sql, db::Dialect::kSqlite);
  TRY_STATUS(db::CheckAllowed(plan->shape, db::Dialect::kSqlite));
  TRY_STATUS(CheckVacuum(plan->shape, sql));
  TRY_STATUS(CheckTableExpressions(sql));
  TRY_STATUS(CheckView(plan->shape, sql));
  TRY_STATUS(CompileInto(*prepared, plan->shape));
  prepared->parameters = std::move(plan);
  return prepared;
}

absl::Status Connection::CheckView(const db::StatementShape& shape, absl::string_view sql) {
  if (shape.keyword != "CREATE" || shape.second != "VIEW") return absl::OkStatus();
  TRY(const int64_t views, Number("SELECT count(*) FROM sqlite_schema WHERE type = 'view'"));
  if (views >= kMaxViews) {
    return errors::StatementForbidden(
        absl::StrCat("A database may have ", kMaxViews, " views, and this one has them"), "");
  }
  TRY(const int64_t bytes,
      Number("SELECT total(length(CAST(sql AS BLOB))) FROM sqlite_schema WHERE type = 'view'"));
  if (bytes + static_cast<int64_t>(sql.size()) <= kMaxViewBytes) return absl::OkStatus();
  return errors::StatementForbidden("The definitions of all views together may have 2 MiB", "");
}

absl::Status Connection::CompileInto(Prepared& prepared, const db::StatementShape& shape) {
  authorizer_.Start();
  const char* tail = nullptr;
  // With the terminating NUL in the length SQLite compiles the text where it stands.
  const int code =
      sqlite3_prepare_v3(db_, prepared.sql.c_str(), static_cast<int>(prepared.sql.size()) + 1,
                         SQLITE_PREPARE_PERSISTENT, &prepared.stmt, &tail);
  TRY_STATUS(authorizer_.Refusal());
  if (code != SQLITE_OK) return Error(code, Phase::kCompiling, prepared.sql);
  if (prepared.stmt == nullptr || !db::Inspect(tail, db::Dialect::kSqlite).empty) {
    return errors::StatementRefused("One call runs one statement", "ExecuteBatch");
  }
  const Verdict& verdict = authorizer_.verdict();
  TRY_STATUS(CheckNames(verdict, prepared.sql));
  if (!AgreeOnParameters(prepared.stmt, shape.parameters)) {
    return errors::Internal("SQLite reads the statement's parameters in another way");
  }
  const bool explains = sqlite3_stmt_isexplain(prepared.stmt) != 0;
  // Each has cases that the other does not see: DROP … IF EXISTS of what is not there yet asks the
  // authorizer nothing, and REINDEX without an index counts as reading.
  prepared.writes = !explains && (verdict.writes || IsWritingVerb(shape.verb) ||
                                  sqlite3_stmt_readonly(prepared.stmt) == 0);
  prepared.changes_schema = prepared.writes && (verdict.ddl || IsSchemaVerb(shape.verb));
  prepared.verb = explains ? "EXPLAIN" : shape.verb;
  prepared.memory = static_cast<int64_t>(prepared.sql.size()) +
                    sqlite3_stmt_status(prepared.stmt, SQLITE_STMTSTATUS_MEMUSED, 0);
  Describe(prepared);
  return absl::OkStatus();
}

void Connection::Describe(Prepared& prepared) {
  prepared.column_count = sqlite3_column_count(prepared.stmt);
  prepared.has_columns = prepared.column_count > 0;
  prepared.columns = EncodeColumns(prepared.stmt);
  prepared.compilations = sqlite3_stmt_status(prepared.stmt, SQLITE_STMTSTATUS_REPREPARE, 0);
}

absl::Status Connection::Bind(Prepared& prepared,
                              const db::Params& params,
                              const db::NamedParams& named_params) {
  TRY(const db::BoundParameters bound, db::ResolveParameters(prepared.parameters->shape, params,
                                                             named_params, db::Dialect::kSqlite));
  prepared.bound = true;
  for (const db::BoundParameter& each : bound) {
    absl::Status status = BindValue(prepared.stmt, *each.parameter, *each.value);
    if (status.ok()) continue;
    Reset(prepared);
    return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<Connection::Step> Connection::Advance(Prepared& prepared, Watch* watch) {
  const bool first = !prepared.in_use;
  if (first) Start(prepared, watch);
  if (row_fault_ != RowFault::kNone) [[unlikely]] {
    Reset(prepared);
    return TakeRowFault();
  }
  running_.watch = watch;
  const int code = sqlite3_step(prepared.stmt);
  running_.watch = nullptr;
  if (first &&
      sqlite3_stmt_status(prepared.stmt, SQLITE_STMTSTATUS_REPREPARE, 0) != prepared.compilations) {
    Describe(prepared);
  }
  if (code == SQLITE_ROW) return Step::kRow;
  if (code == SQLITE_DONE) return Step::kDone;
  absl::Status status;
  // Compiled anew, it does what it did not do before.
  if ((code & 0xFF) == SQLITE_AUTH) status = authorizer_.Refusal();
  if (status.ok()) status = Error(code, Phase::kRunning, prepared.sql);
  Reset(prepared);
  return status;
}

void Connection::Start(Prepared& prepared, const Watch* watch) {
  prepared.in_use = true;
  row_fault_ = RowFault::kNone;
  if (prepared.changes_schema) ++schema_changes_;
  // Otherwise an INSERT that makes no row would show the rowid of an earlier one.
  if (prepared.writes) sqlite3_set_last_insert_rowid(db_, 0);
  authorizer_.Start();
  // The engine calls the handler when the statement's own count of steps, which goes on from one
  // execution to the next, passes a multiple of the period.
  sqlite3_stmt_status(prepared.stmt, SQLITE_STMTSTATUS_VM_STEP, 1);
  running_.steps = 0;
  int period = kPeriod;
  if (watch != nullptr && watch->budget > 0) {
    // Divides the budget, so that it ends where it says.
    const int64_t looks = (watch->budget + kPeriod - 1) / kPeriod;
    period = static_cast<int>((watch->budget + looks - 1) / looks);
  }
  if (period != running_.period) SetPeriod(period);
}

void Connection::SetPeriod(int period) {
  running_.period = period;
  sqlite3_progress_handler(db_, period, &Connection::OnProgress, &running_);
}

bool Watch::Over() {
  if (stop.load(std::memory_order_relaxed)) {
    ended = Ended::kStopped;
    return true;
  }
  if (deadline == absl::InfiniteDuration() || Clock::System().Steady() < deadline) return false;
  ended = Ended::kDeadline;
  return true;
}

int Connection::OnProgress(void* running_watch) {
  auto& running = *static_cast<RunningWatch*>(running_watch);
  running.steps += running.period;
  Watch* const watch = running.watch;
  if (watch == nullptr) return 0;
  if (watch->Over()) return 1;
  if (watch->budget == 0 || running.steps < watch->budget) return 0;
  watch->ended = Watch::Ended::kBudget;
  return 1;
}

void Connection::AppendRow(const Prepared& prepared,
                           int64_t split_above,
                           std::string& out,
                           std::vector<int>& split) const {
  const RowFault fault = sluice::sqlite::AppendRow(prepared.stmt, prepared.column_count, encoding_,
                                                   split_above, out, split);
  if (fault != RowFault::kNone) [[unlikely]]
    row_fault_ = fault;
}

absl::Status Connection::TakeRowFault() {
  if (std::exchange(row_fault_, RowFault::kNone) == RowFault::kTooLarge) {
    return errors::ValueTooLarge("A row of the result", kMaxRowBytes, "StreamQuery");
  }
  Failure failure;
  failure.code = SQLITE_NOMEM;
  return ToStatus(failure);
}

absl::string_view Connection::SplitBytes(const Prepared& prepared, int column) const {
  return ColumnBytes(prepared.stmt, column, encoding_);
}

void Connection::Reset(Prepared& prepared) {
  sqlite3_reset(prepared.stmt);
  sqlite3_clear_bindings(prepared.stmt);
  prepared.in_use = false;
  prepared.bound = false;
}

absl::StatusOr<sqlite3_stmt*> Connection::Own(absl::string_view sql) {
  const auto found = own_.find(sql);
  if (found != own_.end()) return found->second;
  sqlite3_stmt* stmt = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  if (code != SQLITE_OK) return Error(code, Phase::kCompiling, "");
  own_.emplace(sql, stmt);
  return stmt;
}

absl::Status Connection::Run(const char* sql) {
  const Authorizer::Suspension suspension(authorizer_);
  if (absl::StartsWith(sql, "BEGIN")) {
    device_failed_ = false;
    TRY_STATUS(CheckInPlace());
  }
  TRY(sqlite3_stmt* const stmt, Own(sql));
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = sqlite3_step(stmt);
  absl::Status status;
  if (code != SQLITE_DONE) status = Error(code, Phase::kRunning, "");
  sqlite3_reset(stmt);
  return status;
}

// With a write-ahead log the engine itself goes on writing to a file that has lost its name.
absl::Status Connection::CheckInPlace() {
  const absl::Duration now = Clock::System().Steady();
  if (read_only_ && now - checked_in_place_ < kInPlaceInterval) return absl::OkStatus();
  int moved = 0;
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (moved != 0) {
    Failure failure;
    failure.code = SQLITE_READONLY_DBMOVED;
    return ToStatus(failure);
  }
  checked_in_place_ = now;
  return absl::OkStatus();
}

int64_t Connection::Changes() const {
  return sqlite3_changes64(db_);
}

int64_t Connection::LastInsertRowid() const {
  return sqlite3_last_insert_rowid(db_);
}

bool Connection::InTransaction() const {
  return sqlite3_get_autocommit(db_) == 0;
}

absl::Status Connection::CheckDeferredKeys() {
  int broken = 0;
  int unused = 0;
  sqlite3_db_status(db_, SQLITE_DBSTATUS_DEFERRED_FKS, &broken, &unused, 0);
  if (broken == 0) return absl::OkStatus();
  Failure failure;
  failure.code = SQLITE_CONSTRAINT_FOREIGNKEY;
  failure.message = "FOREIGN KEY constraint failed";
  return ToStatus(failure);
}

int Connection::OnCommit(void* self, sqlite3* /*db*/, const char* /*name*/, int pages) {
  static_cast<Connection*>(self)->journal_pages_ = pages;
  return SQLITE_OK;
}

absl::Status Connection::CopyJournal(Checkpoint how) {
  const int mode = how == Checkpoint::kPassive   ? SQLITE_CHECKPOINT_PASSIVE
                   : how == Checkpoint::kRestart ? SQLITE_CHECKPOINT_RESTART
                                                 : SQLITE_CHECKPOINT_TRUNCATE;
  int pages = 0;
  int copied = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_, "main", mode, &pages, &copied);
  if (code != SQLITE_OK) return Error(code, Phase::kRunning, "");
  // All of it is in the database: the next commit writes at the journal's beginning.
  if (how != Checkpoint::kPassive) journal_pages_ = 0;
  return absl::OkStatus();
}

absl::Status Connection::Touch() {
  TRY_STATUS(Run("BEGIN IMMEDIATE"));
  // Writes the page that holds it, even when it stays what it was.
  absl::StatusOr<std::string> version = Pragma("PRAGMA user_version");
  absl::Status status = version.status();
  if (status.ok()) status = Pragma(absl::StrCat("PRAGMA user_version=", *version)).status();
  if (status.ok()) status = Run("COMMIT");
  if (InTransaction()) Run("ROLLBACK").IgnoreError();
  return status;
}

absl::StatusOr<int64_t> Connection::DatabaseSize() {
  TRY(const int64_t pages, Number("PRAGMA page_count"));
  TRY(const int64_t size, PageSize());
  return pages * size;
}

absl::StatusOr<int64_t> Connection::PageSize() {
  return Number("PRAGMA page_size");
}

absl::StatusOr<SchemaState> Connection::Schema() {
  TRY(const int64_t version, Number("PRAGMA schema_version"));
  return SchemaState{version, schema_changes_};
}

void Connection::SetLongestValue(int bytes) {
  sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, bytes);
}

absl::StatusOr<int64_t> Connection::Number(const char* sql) {
  const Authorizer::Suspension suspension(authorizer_);
  TRY(sqlite3_stmt* const stmt, Own(sql));
  const int code = sqlite3_step(stmt);
  const int64_t number = sqlite3_column_int64(stmt, 0);
  absl::Status status;
  if (code != SQLITE_ROW) status = Error(code, Phase::kRunning, "");
  sqlite3_reset(stmt);
  if (!status.ok()) return status;
  return number;
}

void Connection::Interrupt() {
  sqlite3_interrupt(db_);
}

absl::Status Connection::Error(int code, Phase phase, absl::string_view sql) {
  device_failed_ = device_failed_ || IsDeviceFault(code);
  // Copied first: every further call on the connection may write over it.
  const std::string message = sqlite3_errmsg(db_);
  Failure failure;
  failure.code = code;
  failure.phase = phase;
  failure.message = message;
  failure.sql = sql;
  failure.offset = sqlite3_error_offset(db_);
  failure.read_only = read_only_;
  if ((code & 0xFF) == SQLITE_ERROR && phase == Phase::kCompiling) {
    if (failure.offset < 0) failure.offset = FindOffset(message, sql);
    std::vector<std::string> tables;
    if (!MissingTable(message).empty()) tables = TableNames();
    failure.hint = HintFor(message, sql, failure.offset, tables);
  }
  return ToStatus(failure);
}

std::vector<std::string> Connection::TableNames() {
  const Authorizer::Suspension suspension(authorizer_);
  std::vector<std::string> names;
  const auto stmt = Own("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')");
  if (!stmt.ok()) return names;
  while (names.size() < kNamesForHint && sqlite3_step(*stmt) == SQLITE_ROW) {
    const auto* const name = reinterpret_cast<const char*>(sqlite3_column_text(*stmt, 0));
    if (name != nullptr && !IsReservedName(name)) names.emplace_back(name);
  }
  sqlite3_reset(*stmt);
  return names;
}

}  // namespace sluice::sqlite
