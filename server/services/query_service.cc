#include "server/services/query_service.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/database.h"
#include "server/services/echo.h"
#include "server/services/param_types.h"
#include "server/services/protobuf_time.h"
#include "server/services/recall.h"
#include "server/services/request_id.h"
#include "server/services/session_options.h"
#include "server/services/validation.h"

namespace sluice::services {
namespace {

// Drivers encode rows under these numbers without knowing the messages.
static_assert(pb::QueryResponse::kColumnsFieldNumber == db::kColumnsField);
static_assert(pb::QueryResponse::kRowsFieldNumber == db::kRowsField);
static_assert(pb::StreamQueryResponse::kColumnsFieldNumber == db::kColumnsField);
static_assert(pb::StreamQueryResponse::kRowsFieldNumber == db::kRowsField);
static_assert(pb::StreamQueryResponse::kPartFieldNumber == db::kPartField);

// The closing facts, which both responses have.
template <class Response>
void SetFacts(db::Rows& rows, absl::Duration elapsed, Response& head) {
  head.set_rows_affected(rows.rows_affected);
  head.set_last_insert_rowid(rows.last_insert_rowid);
  head.set_command_tag(std::move(rows.command_tag));
  SetDuration(elapsed, *head.mutable_elapsed());
}

// A piece of a result as it is sent, after `sent` rows.
Reply<pb::StreamQueryResponse> MessageOf(db::Rows& piece,
                                         bool first,
                                         int64_t sent,
                                         absl::Duration elapsed) {
  Reply<pb::StreamQueryResponse> reply;
  if (first) reply.head.set_has_columns(piece.has_columns);
  if (piece.count > 0) reply.head.set_row_offset(sent);
  if (piece.end) {
    reply.head.set_last(true);
    reply.head.set_row_count(sent + piece.count);
    SetFacts(piece, elapsed, reply.head);
  }
  reply.body = std::move(piece.wire);
  return reply;
}

}  // namespace

struct QueryService::Stream {
  Stream(db::Session& its_session, Venue* its_venue) : session(its_session), venue(its_venue) {}

