#include "tests/support/database.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::test {
namespace {

Task<absl::StatusOr<std::vector<pb::StreamQueryResponse>>> ReadToEnd(
    const Context& ctx, db::Session& session, const db::Statement& statement) {
  std::vector<pb::StreamQueryResponse> chunks;
  CO_TRY(const std::unique_ptr<db::Cursor> cursor, co_await session.Open(ctx, statement));
  bool end = false;
  while (!end) {
    CO_TRY(const db::Rows rows, co_await cursor->Next(ctx));
    chunks.push_back(ParseChunk(rows));
    end = rows.end;
  }
  co_return chunks;
}

Task<absl::StatusOr<std::vector<db::ChunkOutcome>>> LoadEach(const Context& ctx,
                                                             db::Session& session,
                                                             const db::LoadTarget& target,
                                                             const std::vector<LoadRows>& chunks) {
  CO_TRY(const std::unique_ptr<db::Load> load, co_await session.OpenLoad(ctx, target));
  std::vector<db::ChunkOutcome> outcomes;
  const auto collect = [&] {
    for (db::ChunkOutcome& outcome : load->TakeOutcomes()) outcomes.push_back(std::move(outcome));
  };
  std::string content;
  int64_t row = 0;
  for (const LoadRows& rows : chunks) {
    db::LoadChunk chunk;
    chunk.rows = std::make_shared<const LoadRows>(rows);
    chunk.first_row = row;
    row += rows.size();
    for (const pb::Row& each : rows) content += each.SerializeAsString();
    absl::StrAppend(&content, "/", row);
    CO_CHECK(co_await load->Add(ctx, std::move(chunk), content));
    collect();
    if (load->stopped()) break;
  }
  CO_CHECK(co_await load->Finish(ctx, content));
  collect();
  co_return outcomes;
}

}  // namespace

pb::Value Null() {
  pb::Value value;
  value.set_null_value(google::protobuf::NULL_VALUE);
  return value;
}

pb::Value Bool(bool value) {
  pb::Value out;
  out.set_bool_value(value);
  return out;
}

pb::Value Int(int64_t value) {
  pb::Value out;
  out.set_int64_value(value);
  return out;
}

pb::Value Real(double value) {
  pb::Value out;
  out.set_double_value(value);
  return out;
}

pb::Value Text(absl::string_view value) {
  pb::Value out;
  out.set_string_value(std::string(value));
  return out;
}

pb::Value Bytes(absl::string_view value) {
  pb::Value out;
  out.set_bytes_value(std::string(value));
  return out;
}

db::Params MakeParams(std::initializer_list<pb::Value> values) {
  db::Params params;
  for (const pb::Value& value : values) *params.Add() = value;
  return params;
}

absl::StatusOr<std::shared_ptr<db::Database>> OpenSqlite(
    ManualExecutor& executor,
    absl::string_view path,
    const db::SqliteSettings& settings,
    std::map<std::string, std::string> options) {
  for (const db::Driver& driver : db::Drivers()) {
    if (driver.engine != db::EngineKind::kSqlite) continue;
    db::Target target;
    target.path = std::string(path);
    target.options = std::move(options);
    db::DriverSettings driver_settings;
    driver_settings.sqlite = settings;
    const Context ctx;
    return executor.Run(driver.open(ctx, std::move(target), driver_settings));
  }
  return errors::Internal("there is no SQLite driver");
}

absl::StatusOr<std::shared_ptr<db::Database>> OpenPostgres(
    ManualExecutor& executor,
    const TestDatabase& where,
    const db::PostgresSettings& settings,
    std::map<std::string, std::string> options) {
  for (const db::Driver& driver : db::Drivers()) {
    if (driver.engine != db::EngineKind::kPostgresql) continue;
    db::Target target;
    target.engine = driver.engine;
    target.hosts = {{where.host(), where.port()}};
    target.database = where.name();
    target.user = where.user();
    target.password = where.address().password;
    target.options = std::move(options);
    target.trusted = true;
    db::DriverSettings driver_settings;
    driver_settings.postgres = settings;
    const Context ctx;
    return executor.Run(driver.open(ctx, std::move(target), driver_settings));
  }
  return errors::Internal("there is no PostgreSQL driver");
}

absl::StatusOr<pb::QueryResponse> Execute(ManualExecutor& executor,
                                          db::Session& session,
                                          absl::string_view sql,
                                          std::initializer_list<pb::Value> params) {
  const db::Params values = MakeParams(params);
  const db::NamedParams no_names;
  return Execute(executor, session, db::Statement(sql, values, no_names));
}

absl::StatusOr<pb::QueryResponse> Execute(ManualExecutor& executor,
                                          db::Session& session,
                                          const db::Statement& statement,
                                          const Context& ctx) {
  return Parse(executor.Run(session.Execute(ctx, statement)));
}

