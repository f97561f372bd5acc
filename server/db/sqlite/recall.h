// Recall: what was done with a request key.
#ifndef SLUICE_SERVER_DB_SQLITE_RECALL_H_
#define SLUICE_SERVER_DB_SQLITE_RECALL_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/base/status.h"
#include "server/db/batch.h"
#include "server/db/request_key.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/request_log.h"
#include "server/db/sqlite/result.h"
#include "server/db/sqlite/write.h"

namespace sluice::sqlite {

using Recalled = absl::StatusOr<std::optional<db::BatchResults>>;

// A key without content fits any.
inline Recalled Recall(Connection& connection, const db::RequestKey& key) {
  TRY(const std::optional<RequestLog::Record> record, RequestLog(connection).Find(key));
  if (!record.has_value()) return std::nullopt;
  TRY(db::BatchResults results,
      AnswerOf(*record, key.content.empty() ? record->content : key.content));
  return results;
}

// RecallRead: as far as it is committed now.
class RecallRead final : public Work {
 public:
  using Result = Recalled;

  RecallRead(const Context& ctx, const db::RequestKey& key, DatabaseFile& file)
      : ctx_(ctx), key_(key), file_(file) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Run(Connection& connection) override {
    if (DeadlinePassed(ctx_)) {
      result_ = errors::DeadlineExceeded(errors::Executed::kNo);
    } else {
      const absl::Status usable = file_.CheckNow();
      result_ = usable.ok() ? Recall(connection, key_) : usable;
    }
    file_.Note(result_.status());
  }

  void Answer() override { done_->Resolve(std::move(result_)); }

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  const Context& ctx_;
  const db::RequestKey& key_;
  DatabaseFile& file_;
  std::optional<Completion<Result>> done_;
  Result result_ = std::nullopt;
};

// RecallWrite: for certain, behind all that was asked of the writer before.
class RecallWrite final : public Write {
 public:
  using Result = Recalled;

  RecallWrite(const Context& ctx,
              const db::RequestKey& key,
              DatabaseFile& file,
              const WorkQueue& queue)
      : Write(ctx, file, queue), key_(key) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  // Nothing was written, so nobody has to wait for the disk.
  bool only_tries() const override { return true; }

  // By itself: what a neighbour has written may yet be undone.
  bool exclusive() const override { return true; }

  void Answer() override {
    if (status().ok()) {
      done_->Resolve(std::move(found_));
    } else {
      done_->Resolve(status());
    }
  }

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  absl::Status Apply(Connection& connection) override {
    TRY(found_, Recall(connection, key_));
    return absl::OkStatus();
  }

  const db::RequestKey& key_;
  std::optional<Completion<Result>> done_;
  std::optional<db::BatchResults> found_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_RECALL_H_
