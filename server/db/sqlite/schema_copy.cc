#include "server/db/sqlite/schema_copy.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include <sqlite3.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/clock.h"
#include "server/db/sqlite/codec.h"
#include "server/db/sqlite/limits.h"
#include "server/db/sqlite/plan_program.h"
#include "server/db/sqlite/policy.h"

namespace sluice::sqlite {
namespace {

constexpr size_t kMaxSchemaBytes = 1 << 20;
constexpr absl::Duration kMostTime = absl::Milliseconds(500);
constexpr int kPeriod = 1000;  // VM steps between two looks at the watch

bool CanBeMade(const SchemaObject& object) {
  return (absl::StartsWithIgnoreCase(object.sql, "CREATE TABLE") ||
          absl::StartsWithIgnoreCase(object.sql, "CREATE INDEX") ||
          absl::StartsWithIgnoreCase(object.sql, "CREATE UNIQUE INDEX") ||
          absl::StartsWithIgnoreCase(object.sql, "CREATE VIEW")) &&
         !absl::StartsWithIgnoreCase(object.name, "sqlite_") && !IsReservedName(object.name);
}

}  // namespace

SchemaCopy::SchemaCopy(const Watch& watch)
    : watch_(watch), until_(std::min(watch.deadline, Clock::System().Steady() + kMostTime)) {
  constexpr int kFlags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(":memory:", &db_, kFlags, nullptr) != SQLITE_OK) {
    sqlite3_close(db_);
    db_ = nullptr;
    return;
  }
  sqlite3_limit(db_, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(db_, SQLITE_LIMIT_EXPR_DEPTH, kMaxExpressionDepth);
  sqlite3_limit(db_, SQLITE_LIMIT_COMPOUND_SELECT, kMaxCompoundSelect);
  sqlite3_limit(db_, SQLITE_LIMIT_VDBE_OP, kMaxProgramSteps);
  // As on the connections of clients, so that a text means the same here.
  sqlite3_db_config(db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  sqlite3_progress_handler(db_, kPeriod, &SchemaCopy::OnProgress, this);
}

SchemaCopy::~SchemaCopy() {
  sqlite3_close(db_);
}

int SchemaCopy::OnProgress(void* self) {
  return static_cast<const SchemaCopy*>(self)->ended() ? 1 : 0;
}

bool SchemaCopy::ended() const {
  return watch_.stop.load(std::memory_order_relaxed) || Clock::System().Steady() >= until_;
}

bool SchemaCopy::Load(const std::vector<SchemaObject>& objects,
                      const std::vector<Statistic>& statistics) {
  size_t bytes = 0;
  for (const SchemaObject& object : objects) bytes += object.sql.size();
  if (db_ == nullptr || bytes > kMaxSchemaBytes) return false;
  Run("BEGIN");
  for (const absl::string_view type : {"table", "index", "view"}) Make(objects, type);
  if (!statistics.empty() && Run("ANALYZE sqlite_schema")) {  // makes sqlite_stat1
    for (const Statistic& each : statistics) {
      sqlite3_stmt* const stmt =
          Compile("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, nullif(?, ''), ?)");
      int index = 0;
      for (const std::string* const text : {&each.table, &each.index, &each.text}) {
        sqlite3_bind_text64(stmt, ++index, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
      }
      sqlite3_step(stmt);
      sqlite3_finalize(stmt);
    }
    Run("ANALYZE sqlite_schema");  // takes them in
  }
  return Run("COMMIT") && !ended();
}

void SchemaCopy::Make(const std::vector<SchemaObject>& objects, absl::string_view type) {
  for (const SchemaObject& object : objects) {
    if (object.type == type && CanBeMade(object) && !ended()) Run(object.sql);
  }
}

sqlite3_stmt* SchemaCopy::Compile(absl::string_view sql) {
  sqlite3_stmt* stmt = nullptr;
  sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), &stmt, nullptr);
  return stmt;
}

bool SchemaCopy::Run(const std::string& sql) {
  sqlite3_stmt* const stmt = Compile(sql);
  if (stmt == nullptr) return false;
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = sqlite3_step(stmt);
  sqlite3_finalize(stmt);
  return code == SQLITE_DONE;
}

std::optional<std::vector<PlanStep>> SchemaCopy::Plan(absl::string_view sql,
                                                      const db::BoundParameters& values) {
  std::vector<PlanStep> steps;
  PlanProgram program;
  TablesByPage pages;
  const bool told = List(absl::StrCat("EXPLAIN QUERY PLAN ", sql), values,
                         [&steps](sqlite3_stmt* row) { steps.push_back(StepOf(row)); }) &&
                    List(absl::StrCat("EXPLAIN ", sql), values,
                         [&program](sqlite3_stmt* row) { program.Add(InstructionOf(row)); }) &&
                    List("SELECT rootpage, tbl_name FROM sqlite_schema WHERE rootpage > 0", {},
                         [&pages](sqlite3_stmt* row) {
                           const auto* const name =
                               reinterpret_cast<const char*>(sqlite3_column_text(row, 1));
                           if (name != nullptr) pages.emplace(sqlite3_column_int64(row, 0), name);
                         });
  if (!told) return std::nullopt;
  program.NameTables(pages, steps);
  return steps;
}

bool SchemaCopy::List(const std::string& sql,
                      const db::BoundParameters& values,
                      const std::function<void(sqlite3_stmt*)>& take) {
  sqlite3_stmt* const stmt = Compile(sql);
  if (stmt == nullptr) return false;
  for (const db::BoundParameter& each : values) {
    BindValue(stmt, *each.parameter, *each.value).IgnoreError();  // it was bound before
  }
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(stmt)) == SQLITE_ROW) take(stmt);
  sqlite3_finalize(stmt);
  return code == SQLITE_DONE;
}

std::vector<std::string> SchemaCopy::Names(absl::string_view sql, absl::string_view name) {
  std::vector<std::string> names;
  sqlite3_stmt* const stmt = Compile(sql);
  if (stmt == nullptr) return names;
  sqlite3_bind_text64(stmt, 1, name.data(), name.size(), SQLITE_STATIC, SQLITE_UTF8);
  while (sqlite3_step(stmt) == SQLITE_ROW) {
    const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0));
    if (text != nullptr) names.emplace_back(text);
  }
  sqlite3_finalize(stmt);
  return names;
}

}  // namespace sluice::sqlite
