// Results in pieces.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/postgres/work.h"

namespace sluice::postgres {
namespace {

constexpr int64_t kMostFetched = 10'000;
constexpr int64_t kFirst = 1'000;  // of rows of which nothing is known
// A result may take so much memory here while it waits to be read, and so may the one after it.
constexpr int64_t kFetchBytes = 1 << 20;

}  // namespace

Task<absl::StatusOr<std::shared_ptr<Reading>>> Work::Open(Caller& caller,
                                                          const db::Statement& statement) {
  CO_CHECK(Ready(caller));
  const Running running(*this, caller);
  const std::shared_ptr<Plan> plan = plans().Find(statement);
  CO_CHECK(MayRun(*plan, statement.read_only));
  const bool keyed = IsKeyed(statement);
  const bool alone = statement.validate_only || statement.max_affected_rows > 0 ||
                     (statement.read_only && !options_.read_only);
  absl::StatusOr<std::shared_ptr<Reading>> reading{std::shared_ptr<Reading>()};
  if (keyed) {
    reading = co_await OpenKeyed(caller, statement, plan);
  } else if (plan->reads && !alone) {
    reading = co_await OpenCursor(caller, statement, plan);
  } else {
    reading = co_await OpenWhole(caller, statement, plan, /*keyed=*/false);
  }
  if (!why_.ok()) {
    LetGo(why_);
    co_return why_;
  }
  co_return reading;
}

Task<absl::StatusOr<std::shared_ptr<Reading>>> Work::OpenKeyed(Caller& caller,
                                                               const db::Statement& statement,
                                                               std::shared_ptr<Plan> plan) {
  CO_TRY(std::optional<db::BatchResults> replay, co_await Reserve(caller, *statement.request));
  if (replay.has_value()) {
    if (replay->empty()) co_return errors::Internal("A stored answer is empty.");
    auto reading = std::make_shared<Reading>();
    reading->plan = plan;
    reading->chunk_bytes = statement.chunk_bytes;
    CO_TRY(reading->replay, std::move(replay->front()));
    co_return reading;
  }
  absl::StatusOr<std::shared_ptr<Reading>> reading =
      co_await OpenWhole(caller, statement, plan, /*keyed=*/true);
  if (!reading.ok()) co_await Unreserve(caller, *statement.request);
  co_return reading;
}

Task<absl::StatusOr<std::shared_ptr<Reading>>> Work::OpenWhole(Caller& caller,
                                                               const db::Statement& statement,
                                                               std::shared_ptr<Plan> plan,
                                                               bool keyed) {
  auto reading = std::make_shared<Reading>();
  reading->plan = plan;
  reading->chunk_bytes = statement.chunk_bytes;
  Runner::Report report;
  report.whole = true;
  CO_TRY(reading->facts, co_await ExecuteOnce(caller, statement, report));
  reading->fetched_all = true;
  if (keyed) {
    constexpr int64_t kAll = std::numeric_limits<int64_t>::max() / 2;
    const Result& result = report.trip->results[static_cast<size_t>(report.first)];
    db::BatchResults results;
    // Stored as one piece: what is too long for that is not kept anyway.
    const bool small = static_cast<int64_t>(result.memory()) <= 4 * db::kMostReplayBytes;
    const int64_t most = small ? kAll : 0;
    results.push_back(runner().Collect(result, *plan, {most, most, !small, !small}));
    if (!small && results[0].ok()) results[0]->wire.assign(db::kMostReplayBytes + 1, '\0');
    CO_CHECK(co_await Store(caller, *statement.request, results));
  }
  if (reading->facts.has_columns) {
    reading->chunker.emplace(backend_.types(), report.trip, report.first, statement.chunk_bytes, 0);
  }
  co_return reading;
}

Task<absl::StatusOr<std::shared_ptr<Reading>>> Work::OpenCursor(Caller& caller,
                                                                const db::Statement& statement,
                                                                std::shared_ptr<Plan> plan) {
  CO_CHECK(co_await Enter(caller));
  lease_.Leaves(backend_.HygieneOf(*plan));
  lease_.Runs(statement.sql());
  if (!plan->described) {
    CO_CHECK(co_await Flush(caller));
    CO_CHECK(co_await Learn(caller, plan));
  }
  ParameterValues values;
  CO_CHECK(runner().Bind(*plan, statement, values));
  auto reading = std::make_shared<Reading>();
  reading->plan = plan;
  reading->chunk_bytes = statement.chunk_bytes;
  reading->name = absl::StrCat("sluice_cursor_", ++cursors_);
  reading->facts.has_columns = true;
  reading->undone = undone_;
  if (plan->row_bytes > 0) {
    reading->fetch = std::clamp<int64_t>(kFetchBytes / plan->row_bytes, 1, reading->fetch);
  }

  Connection& connection = lease_.connection();
  const int first = SendPending();
  connection.Run(absl::StrCat("DECLARE ", reading->name, " NO SCROLL CURSOR FOR ", plan->sql),
                 plan->parameters, values, Format::kText);
  connection.Run(absl::StrCat("FETCH ", reading->fetch, " FROM ", reading->name), ParameterValues(),
                 plan->results);
  const Trial trial = co_await runner().Go(lease_, caller, plan.get(), first + 1, SettingOf());
  if (trial.trip->flooded) plan->LearnWide();
  if (!trial.status.ok()) {
    absl::Status failure = co_await AfterFailure(caller, trial.status);
    co_return failure;
  }
  reading->chunker.emplace(backend_.types(), trial.trip, first + 1, reading->chunk_bytes, 0);
  const Result& result = reading->chunker->result();
  reading->fetched_all = result.rows() < reading->fetch;
  if (result.rows() > 0) plan->row_bytes = static_cast<int64_t>(result.memory()) / result.rows();
  FetchAhead(*reading);
  co_return reading;
}

Task<absl::StatusOr<db::Rows>> Work::ExecuteAsCursor(Caller& caller,
                                                     const db::Statement& statement,
                                                     std::shared_ptr<Plan> plan,
                                                     Runner::Report& report) {
  Runner& run = runner();
  CO_CHECK(co_await Learn(caller, plan));
  ParameterValues values;
  CO_CHECK(run.Bind(*plan, statement, values));
  Connection& connection = lease_.connection();
  const int first = SendPending() + 1;
  const std::string name = absl::StrCat("sluice_cursor_", ++cursors_);
  connection.Run(absl::StrCat("DECLARE ", name, " NO SCROLL CURSOR FOR ", plan->sql),
                 plan->parameters, values, Format::kText);
  // Not more than is answered, as far as anybody can tell.
  const int64_t all = statement.max_rows + 1;
  const int64_t enough = plan->row_bytes > 0 ? 2 * statement.max_bytes / plan->row_bytes : kFirst;
  const int64_t count = std::clamp<int64_t>(enough, 1, all);
  const std::string fetch = absl::StrCat("FETCH ", count, " FROM ", name);
  connection.Run(fetch, ParameterValues(), plan->results);
  Runner::Room room{statement.max_rows, statement.max_bytes, report.shares, report.shares,
                    report.columns};
  Trial trial = co_await run.Go(lease_, caller, plan.get(), first, SettingOf());
  report.sent = true;
  absl::Duration took;
  bool begins = true;
  db::Rows rows;
  while (trial.status.ok()) {
    const Result& result = trial.trip->results[static_cast<size_t>(trial.first)];
    took += trial.trip->over - trial.trip->begun;
    if (std::exchange(begins, false)) run.AppendHead(result, *plan, room, rows);
    trial.status = run.AppendRows(result, *plan, room, rows);
    if (!trial.status.ok() || rows.truncated || result.rows() < count) {
      AddFacts(result, *plan, rows);
      break;
    }
    connection.Run(fetch, ParameterValues(), plan->results);
    trial = co_await run.Go(lease_, caller, plan.get(), 0, SettingOf());
  }
  if (trial.status.ok()) {
    pending_.push_back(absl::StrCat("CLOSE ", name));
    plan->speed.Learn(took);
    co_return rows;
  }
  if (trial.trip->flooded) plan->LearnWide();
  report.failed = true;
  absl::Status told = co_await AfterFailure(caller, trial.status);
  co_return told;
}

Task<absl::Status> Work::Fetch(Caller& caller, Reading& reading) {
  CO_CHECK(Ready(caller));
  const Running running(*this, caller);
  reading.facts.count += reading.chunker->result().rows();
  int first = 0;
  std::shared_ptr<Trip> trip = std::exchange(ahead_, nullptr);
  if (trip == nullptr) {
    CO_CHECK(co_await Settle());
    first = static_cast<int>(pending_.size());
    trip = SendFetch(reading);
  }
  const Trial trial =
      co_await runner().Await(lease_, caller, nullptr, std::move(trip), first, SettingOf());
  if (!trial.status.ok()) {
    absl::Status failure = co_await AfterFailure(caller, trial.status);
    co_return failure;
  }
  if (!why_.ok()) {
    LetGo(why_);
    co_return why_;
  }
  reading.fetched_all = trial.trip->results[static_cast<size_t>(first)].rows() < reading.fetch;
  reading.chunker.emplace(backend_.types(), trial.trip, first, reading.chunk_bytes,
                          reading.facts.count);
  FetchAhead(reading);
  co_return absl::OkStatus();
}

std::shared_ptr<Trip> Work::SendFetch(Reading& reading) {
  // As many as fill some chunks.
  const Result& last = reading.chunker->result();
  const int64_t bytes = std::max<int64_t>(static_cast<int64_t>(last.memory()), 1);
  const int64_t rows = std::max<int64_t>(last.rows(), 1);
  reading.fetch = std::clamp<int64_t>(kFetchBytes * rows / bytes, 1, kMostFetched);
  SendPending();
  Connection& connection = lease_.connection();
  connection.Run(absl::StrCat("FETCH ", reading.fetch, " FROM ", reading.name), ParameterValues(),
                 reading.plan->results);
  return connection.Sync();
}

void Work::FetchAhead(Reading& reading) {
  const bool alone = !on_change_ && pending_.empty() && !lease_.connection().cancelling();
  if (alone && !reading.fetched_all) ahead_ = SendFetch(reading);
}

Task<absl::StatusOr<db::Rows>> Work::Next(Caller& caller, std::shared_ptr<Reading> reading) {
  db::Rows chunk;
  if (reading->replay.has_value() && std::exchange(reading->first, false)) {
    chunk = *reading->replay;
    chunk.rows_affected = 0;
    chunk.command_tag.clear();
    chunk.truncated = false;
    co_return chunk;
  }
  const bool first = std::exchange(reading->first, false);
  if (first && reading->facts.has_columns) {
    chunk.has_columns = true;
    chunk.wire = reading->chunker.has_value()
                     ? runner().Head(reading->chunker->result(), *reading->plan)
                     : reading->plan->encoded_columns;
  }
  if (reading->chunker.has_value()) {
    const size_t empty = chunk.wire.size();
    while (true) {
      CO_CHECK(reading->chunker->Fill(chunk));
      const bool part = chunk.count == 0 && chunk.wire.size() > empty;  // which comes alone
      const bool full = part || static_cast<int64_t>(chunk.wire.size()) >= reading->chunk_bytes;
      if (full || !reading->chunker->done() || reading->fetched_all) break;
      CO_CHECK(co_await Fetch(caller, *reading));
    }
    if (chunk.wire.size() > empty || first) co_return chunk;
  } else if (first) {
    co_return chunk;
  }
  if (!reading->name.empty()) {
    Abandon(*reading);
    reading->facts.count += reading->chunker->result().rows();
    reading->facts.command_tag = absl::StrCat("SELECT ", reading->facts.count);
    reading->name.clear();
  }
  chunk = reading->replay.has_value() ? *std::move(reading->replay) : reading->facts;
  chunk.wire.clear();
  chunk.count = 0;
  chunk.has_columns = false;
  chunk.end = true;
  co_return chunk;
}

void Work::Abandon(const Reading& reading) {
  // One that was made after the savepoint that was gone back to is not there any more.
  const bool there = !reading.name.empty() && reading.undone == undone_;
  if (there && state_ == State::kOpen && why_.ok()) {
    pending_.push_back(absl::StrCat("CLOSE ", reading.name));
  }
}

}  // namespace sluice::postgres
