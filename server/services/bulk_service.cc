#include "server/services/bulk_service.h"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/database.h"
#include "server/services/protobuf_time.h"
#include "server/services/recall.h"
#include "server/services/request_id.h"
#include "server/services/session_options.h"
#include "server/services/step_error.h"
#include "server/services/validation.h"

namespace sluice::services {
namespace {

// Chunks whose outcome an answer lists.
constexpr int64_t kListed = 1000;
constexpr int64_t kFailuresListed = 1000;

db::ConflictAction ActionOf(pb::ConflictAction action) {
  switch (action) {
    case pb::CONFLICT_ACTION_SKIP:
      return db::ConflictAction::kSkip;
    case pb::CONFLICT_ACTION_UPDATE:
      return db::ConflictAction::kUpdate;
    default:
      return db::ConflictAction::kFail;
  }
}

absl::StatusOr<db::LoadTarget> TargetOf(const pb::BulkInsertRequest& header,
                                        const core::Connections::Entry& connection) {
  db::LoadTarget target;
  target.schema = header.schema();
  target.table = header.table();
  target.columns.assign(header.columns().begin(), header.columns().end());
  target.on_conflict = ActionOf(header.on_conflict());
  target.conflict_columns.assign(header.conflict_columns().begin(),
                                 header.conflict_columns().end());
  TRY(target.mode, BatchModeOf(header.mode()));
  target.max_affected_rows = header.max_affected_rows();
  target.validate_only = header.validate_only();
  TRY(target.key, RequestKeyOf(connection, header));
  return target;
}

}  // namespace

struct BulkService::Upload {
  std::unique_ptr<db::Load> load;
  bool atomic = true;
  bool keyed = false;
  bool skips = false;              // rows may be left out
  bool ended = false;              // before its client had sent all
  std::string content;             // hash of all that came, while keyed
  std::deque<int64_t> chunk_rows;  // of chunks whose outcome has not been told yet
  int64_t told = 0;                // chunks whose outcome has
  int64_t failures_listed = 0;
  pb::BulkInsertResponse response;

  // Counts a chunk that came.
  void Count(const pb::BulkInsertRequest& message);
  // Adds what became of the chunks that ended meanwhile.
  void Collect(std::vector<db::ChunkOutcome> outcomes);
  // What is left of a load that ends here, before it was finished.
  errors::Executed Rest() const;
};

errors::Executed BulkService::Upload::Rest() const {
  if (response.chunk_count() == 0) return errors::Executed::kNo;
  return atomic ? errors::Executed::kRolledBack : errors::Executed::kUnknown;
}

void BulkService::Upload::Count(const pb::BulkInsertRequest& message) {
  response.set_rows_received(response.rows_received() + message.rows_size());
  response.set_chunk_count(response.chunk_count() + 1);
  chunk_rows.push_back(message.rows_size());
}

void BulkService::Upload::Collect(std::vector<db::ChunkOutcome> outcomes) {
  for (const db::ChunkOutcome& outcome : outcomes) {
    const int64_t index = told++;
    const int64_t rows = chunk_rows.front();
    chunk_rows.pop_front();
    const bool ok = outcome.status.ok();
    if (ok) {
      response.set_rows_affected(response.rows_affected() + outcome.rows_affected);
      if (skips) response.set_rows_skipped(response.rows_skipped() + rows - outcome.rows_affected);
    } else {
      response.set_chunks_failed(response.chunks_failed() + 1);
    }
    const bool listed = index < kListed || (!ok && failures_listed++ < kFailuresListed);
    if (!listed) continue;
    pb::BulkChunk& chunk = *response.add_chunks();
    chunk.set_chunk(index);
    chunk.set_rows(rows);
    chunk.set_rows_affected(outcome.rows_affected);
    chunk.set_replayed(outcome.replayed);
    if (!ok) SetStepError(outcome.status, *chunk.mutable_error());
  }
}

Task<absl::StatusOr<pb::BulkInsertResponse>> BulkService::BulkInsert(
    const Context& ctx, Source<pb::BulkInsertRequest>& requests) {
  const absl::Duration begun = clock_.Steady();
  std::shared_ptr<pb::BulkInsertRequest> first = co_await requests.Read();
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kNo);
  if (first == nullptr) {
    co_return errors::ParameterInvalid("table", "no message came; the first one names the table");
  }
  CO_CHECK(CheckHeader(*first));
  Upload upload;
  if (!first->has_transaction()) {
    CO_TRY(const auto connection, co_await venues_.Open(ctx, first->connection_id()));
    CO_CHECK(co_await Run(ctx, requests, std::move(first), *connection, nullptr, upload));
  } else {
    absl::StatusOr<Venue> venue = co_await venues_.Enter(ctx, *first);
    if (!venue.ok()) {
      CO_CHECK(co_await Recall(ctx, requests, std::move(first), venue.status(), upload));
    } else {
      absl::Status status =
          co_await Run(ctx, requests, std::move(first), *venue->connection, &*venue, upload);
      upload.load.reset();
      CO_CHECK(co_await venues_.Leave(ctx, *venue, std::move(status)));
      SetStatus(venue->facts(), clock_.Now(), *upload.response.mutable_transaction());
    }
  }
  SetDuration(clock_.Steady() - begun, *upload.response.mutable_elapsed());
  co_return std::move(upload.response);
}

