#include "server/db/sqlite/transaction_commands.h"

#include <utility>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/replay.h"
#include "server/db/sqlite/inserter.h"
#include "server/db/sqlite/result.h"

namespace sluice::sqlite {
void ReadStep::Answer() {
  if (status().ok()) {
    done_->Resolve(std::move(chunk_));
  } else {
    done_->Resolve(status());
  }
}

absl::Status ReadStep::Apply(Connection& connection) {
  if (statement_ != nullptr) {
    TRY_STATUS(Begin(connection));
  }
  if (!transaction_.reading().has_value()) return absl::OkStatus();
  absl::StatusOr<db::Rows> read = transaction_.reading()->Next(&watch_);
  if (!read.ok() || read->end) transaction_.reading().reset();
  if (!read.ok()) return Why(errors::WithExecuted(read.status(), errors::Executed::kRolledBack));
  chunk_ = *std::move(read);
  return absl::OkStatus();
}

absl::Status ReadStep::Begin(Connection& connection) {
  TRY(Prepared* const prepared, connection.Prepare(statement_->sql()));
  file_.book().LearnWhether(prepared->writes, statement_->sql());
  if (prepared->writes) {
    return statement_->read_only ? errors::ReadOnlyViolation("the call is read-only")
                                 : absl::OkStatus();
  }
  TRY_STATUS(connection.Bind(*prepared, statement_->params(), statement_->named_params()));
  transaction_.reading().emplace(connection, *prepared, statement_->chunk_bytes);
  return absl::OkStatus();
}

bool LoadStep::keyed() const {
  return load_.target.key.has_value() && !load_.target.validate_only;
}

void LoadStep::Report(db::ChunkOutcome outcome) {
  if (keyed()) {
    db::Rows facts;
    facts.rows_affected = outcome.rows_affected;
    if (outcome.status.ok()) {
      load_.results.emplace_back(std::move(facts));
    } else {
      load_.results.emplace_back(outcome.status);
    }
  }
  load_.outcomes.push_back(std::move(outcome));
}

absl::Status LoadStep::Apply(Connection& connection) {
  if (load_.failure.ok()) load_.failure = Proceed(connection);
  return load_.failure;
}

absl::Status LoadStep::Proceed(Connection& connection) {
  if (!load_.begun) {
    TRY_STATUS(Begin(connection));
  }
  if (!chunk_.has_value()) return Complete(connection);
  if (load_.record.has_value() || load_.stopped) return absl::OkStatus();
  return load_.target.mode == db::BatchMode::kAtomic ? Insert(connection) : InsertApart(connection);
}

absl::Status LoadStep::Begin(Connection& connection) {
  if (keyed()) {
    TRY(load_.record, RequestLog(connection).Find(*load_.target.key));
  }
  TRY_STATUS(transaction_.BeginLoad(connection));
  load_.begun = true;
  return absl::OkStatus();
}

absl::Status LoadStep::InsertRows(Connection& connection, db::ChunkOutcome& outcome) {
  Inserter inserter(connection, load_.target, watch_);
  absl::Status inserted = inserter.Insert(*chunk_->rows, chunk_->first_row, outcome.rows_affected);
  if (inserted.ok()) return inserted;
  return Why(errors::WithExecuted(std::move(inserted), errors::Executed::kRolledBack));
}

absl::Status LoadStep::Insert(Connection& connection) {
  db::ChunkOutcome outcome;
  TRY_STATUS(InsertRows(connection, outcome));
  load_.affected += outcome.rows_affected;
  const int64_t most = load_.target.max_affected_rows;
  if (most > 0 && load_.affected > most) {
    TRY_STATUS(transaction_.FinishLoad(connection, /*keep=*/false));
    return errors::AffectedRowsExceeded(load_.affected, most);
  }
  Report(std::move(outcome));
  return absl::OkStatus();
}

// An error is that of the whole load.
absl::Status LoadStep::InsertApart(Connection& connection) {
  TRY_STATUS(connection.Run("SAVEPOINT chunk"));
  db::ChunkOutcome outcome;
  outcome.status = InsertRows(connection, outcome);
  const bool ended = absl::IsCancelled(outcome.status) || absl::IsDeadlineExceeded(outcome.status);
  if (ended || connection.device_failed() || !connection.InTransaction()) return outcome.status;
  const int64_t most = load_.target.max_affected_rows;
  if (outcome.status.ok() && most > 0 && outcome.rows_affected > most) {
    outcome.status = errors::AffectedRowsExceeded(outcome.rows_affected, most);
  }
  if (!outcome.status.ok()) {
    outcome.rows_affected = 0;
    TRY_STATUS(connection.Run("ROLLBACK TO chunk"));
    load_.stopped = load_.target.mode == db::BatchMode::kStopOnError;
  }
  TRY_STATUS(connection.Run("RELEASE chunk"));
  Report(std::move(outcome));
  return absl::OkStatus();
}

absl::Status LoadStep::Complete(Connection& connection) {
  TRY_STATUS(transaction_.FinishLoad(connection, /*keep=*/!load_.target.validate_only));
  if (load_.record.has_value()) return Repeat();
  if (!keyed()) return absl::OkStatus();
  db::RequestKey key = *load_.target.key;
  key.content = content_;
  return RequestLog(connection).Store(key, load_.results);
}

absl::Status LoadStep::Repeat() {
  TRY(const db::BatchResults results, AnswerOf(*load_.record, content_));
  for (const absl::StatusOr<db::Rows>& each : results) {
    db::ChunkOutcome outcome;
    outcome.status = each.status();
    outcome.rows_affected = each.ok() ? each->rows_affected : 0;
    outcome.replayed = true;
    load_.outcomes.push_back(std::move(outcome));
  }
  return absl::OkStatus();
}

}  // namespace sluice::sqlite
