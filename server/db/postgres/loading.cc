#include "server/db/postgres/loading.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/base/errors.h"
#include "server/base/nearest.h"
#include "server/base/status.h"
#include "server/db/postgres/encode.h"
#include "server/db/postgres/names.h"
#include "server/db/postgres/request_log.h"

namespace sluice::postgres {
namespace {

using errors::Executed;

// Name, whether it can be written, whether it is part of the primary key.
constexpr absl::string_view kColumnsQuery =
    "SELECT a.attname, a.attgenerated = '' AND a.attidentity <> 'a', "
    "coalesce(a.attnum = ANY (i.indkey::int2[]), false) FROM pg_catalog.pg_attribute a LEFT JOIN "
    "pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary WHERE a.attrelid = "
    "pg_catalog.to_regclass($1::text)::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY "
    "a.attnum";

std::string Listed(const std::vector<std::string>& names) {
  return absl::StrJoin(names, ", ", [](std::string* out, const std::string& name) {
    absl::StrAppend(out, QuotedName(name));
  });
}

bool Holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The encoder speaks of a parameter; the caller knows rows.
absl::Status OfRow(const absl::Status& failure, absl::string_view column) {
  const absl::string_view message = failure.message();
  const size_t colon = message.find(": ");
  const absl::string_view why =
      colon == absl::string_view::npos ? message : message.substr(colon + 2);
  return errors::ParameterInvalid("rows", absl::StrCat("the value for ", column, ": ", why));
}

// Of the transactions that are its own.
db::TransactionOptions OptionsOf(const db::LoadTarget& target) {
  db::TransactionOptions options;
  options.session = target.session;
  return options;
}

}  // namespace

bool WasEnded(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
}

Loading::Loading(Backend& backend, std::shared_ptr<Work> work, db::LoadTarget target)
    : backend_(backend),
      work_(std::move(work)),
      target_(std::move(target)),
      nested_(work_ != nullptr) {}

void Loading::Report(db::ChunkOutcome outcome) {
  if (keyed() && (nested_ || atomic())) {
    db::Rows facts;
    facts.rows_affected = outcome.rows_affected;
    if (outcome.status.ok()) {
      results_.emplace_back(std::move(facts));
    } else {
      results_.emplace_back(outcome.status);
    }
  }
  outcomes_.push_back(std::move(outcome));
}

Task<absl::Status> Loading::Add(Caller& caller, db::LoadChunk chunk, std::string content) {
  if (!failure_.ok()) co_return failure_;
  std::optional<Work::Running> running;
  if (work_ != nullptr) running.emplace(*work_, caller);
  failure_ = co_await Proceed(caller, chunk, content);
  co_return failure_;
}

Task<absl::Status> Loading::Proceed(Caller& caller,
                                    db::LoadChunk& chunk,
                                    const std::string& content) {
  if (nested_ && work_->read_only()) {
    co_return errors::ReadOnlyViolation("the transaction is read-only");
  }
  if (!nested_ && !atomic()) {
    if (!stopped_) {
      CO_CHECK(co_await InsertApart(caller, chunk, content));
    }
    co_return absl::OkStatus();
  }
  if (!begun_) {
    if (work_ == nullptr) {
      work_ = std::make_shared<Work>(backend_, OptionsOf(target_));
    }
    const Work::Running running(*work_, caller);
    if (nested_) {
      CO_CHECK(co_await work_->Guard(caller));
    }
    if (keyed()) {
      // Its content is known at the end only.
      db::RequestKey key = *target_.key;
      key.content.clear();
      CO_TRY(replay_, co_await work_->Reserve(caller, key));
    }
    begun_ = true;
  }
  if (replay_.has_value() || stopped_) co_return absl::OkStatus();
  absl::Status inserted;
  if (atomic() && !nested_) {
    inserted = co_await InsertAhead(caller, chunk);
  } else if (atomic()) {
    db::ChunkOutcome outcome;
    inserted = co_await Insert(caller, *work_, chunk, outcome);
    inserted = co_await EndAtomic(caller, std::move(inserted), std::move(outcome));
  } else {
    inserted = co_await InsertNested(caller, chunk);
  }
  co_return inserted;
}

Task<absl::Status> Loading::Prepare(Caller& caller, Work& work) {
  if (!sql_.empty()) co_return absl::OkStatus();
  name_ = QuotedName(target_.table);
  if (!target_.schema.empty()) name_ = absl::StrCat(QuotedName(target_.schema), ".", name_);
  ParameterValues values;
  values.Add(name_, Format::kText);
  CO_TRY(const Answer answer,
         co_await work.Ask(caller, std::string(kColumnsQuery), std::move(values)));
  const Result& all = answer.result();
  if (all.rows() == 0) co_return errors::TableNotFound(target_.table, "");
  std::vector<std::string> names;
  std::vector<std::string> writable;
  std::vector<std::string> keys;
  for (int row = 0; row < all.rows(); ++row) {
    names.emplace_back(all.text(row, 0));
    if (all.text(row, 1) == "t") writable.push_back(names.back());
    if (all.text(row, 2) == "t") keys.push_back(names.back());
  }
  columns_ = target_.columns.empty() ? writable : target_.columns;
  for (const std::string& column : columns_) {
    if (Holds(names, column)) continue;
    const std::string nearest(Nearest(column, {names.begin(), names.end()}));
    co_return errors::ParameterInvalid(
        "columns", absl::StrCat("the table has no column ", column,
                                nearest.empty() ? "" : absl::StrCat("; it has ", nearest)));
  }
  std::vector<std::string> places;
  for (size_t i = 0; i < columns_.size(); ++i) places.push_back(absl::StrCat("$", i + 1));
  std::string sql = absl::StrCat("INSERT INTO ", name_, " (", Listed(columns_), ") VALUES (",
                                 absl::StrJoin(places, ", "), ")");
  if (target_.on_conflict == db::ConflictAction::kSkip) sql += " ON CONFLICT DO NOTHING";
  if (target_.on_conflict == db::ConflictAction::kUpdate) {
    const std::vector<std::string>& by =
        target_.conflict_columns.empty() ? keys : target_.conflict_columns;
    if (by.empty()) {
      co_return errors::ParameterInvalid("conflict_columns",
                                         "the table has no primary key: name the columns");
    }
    std::vector<std::string> sets;
    for (const std::string& column : columns_) {
      if (Holds(by, column)) continue;
      sets.push_back(absl::StrCat(QuotedName(column), " = EXCLUDED.", QuotedName(column)));
    }
    absl::StrAppend(
        &sql, " ON CONFLICT (", Listed(by), ") DO ",
        sets.empty() ? "NOTHING" : absl::StrCat("UPDATE SET ", absl::StrJoin(sets, ", ")));
  }
  copies_ = target_.on_conflict == db::ConflictAction::kFail;
  list_ = Listed(columns_);
  sql_ = std::move(sql);
  co_return absl::OkStatus();
}

Task<absl::Status> Loading::Insert(Caller& caller,
                                   Work& work,
                                   const db::LoadChunk& chunk,
                                   db::ChunkOutcome& outcome) {
  std::string data;
  CO_TRY(const bool copies, co_await MayCopy(caller, work, chunk, data));
  if (copies) {
    CO_TRY(std::shared_ptr<Trip> copy, co_await SendCopy(caller, work, std::move(data)));
    std::optional<absl::Status> copied =
        co_await EndCopy(caller, work, std::move(copy), chunk, outcome.rows_affected);
    if (copied.has_value()) co_return *std::move(copied);
  }
  absl::Status inserted = co_await InsertRows(caller, work, chunk, outcome);
  co_return inserted;
}

Task<absl::Status> Loading::InsertRows(Caller& caller,
                                       Work& work,
                                       const db::LoadChunk& chunk,
                                       db::ChunkOutcome& outcome) {
  const std::shared_ptr<Plan> plan = work.plans().Find(sql_);
  CO_CHECK(co_await work.Learn(caller, plan));
  std::vector<ParameterValues> rows;
  std::string bytes;
  for (int i = 0; i < chunk.rows->size(); ++i) {
    const db::pb::Row& row = (*chunk.rows)[i];
    absl::Status wrong;
    if (row.values_size() != static_cast<int>(columns_.size())) {
      wrong = errors::ParameterInvalid(
          "rows", absl::StrCat("a row has ", row.values_size(), " values, and there are ",
                               columns_.size(), " columns"));
    }
    ParameterValues& values = rows.emplace_back();
    for (int j = 0; wrong.ok() && j < row.values_size(); ++j) {
      if (row.values(j).has_null_value()) {
        values.AddNull();
        continue;
      }
      bytes.clear();
      Format format = Format::kText;
      wrong = EncodeValue(backend_.types(), plan->parameters[static_cast<size_t>(j)], row.values(j),
                          "rows", 0, bytes, format);
      if (wrong.ok()) {
        values.Add(bytes, format);
      } else {
        wrong = OfRow(wrong, columns_[static_cast<size_t>(j)]);
      }
    }
    if (!wrong.ok()) {
      co_return errors::WithMetadata(std::move(wrong), "row", absl::StrCat(chunk.first_row + i));
    }
  }
  int failed = 0;
  int64_t affected = 0;
  absl::Status status = co_await work.RunAll(caller, plan, rows, affected, failed);
  outcome.rows_affected = affected;
  if (status.ok() || WasEnded(status)) co_return status;
  status = errors::WithExecuted(std::move(status), Executed::kRolledBack);
  co_return errors::WithMetadata(std::move(status), "row", absl::StrCat(chunk.first_row + failed));
}

Task<absl::Status> Loading::EndAtomic(Caller& caller,
                                      absl::Status inserted,
                                      db::ChunkOutcome outcome) {
  if (!inserted.ok()) {
    // What was refused on our side fails the load as what the server refuses does.
    if (work_->state() == Work::State::kOpen) co_await work_->Fail(caller);
    co_return WasEnded(inserted) ? inserted
                                 : errors::WithExecuted(std::move(inserted), Executed::kRolledBack);
  }
  affected_ += outcome.rows_affected;
  const int64_t most = target_.max_affected_rows;
  if (most > 0 && affected_ > most) {
    if (nested_) {
      CO_CHECK(co_await work_->Unguard(caller, /*keep=*/false));
    } else {
      co_await work_->Rollback(caller);
    }
    finished_ = true;
    co_return errors::AffectedRowsExceeded(affected_, most);
  }
  Report(std::move(outcome));
  co_return absl::OkStatus();
}

// A chunk in a transaction of its own.
Task<absl::Status> Loading::InsertApart(Caller& caller,
                                        const db::LoadChunk& chunk,
                                        const std::string& content) {
  const auto work = std::make_shared<Work>(backend_, OptionsOf(target_));
  const Work::Running running(*work, caller);
  db::ChunkOutcome outcome;
  const int64_t part = ++chunks_;
  std::optional<db::RequestKey> key;
  if (keyed()) {
    // The id is taken also for those who use it for something whole.
    db::RequestKey whole = *target_.key;
    whole.part = 0;
    whole.content = std::string(kInParts);
    CO_TRY(const std::optional<db::BatchResults> claimed, co_await work->Reserve(caller, whole));
    key = target_.key;
    key->part = part;
    key->content = content;
    CO_TRY(const std::optional<db::BatchResults> replay, co_await work->Reserve(caller, *key));
    if (replay.has_value()) {
      outcome.replayed = true;
      if (replay->size() == 1 && (*replay)[0].ok()) {
        outcome.rows_affected = (*replay)[0]->rows_affected;
      }
      co_await work->Rollback(caller);
      Report(std::move(outcome));
      co_return absl::OkStatus();
    }
  }
  outcome.status = co_await Insert(caller, *work, chunk, outcome);
  const int64_t most = target_.max_affected_rows;
  if (outcome.status.ok() && most > 0 && outcome.rows_affected > most) {
    outcome.status = errors::AffectedRowsExceeded(outcome.rows_affected, most);
  }
  if (outcome.status.ok() && key.has_value()) {
    db::Rows facts;
    facts.rows_affected = outcome.rows_affected;
    db::BatchResults results;
    results.emplace_back(std::move(facts));
    outcome.status = co_await work->Store(caller, *key, results);
  }
  if (outcome.status.ok() && !target_.validate_only) {
    outcome.status = co_await work->Commit(caller, nullptr);
  } else {
    co_await work->Rollback(caller);
  }
  if (!outcome.status.ok()) {
    outcome.rows_affected = 0;
    stopped_ = target_.mode == db::BatchMode::kStopOnError;
  }
  const absl::Status status = outcome.status;
  Report(std::move(outcome));
  co_return WasEnded(status) ? status : absl::OkStatus();
}

// A chunk with a savepoint around it.
Task<absl::Status> Loading::InsertNested(Caller& caller, const db::LoadChunk& chunk) {
  db::ChunkOutcome outcome;
  const Work::Kept kept(*work_);
  CO_CHECK(co_await work_->Guard(caller));
  outcome.status = co_await Insert(caller, *work_, chunk, outcome);
  if (WasEnded(outcome.status) || work_->state() == Work::State::kGone) co_return outcome.status;
  const int64_t most = target_.max_affected_rows;
  if (outcome.status.ok() && most > 0 && outcome.rows_affected > most) {
    outcome.status = errors::AffectedRowsExceeded(outcome.rows_affected, most);
  }
  const bool keep = outcome.status.ok();
  CO_CHECK(co_await work_->Unguard(caller, keep));
  if (!keep) {
    outcome.rows_affected = 0;
    stopped_ = target_.mode == db::BatchMode::kStopOnError;
  }
  Report(std::move(outcome));
  co_return absl::OkStatus();
}

Task<absl::Status> Loading::Finish(Caller& caller, std::string content) {
  std::optional<Work::Running> running;
  if (work_ != nullptr) running.emplace(*work_, caller);
  if (failure_.ok()) failure_ = co_await Complete(caller, content);
  if (!failure_.ok()) co_await Abandon(caller);
  finished_ = true;
  co_return failure_;
}

Task<absl::Status> Loading::Complete(Caller& caller, const std::string& content) {
  if (!nested_ && !atomic()) co_return absl::OkStatus();
  if (!begun_) {
    db::LoadChunk nothing;
    CO_CHECK(co_await Proceed(caller, nothing, content));
  }
  CO_CHECK(co_await Land(caller));
  if (keyed()) {
    db::RequestKey key = *target_.key;
    key.content = content;
    if (replay_.has_value()) {
      CO_TRY(const std::optional<db::BatchResults> same, co_await work_->Reserve(caller, key));
      CO_CHECK(Repeat());
    } else {
      CO_CHECK(co_await work_->Store(caller, key, results_));
    }
  }
  if (nested_) {
    absl::Status kept = co_await work_->Unguard(caller, /*keep=*/!target_.validate_only);
    co_return kept;
  }
  if (target_.validate_only) {
    co_await work_->Rollback(caller);
    co_return absl::OkStatus();
  }
  absl::Status committed = co_await work_->Commit(caller, nullptr);
  co_return committed;
}

absl::Status Loading::Repeat() {
  for (const absl::StatusOr<db::Rows>& each : *replay_) {
    db::ChunkOutcome outcome;
    outcome.status = each.status();
    outcome.rows_affected = each.ok() ? each->rows_affected : 0;
    outcome.replayed = true;
    outcomes_.push_back(std::move(outcome));
  }
  return absl::OkStatus();
}

Task<void> Loading::Abandon(Caller& caller) {
  if (finished_ || !begun_ || work_ == nullptr) co_return;
  finished_ = true;
  if (!nested_) {
    if (flight_.has_value()) co_await work_->Stop(flight_->copy);
    co_await work_->Rollback(caller);
    co_return;
  }
  // The next call in the transaction does not wait for this one.
  work_->UndoGuard();
}

}  // namespace sluice::postgres
