#include "server/services/batch_service.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/database.h"
#include "server/db/wire.h"
#include "server/services/echo.h"
#include "server/services/param_types.h"
#include "server/services/protobuf_time.h"
#include "server/services/recall.h"
#include "server/services/request_id.h"
#include "server/services/session_options.h"
#include "server/services/step_error.h"
#include "server/services/validation.h"

namespace sluice::services {
namespace {

// Drivers encode rows under these numbers without knowing the messages.
static_assert(pb::StepResult::kColumnsFieldNumber == db::kColumnsField);
static_assert(pb::StepResult::kRowsFieldNumber == db::kRowsField);

constexpr char kResultsTag = pb::ExecuteBatchResponse::kResultsFieldNumber << 3 | 2;

// One entry of `results`: its own fields, then its columns and rows as they are.
void AppendResult(const pb::StepResult& head, const std::string& rows, std::string& out) {
  out.push_back(kResultsTag);
  db::AppendVarint(head.ByteSizeLong() + rows.size(), out);
  head.AppendToString(&out);
  out += rows;
}

absl::Status CheckTypes(const pb::ExecuteBatchRequest& request, db::EngineKind engine) {
  for (int i = 0; i < request.steps_size(); ++i) {
    const pb::BatchStep& step = request.steps(i);
    if (step.param_types_size() == 0) continue;
    const std::string place = absl::StrCat("steps[", i, "].");
    for (int j = 0; j < step.parameter_sets_size(); ++j) {
      TRY_STATUS(CheckParamTypes(engine, step.param_types(), step.parameter_sets(j).params(), place,
                                 absl::StrCat(place, "parameter_sets[", j, "].")));
    }
    if (step.parameter_sets_size() > 0) continue;
    TRY_STATUS(CheckParamTypes(engine, step.param_types(), step.params(), place, place));
  }
  return absl::OkStatus();
}

// What a program needs; the words have no room.
void Shorten(pb::StepError& error) {
  const std::string executed = error.metadata().at("executed");
  error.clear_message();
  error.clear_metadata();
  error.clear_sql();
  (*error.mutable_metadata())["executed"] = executed;
}

Reply<pb::ExecuteBatchResponse> ReplyOf(const db::Batch& batch, const db::BatchResults& results) {
  Reply<pb::ExecuteBatchResponse> reply;
  pb::StepResult head;
  const std::string no_rows;
  int64_t affected = 0;
  int32_t failed = 0;
  int64_t room = batch.max_bytes;
  for (const auto& each : results) {
    if (each.ok()) room -= static_cast<int64_t>(each->wire.size());
  }
  for (size_t i = 0; i < results.size(); ++i) {
    head.Clear();
    head.set_step(batch.executions[i].step);
    head.set_parameter_set(batch.executions[i].set);
    if (!results[i].ok()) {
      SetStepError(results[i].status(), *head.mutable_error());
      room -= static_cast<int64_t>(head.error().ByteSizeLong());
      if (room < 0) Shorten(*head.mutable_error());
      AppendResult(head, no_rows, reply.body);
      ++failed;
      continue;
    }
    const db::Rows& rows = *results[i];
    head.set_rows_affected(rows.rows_affected);
    head.set_last_insert_rowid(rows.last_insert_rowid);
    head.set_command_tag(rows.command_tag);
    head.set_truncated(rows.truncated);
    head.set_has_columns(rows.has_columns);
    AppendResult(head, rows.wire, reply.body);
    affected += rows.rows_affected;
  }
  reply.head.set_failed(failed);
  reply.head.set_rows_affected(affected);
  return reply;
}

}  // namespace

absl::StatusOr<db::Batch> BatchService::BatchOf(const pb::ExecuteBatchRequest& request,
                                                const core::Connections::Entry& connection) const {
  TRY_STATUS(CheckRequest(request, options_.value_depth));
  db::Batch batch;
  TRY(batch.mode, BatchModeOf(request.mode()));
  TRY(const int64_t max_rows,
      LimitOf("max_rows", request.max_rows(), options_.default_max_rows, options_.max_max_rows));
  TRY(batch.max_bytes, LimitOf("max_bytes", request.max_bytes(), options_.default_max_bytes,
                               options_.max_max_bytes));
  batch.max_affected_rows = request.max_affected_rows();
  batch.read_only = request.read_only() || connection.read_only;
  batch.validate_only = request.validate_only();
  const auto add = [&](db::Statement statement, int step, int set) {
    statement.max_rows = max_rows;
    statement.max_affected_rows = request.steps(step).max_affected_rows();
    if (request.steps(step).param_types_size() > 0) {
      statement.param_types = &request.steps(step).param_types();
    }
    batch.executions.emplace_back(statement, step, set);
  };
  for (int i = 0; i < request.steps_size(); ++i) {
    const pb::BatchStep& step = request.steps(i);
    for (int j = 0; j < step.parameter_sets_size(); ++j) {
      const pb::ParameterSet& set = step.parameter_sets(j);
      add(db::Statement(step.sql(), set.params(), set.named_params()), i, j);
    }
    if (step.parameter_sets_size() > 0) continue;
    add(db::Statement(step.sql(), step.params(), step.named_params()), i, 0);
  }
  return batch;
}

Task<absl::StatusOr<Reply<pb::ExecuteBatchResponse>>> BatchService::ExecuteBatch(
    const Context& ctx, const pb::ExecuteBatchRequest& request) {
  if (!request.has_transaction()) {
    CO_TRY(const auto connection, co_await venues_.Open(ctx, request.connection_id()));
    absl::StatusOr<BatchReply> reply = co_await Run(ctx, request, *connection, nullptr);
    co_return reply;
  }
  absl::StatusOr<Venue> venue = co_await venues_.Enter(ctx, request);
  if (!venue.ok()) {
    absl::StatusOr<BatchReply> recalled = co_await Recall(ctx, request, venue.status());
    co_return recalled;
  }
  absl::StatusOr<BatchReply> reply = co_await ExecuteBatchAt(ctx, request, *venue);
  CO_CHECK(co_await venues_.Leave(ctx, *venue, reply.status()));
  SetStatus(venue->facts(), clock_.Now(), *reply->head.mutable_transaction());
  co_return reply;
}

Task<absl::StatusOr<Reply<pb::ExecuteBatchResponse>>> BatchService::ExecuteBatchAt(
    const Context& ctx, const pb::ExecuteBatchRequest& request, const Venue& venue) {
  return Run(ctx, request, *venue.connection, &venue);
}

Task<absl::StatusOr<Reply<pb::ExecuteBatchResponse>>> BatchService::Run(
    const Context& ctx,
    const pb::ExecuteBatchRequest& request,
    const core::Connections::Entry& connection,
    const Venue* venue) {
  const absl::Duration begun = clock_.Steady();
  CO_TRY(db::Batch batch, BatchOf(request, connection));
  CO_CHECK(CheckTypes(request, connection.engine));
  if (request.has_session()) [[unlikely]] {
    CO_TRY(batch.session, SessionAt(connection, venue, request.session()));
  }
  CO_TRY(const std::optional<db::RequestKey> key, RequestKeyOf(connection, request));
  if (key.has_value()) batch.request = &*key;
  CO_TRY(RetryPolicy policy, RetryPolicyOf(request.retry()));
  policy.conflicts = venue == nullptr && batch.mode == db::BatchMode::kAtomic;
  Retry retry(policy, clock_);
  db::Session& session = venue == nullptr ? *connection.database : venue->session();
  const absl::StatusOr<db::BatchResults> results = co_await Execute(ctx, session, batch, retry);
  for (int i = 0; i < retry.conflicts(); ++i) venues_.transactions().CountConflict(connection.key);
  const absl::Duration elapsed = clock_.Steady() - begun;
  if (options_.log_sql) {
    const int64_t count = results.ok() ? static_cast<int64_t>(results->size()) : 0;
    const Outcome outcome{results.status(), count, elapsed};
    for (const pb::BatchStep& step : request.steps()) {
      EchoStatement(ctx, connection, step.sql(), request.labels(), outcome);
    }
  }
  if (!results.ok()) co_return results.status();
  BatchReply reply = ReplyOf(batch, *results);
  reply.head.set_attempts(retry.attempts() + 1);
  SetDuration(elapsed, *reply.head.mutable_elapsed());
  co_return reply;
}

Task<absl::StatusOr<Reply<pb::ExecuteBatchResponse>>> BatchService::Recall(
    const Context& ctx, const pb::ExecuteBatchRequest& request, absl::Status why) {
  const absl::Duration begun = clock_.Steady();
  absl::StatusOr<db::BatchResults> results =
      co_await Recalled(ctx, venues_, request, std::move(why));
  if (!results.ok()) co_return results.status();
  core::Connections::Entry nowhere;  // a repeat has passed its checks before
  CO_TRY(const db::Batch batch, BatchOf(request, nowhere));
  if (results->size() > batch.executions.size()) co_return errors::RequestIdReused();
  BatchReply reply = ReplyOf(batch, *results);
  reply.head.set_attempts(1);
  SetDuration(clock_.Steady() - begun, *reply.head.mutable_elapsed());
  SetReplayed(ctx, venues_.transactions(), request.transaction().transaction_id(), clock_.Now(),
              *reply.head.mutable_transaction());
  co_return reply;
}

Task<absl::StatusOr<db::BatchResults>> BatchService::Execute(const Context& ctx,
                                                             db::Session& session,
                                                             const db::Batch& batch,
                                                             Retry& retry) {
  for (;;) {
    absl::StatusOr<db::BatchResults> results = co_await session.ExecuteBatch(ctx, batch);
    if (results.ok()) co_return results;
    absl::Status failure = co_await retry.Next(ctx, results.status());
    if (!failure.ok()) co_return failure;
  }
}

}  // namespace sluice::services