absl::StatusOr<pb::QueryResponse> Parse(absl::StatusOr<db::Rows> rows) {
  if (!rows.ok()) return rows.status();
  pb::QueryResponse response;
  if (!response.ParseFromString(rows->wire)) return errors::Internal("rows that cannot be parsed");
  EXPECT_EQ(response.rows_size(), rows->count);
  response.set_rows_affected(rows->rows_affected);
  response.set_last_insert_rowid(rows->last_insert_rowid);
  response.set_command_tag(rows->command_tag);
  response.set_truncated(rows->truncated);
  response.set_has_columns(rows->has_columns);
  return response;
}

absl::StatusOr<std::vector<pb::StreamQueryResponse>> ReadAll(ManualExecutor& executor,
                                                             db::Session& session,
                                                             const db::Statement& statement,
                                                             const Context& ctx) {
  return executor.Run(ReadToEnd(ctx, session, statement));
}

pb::StreamQueryResponse ParseChunk(const db::Rows& rows) {
  pb::StreamQueryResponse chunk;
  EXPECT_TRUE(chunk.ParseFromString(rows.wire));
  EXPECT_EQ(chunk.rows_size(), rows.count);
  chunk.set_has_columns(rows.has_columns);
  chunk.set_last(rows.end);
  chunk.set_rows_affected(rows.rows_affected);
  chunk.set_last_insert_rowid(rows.last_insert_rowid);
  chunk.set_command_tag(rows.command_tag);
  return chunk;
}

BatchMaker& BatchMaker::Add(absl::string_view sql, std::initializer_list<pb::Value> params) {
  static const db::NamedParams no_names;
  const int step = batch.executions.empty() ? 0 : batch.executions.back().step + 1;
  const std::string& text = texts_.emplace_back(sql);
  const db::Params& values = params_.emplace_back(MakeParams(params));
  batch.executions.emplace_back(db::Statement(text, values, no_names), step, 0);
  return *this;
}

BatchMaker& BatchMaker::AddSet(std::initializer_list<pb::Value> params) {
  static const db::NamedParams no_names;
  const db::Execution& last = batch.executions.back();
  const db::Params& values = params_.emplace_back(MakeParams(params));
  const db::Statement statement(last.statement.sql(), values, no_names);
  batch.executions.emplace_back(statement, last.step, last.set + 1);
  return *this;
}

absl::StatusOr<db::BatchResults> Execute(ManualExecutor& executor,
                                         db::Session& session,
                                         const db::Batch& batch,
                                         const Context& ctx) {
  return executor.Run(session.ExecuteBatch(ctx, batch));
}

LoadRows MakeRows(std::initializer_list<std::initializer_list<pb::Value>> rows) {
  LoadRows made;
  for (const auto& values : rows) {
    pb::Row& row = *made.Add();
    for (const pb::Value& value : values) *row.add_values() = value;
  }
  return made;
}

absl::StatusOr<std::vector<db::ChunkOutcome>> LoadAll(ManualExecutor& executor,
                                                      db::Session& session,
                                                      const db::LoadTarget& target,
                                                      const std::vector<LoadRows>& chunks,
                                                      const Context& ctx) {
  return executor.Run(LoadEach(ctx, session, target, chunks));
}

db::RequestKey MakeKey(absl::string_view id, absl::string_view content) {
  db::RequestKey key;
  key.scope = std::string(16, 's');
  key.id = std::string(id);
  key.id.resize(16);
  key.content = std::string(content);
  key.content.resize(32);
  return key;
}

Pending::Pending(ManualExecutor& executor,
                 db::Session& session,
                 absl::string_view sql,
                 Context ctx,
                 std::initializer_list<pb::Value> params,
                 Amend amend)
    : executor_(executor),
      sql_(sql),
      ctx_(std::move(ctx)),
      params_(MakeParams(params)),
      amend_(std::move(amend)) {
  executor_.Start(Run(session));
}

Task<void> Pending::Run(db::Session& session) {
  const db::NamedParams no_names;
  db::Statement statement(sql_, params_, no_names);
  if (amend_) amend_(statement);
  absl::StatusOr<db::Rows> rows = co_await session.Execute(ctx_, statement);
  result_.emplace(std::move(rows));
}

absl::StatusOr<db::Rows>& Pending::Wait() {
  RunUntil(executor_, [&] { return done(); });
  if (!done()) result_.emplace(errors::Internal("it was not answered in time"));
  return *result_;
}

bool RunUntil(ManualExecutor& executor, const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + absl::Seconds(10);
  while (!condition()) {
    if (absl::Now() > give_up) {
      ADD_FAILURE() << "what the test waits for does not happen";
      return false;
    }
    // Other threads' work is looked for every so often; nothing here depends on how often.
    if (!executor.RunUntilIdle()) absl::SleepFor(absl::Microseconds(50));
  }
  return true;
}

}  // namespace sluice::test