Task<absl::Status> BulkService::Run(const Context& ctx,
                                    Source<pb::BulkInsertRequest>& requests,
                                    std::shared_ptr<pb::BulkInsertRequest> first,
                                    const core::Connections::Entry& connection,
                                    const Venue* venue,
                                    Upload& upload) {
  if (connection.read_only) co_return errors::ReadOnlyViolation("the connection is read-only");
  CO_TRY(db::LoadTarget target, TargetOf(*first, connection));
  if (first->has_session()) {
    CO_TRY(target.session, SessionAt(connection, venue, first->session()));
  }
  db::Session& session = venue == nullptr ? *connection.database : venue->session();
  upload.atomic = target.mode == db::BatchMode::kAtomic;
  upload.keyed = target.key.has_value();
  upload.skips = target.on_conflict == db::ConflictAction::kSkip;
  CO_TRY(upload.load, co_await session.OpenLoad(ctx, std::move(target)));
  upload.load->OnEnd([&] {
    upload.ended = true;
    requests.BreakOff();
  });
  CO_CHECK(co_await Feed(ctx, requests, std::move(first), upload));
  CO_CHECK(co_await upload.load->Finish(ctx, upload.content));
  upload.Collect(upload.load->TakeOutcomes());
  co_return absl::OkStatus();
}

Task<absl::Status> BulkService::Recall(const Context& ctx,
                                       Source<pb::BulkInsertRequest>& requests,
                                       std::shared_ptr<pb::BulkInsertRequest> first,
                                       absl::Status why,
                                       Upload& upload) {
  const pb::BulkInsertRequest& header = *first;
  std::shared_ptr<pb::BulkInsertRequest> message = first;
  if (header.request_id().empty() || !IsOver(why)) co_return why;
  upload.skips = header.on_conflict() == pb::CONFLICT_ACTION_SKIP;
  while (message != nullptr) {
    upload.content = ContentOf(upload.content, *message);
    if (message->rows_size() > 0) upload.Count(*message);
    std::shared_ptr<pb::BulkInsertRequest> next = co_await requests.Read();
    message = std::move(next);
  }
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kUnknown);
  auto connection = co_await venues_.ConnectionOf(ctx, header.connection_id(),
                                                  header.transaction().transaction_id());
  if (!connection.ok()) co_return why;
  CO_TRY(std::optional<db::RequestKey> key, RequestKeyOf(**connection, header));
  key->content = upload.content;
  CO_TRY(const db::BatchResults results, co_await Recalled(ctx, **connection, *key, why));
  if (results.size() != upload.chunk_rows.size()) co_return errors::RequestIdReused();
  std::vector<db::ChunkOutcome> outcomes;
  for (const absl::StatusOr<db::Rows>& each : results) {
    db::ChunkOutcome& outcome = outcomes.emplace_back();
    outcome.status = each.status();
    outcome.rows_affected = each.ok() ? each->rows_affected : 0;
    outcome.replayed = true;
  }
  upload.Collect(std::move(outcomes));
  SetReplayed(ctx, venues_.transactions(), header.transaction().transaction_id(), clock_.Now(),
              *upload.response.mutable_transaction());
  co_return absl::OkStatus();
}

Task<absl::Status> BulkService::Feed(const Context& ctx,
                                     Source<pb::BulkInsertRequest>& requests,
                                     std::shared_ptr<pb::BulkInsertRequest> message,
                                     Upload& upload) {
  for (;;) {
    absl::Status sound = CheckRows(*message, upload.response.rows_received(), options_.value_depth);
    if (!sound.ok()) co_return errors::WithExecuted(std::move(sound), upload.Rest());
    CO_CHECK(co_await Hand(ctx, message, upload));
    if (upload.load->stopped()) co_return absl::OkStatus();
    std::shared_ptr<pb::BulkInsertRequest> next = co_await requests.Read();
    if (next == nullptr) break;
    message = std::move(next);
    absl::Status in_place = CheckNoHeader(*message);
    if (!in_place.ok()) co_return errors::WithExecuted(std::move(in_place), upload.Rest());
  }
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(upload.Rest());
  if (upload.ended) {
    absl::Status why = co_await upload.load->Finish(ctx, upload.content);
    co_return why;
  }
  // A client that went away has not said that this was all.
  if (!requests.complete()) co_return errors::WithExecuted(errors::PeerGone(), upload.Rest());
  co_return absl::OkStatus();
}

Task<absl::Status> BulkService::Hand(const Context& ctx,
                                     const std::shared_ptr<pb::BulkInsertRequest>& message,
                                     Upload& upload) {
  std::string content;
  if (upload.keyed) {
    upload.content = ContentOf(upload.content, *message);
    content = upload.content;
  }
  if (message->rows_size() == 0) co_return absl::OkStatus();
  db::LoadChunk chunk;
  chunk.first_row = upload.response.rows_received();
  upload.Count(*message);
  chunk.rows = {message, &message->rows()};
  absl::Status status = co_await upload.load->Add(ctx, std::move(chunk), std::move(content));
  if (status.ok()) upload.Collect(upload.load->TakeOutcomes());
  co_return status;
}

}  // namespace sluice::services