  db::Session& session;
  Venue* const venue;    // null: in no transaction
  bool left = false;     // the venue
  absl::Duration begun;  // on the steady clock
  std::unique_ptr<db::Cursor> cursor;
  db::Rows piece;        // the next to send
  bool started = false;  // the first message is out
  int64_t rows_sent = 0;
};

absl::StatusOr<db::Statement> QueryService::StatementOf(
    const pb::QueryRequest& request, const core::Connections::Entry& connection) const {
  TRY_STATUS(CheckRequest(request, options_.value_depth));
  db::Statement statement(request.sql(), request.params(), request.named_params());
  if (request.param_types_size() > 0) [[unlikely]] {
    TRY_STATUS(CheckParamTypes(connection.engine, request.param_types(), request.params()));
    statement.param_types = &request.param_types();
  }
  TRY(statement.max_rows,
      LimitOf("max_rows", request.max_rows(), options_.default_max_rows, options_.max_max_rows));
  TRY(statement.max_bytes, LimitOf("max_bytes", request.max_bytes(), options_.default_max_bytes,
                                   options_.max_max_bytes));
  statement.read_only = request.read_only() || connection.read_only;
  statement.max_affected_rows = request.max_affected_rows();
  statement.validate_only = request.validate_only();
  return statement;
}

absl::StatusOr<db::Statement> QueryService::StatementOf(
    const pb::StreamQueryRequest& request, const core::Connections::Entry& connection) const {
  TRY_STATUS(CheckRequest(request, options_.value_depth));
  db::Statement statement(request.sql(), request.params(), request.named_params());
  if (request.param_types_size() > 0) [[unlikely]] {
    TRY_STATUS(CheckParamTypes(connection.engine, request.param_types(), request.params()));
    statement.param_types = &request.param_types();
  }
  TRY(statement.chunk_bytes, ChunkBytesOf(request.chunk_bytes(), options_.chunk_bytes));
  statement.read_only = request.read_only() || connection.read_only;
  statement.max_affected_rows = request.max_affected_rows();
  statement.validate_only = request.validate_only();
  return statement;
}

Task<absl::StatusOr<QueryService::QueryReply>> QueryService::Query(
    const Context& ctx, const pb::QueryRequest& request) {
  if (request.has_transaction() || ctx.draining) [[unlikely]] {
    absl::StatusOr<QueryReply> reply = co_await QueryInTransaction(ctx, request);
    co_return reply;
  }
  CO_TRY(auto connection, connections_.Find(ctx, request.connection_id()));
  if (connection->database == nullptr) {
    CO_TRY(connection, co_await connections_.Open(ctx, std::move(connection)));
  }
  absl::StatusOr<QueryReply> reply = co_await Run(ctx, request, *connection, nullptr);
  co_return reply;
}

Task<absl::StatusOr<QueryService::QueryReply>> QueryService::QueryAt(
    const Context& ctx, const pb::QueryRequest& request, const Venue& venue) {
  return Run(ctx, request, *venue.connection, &venue);
}

Task<absl::StatusOr<QueryService::QueryReply>> QueryService::Run(
    const Context& ctx,
    const pb::QueryRequest& request,
    const core::Connections::Entry& connection,
    const Venue* venue) {
  const absl::Duration begun = clock_.Steady();
  CO_TRY(db::Statement statement, StatementOf(request, connection));
  if (request.has_session()) [[unlikely]] {
    CO_TRY(statement.session, SessionAt(connection, venue, request.session()));
  }
  CO_TRY(const std::optional<db::RequestKey> key, RequestKeyOf(connection, request));
  if (key.has_value()) statement.request = &*key;
  CO_TRY(const RetryPolicy policy, RetryPolicyOf(request.retry()));
  db::Session& session = venue == nullptr ? *connection.database : venue->session();
  absl::StatusOr<db::Rows> rows = co_await Execute(ctx, session, statement, policy);
  const absl::Duration elapsed = clock_.Steady() - begun;
  if (options_.log_sql) {
    const Outcome outcome{rows.status(), rows.ok() ? rows->count : 0, elapsed};
    EchoStatement(ctx, connection, request.sql(), request.labels(), outcome);
  }
  if (!rows.ok()) co_return std::move(rows).status();
  co_return ReplyOf(*std::move(rows), elapsed);
}

QueryService::QueryReply QueryService::ReplyOf(db::Rows rows, absl::Duration elapsed) {
  QueryReply reply;
  SetFacts(rows, elapsed, reply.head);
  reply.head.set_has_columns(rows.has_columns);
  reply.head.set_truncated(rows.truncated);
  reply.body = std::move(rows.wire);
  return reply;
}

Task<absl::StatusOr<QueryService::QueryReply>> QueryService::QueryInTransaction(
    const Context& ctx, const pb::QueryRequest& request) {
  if (!request.has_transaction()) co_return errors::ServerDraining(errors::Executed::kNo);
  absl::StatusOr<Venue> venue = co_await venues_.Enter(ctx, request);
  if (!venue.ok()) {
    absl::StatusOr<QueryReply> recalled = co_await Recall(ctx, request, venue.status());
    co_return recalled;
  }
  absl::StatusOr<QueryReply> reply = co_await QueryAt(ctx, request, *venue);
  CO_CHECK(co_await venues_.Leave(ctx, *venue, reply.status()));
  SetStatus(venue->facts(), clock_.Now(), *reply->head.mutable_transaction());
  co_return reply;
}

Task<absl::StatusOr<QueryService::QueryReply>> QueryService::Recall(const Context& ctx,
                                                                    const pb::QueryRequest& request,
                                                                    absl::Status why) {
  const absl::Duration begun = clock_.Steady();
  absl::StatusOr<db::BatchResults> results =
      co_await Recalled(ctx, venues_, request, std::move(why));
  if (!results.ok()) co_return results.status();
  if (results->size() != 1) co_return errors::RequestIdReused();
  CO_TRY(db::Rows rows, std::move(results->front()));
  QueryReply reply = ReplyOf(std::move(rows), clock_.Steady() - begun);
  SetReplayed(ctx, venues_.transactions(), request.transaction().transaction_id(), clock_.Now(),
              *reply.head.mutable_transaction());
  co_return reply;
}

Task<absl::StatusOr<db::Rows>> QueryService::Execute(const Context& ctx,
                                                     db::Session& session,
                                                     db::Statement statement,
                                                     RetryPolicy policy) {
  Retry retry(policy, clock_);
  for (;;) {
    absl::StatusOr<db::Rows> rows = co_await session.Execute(ctx, statement);
    if (rows.ok()) co_return rows;
    absl::Status failure = co_await retry.Next(ctx, rows.status());
    if (!failure.ok()) co_return failure;
  }
}

Task<absl::Status> QueryService::StreamQuery(const Context& ctx,
                                             const pb::StreamQueryRequest& request,
                                             Sink<StreamReply>& sink) {
  if (request.has_transaction() || ctx.draining) [[unlikely]] {
    absl::Status status = co_await StreamInTransaction(ctx, request, sink);
    co_return status;
  }
  CO_TRY(auto connection, connections_.Find(ctx, request.connection_id()));
  if (connection->database == nullptr) {
    CO_TRY(connection, co_await connections_.Open(ctx, std::move(connection)));
  }
  Stream stream(*connection->database, nullptr);
  absl::Status status = co_await StreamIn(ctx, request, *connection, stream, sink);
  co_return status;
}

Task<absl::Status> QueryService::StreamInTransaction(const Context& ctx,
                                                     const pb::StreamQueryRequest& request,
                                                     Sink<StreamReply>& sink) {
  if (!request.has_transaction()) co_return errors::ServerDraining(errors::Executed::kNo);
  absl::StatusOr<Venue> venue = co_await venues_.Enter(ctx, request);
  if (!venue.ok()) {
    absl::Status recalled = co_await StreamRecalled(ctx, request, venue.status(), sink);
    co_return recalled;
  }
  Stream stream(venue->session(), &*venue);
  absl::Status status = co_await StreamIn(ctx, request, *venue->connection, stream, sink);
  stream.cursor.reset();
  // One that went well has left before its last message.
  if (!status.ok() && !stream.left) status = co_await venues_.Leave(ctx, *venue, std::move(status));
  if (!status.ok() && stream.left && venue->begun && !venue->commit) {
    const absl::Status gone = co_await venue->turn->Rollback();  // nobody knows its id
    gone.IgnoreError();
  }
  co_return status;
}

Task<absl::Status> QueryService::StreamIn(const Context& ctx,
                                          const pb::StreamQueryRequest& request,
                                          const core::Connections::Entry& connection,
                                          Stream& stream,
                                          Sink<StreamReply>& sink) {
  stream.begun = clock_.Steady();
  CO_TRY(db::Statement statement, StatementOf(request, connection));
  if (request.has_session()) [[unlikely]] {
    CO_TRY(statement.session, SessionAt(connection, stream.venue, request.session()));
  }
  CO_TRY(const std::optional<db::RequestKey> key, RequestKeyOf(connection, request));
  if (key.has_value()) statement.request = &*key;
  CO_TRY(const RetryPolicy policy, RetryPolicyOf(request.retry()));
  absl::Status status = co_await Open(ctx, stream.session, statement, policy, stream);
  if (status.ok()) status = co_await Pump(ctx, stream, sink);
  if (!status.ok() && stream.rows_sent > 0) {
    status = errors::WithMetadata(std::move(status), "rows_sent", absl::StrCat(stream.rows_sent));
  }
  if (options_.log_sql) {
    const Outcome outcome{status, stream.rows_sent, clock_.Steady() - stream.begun};
    EchoStatement(ctx, connection, request.sql(), request.labels(), outcome);
  }
  co_return status;
}

Task<absl::Status> QueryService::StreamRecalled(const Context& ctx,
                                                const pb::StreamQueryRequest& request,
                                                absl::Status why,
                                                Sink<StreamReply>& sink) {
  const absl::Duration begun = clock_.Steady();
  absl::StatusOr<db::BatchResults> results =
      co_await Recalled(ctx, venues_, request, std::move(why));
  if (!results.ok()) co_return results.status();
  int64_t sent = 0;
  for (size_t i = 0; i < results->size(); ++i) {
    CO_TRY(db::Rows piece, std::move((*results)[i]));
    StreamReply reply = MessageOf(piece, /*first=*/i == 0, sent, clock_.Steady() - begun);
    sent += piece.count;
    if (reply.head.last()) {
      SetReplayed(ctx, venues_.transactions(), request.transaction().transaction_id(), clock_.Now(),
                  *reply.head.mutable_transaction());
    }
    const bool alive = co_await sink.Write(std::move(reply));
    if (!alive) co_return errors::PeerGone();
  }
  co_return absl::OkStatus();
}

// Until the first piece is there, nothing was sent, and what was not applied may be tried again.
Task<absl::Status> QueryService::Open(const Context& ctx,
                                      db::Session& session,
                                      db::Statement statement,
                                      RetryPolicy policy,
                                      Stream& stream) {
  Retry retry(policy, clock_);
  // Afterwards the peer and the snapshot have limits of their own; a write has run to its end.
  Context opening = ctx;
  opening.deadline = std::min(ctx.deadline, clock_.Unset() + options_.command_timeout);
  for (;;) {
    absl::Status status = co_await TryOpen(opening, session, statement, stream);
    if (status.ok()) co_return status;
    status = co_await retry.Next(ctx, std::move(status));
    if (!status.ok()) co_return status;
  }
}

// A cursor that fails is gone before the pause, and with it what it held.
Task<absl::Status> QueryService::TryOpen(const Context& ctx,
                                         db::Session& session,
                                         db::Statement statement,
                                         Stream& stream) {
  CO_TRY(auto cursor, co_await session.Open(ctx, statement));
  CO_TRY(stream.piece, co_await cursor->Next(ctx));
  stream.cursor = std::move(cursor);
  co_return absl::OkStatus();
}

// A slow peer slows its statement: the next piece is asked for once this one is on its way.
Task<absl::Status> QueryService::Pump(const Context& ctx, Stream& stream, Sink<StreamReply>& sink) {
  for (;;) {
    db::Rows& piece = stream.piece;
    const bool last = piece.end;
    const int64_t count = piece.count;
    const bool first = !std::exchange(stream.started, true);
    StreamReply reply = MessageOf(piece, first, stream.rows_sent, clock_.Steady() - stream.begun);
    if (last && stream.venue != nullptr) {
      stream.cursor.reset();
      stream.left = true;
      CO_CHECK(co_await venues_.Leave(ctx, *stream.venue, absl::OkStatus()));
      SetStatus(stream.venue->facts(), clock_.Now(), *reply.head.mutable_transaction());
    }
    const bool alive = co_await sink.Write(std::move(reply));
    if (!alive) co_return errors::PeerGone();
    stream.rows_sent += count;
    if (last) co_return absl::OkStatus();

    absl::StatusOr<db::Rows> next = co_await stream.cursor->Next(ctx);
    if (!next.ok()) co_return std::move(next).status();
    stream.piece = *std::move(next);
  }
}

}  // namespace sluice::services
