#include "server/core/transaction_session.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

#include "server/base/status.h"

namespace sluice::core {

// TurnCursor: a result that is read in a transaction.
class Transaction::TurnCursor final : public db::Cursor {
 public:
  TurnCursor(std::shared_ptr<Transaction> transaction, std::unique_ptr<db::Cursor> cursor)
      : transaction_(std::move(transaction)), cursor_(std::move(cursor)) {}

  Task<absl::StatusOr<db::Rows>> Next(const Context& ctx) override {
    const Work work(*transaction_, Needs::kActive);
    CO_CHECK(work.refused());
    absl::StatusOr<db::Rows> rows = co_await cursor_->Next(ctx);
    co_return rows;
  }

 private:
  const std::shared_ptr<Transaction> transaction_;
  const std::unique_ptr<db::Cursor> cursor_;
};

// TurnLoad: rows on their way in a transaction. One that has failed says so itself, so its calls
// need no more than that the transaction is open.
class Transaction::TurnLoad final : public db::Load {
 public:
  TurnLoad(std::shared_ptr<Transaction> transaction, std::unique_ptr<db::Load> load)
      : transaction_(std::move(transaction)), load_(std::move(load)) {}

  ~TurnLoad() override { TellNoMore(); }

  Task<absl::Status> Add(const Context& ctx, db::LoadChunk chunk, std::string content) override {
    const Work work(*transaction_, Needs::kOpen);
    CO_CHECK(work.refused());
    transaction_->CountStatement("");
    absl::Status status = co_await load_->Add(ctx, std::move(chunk), std::move(content));
    co_return status;
  }

  void OnEnd(std::function<void()> told) override {
    hook_ = std::make_shared<Hook>();
    hook_->told = std::move(told);
    load_->OnEnd([hook = hook_] { hook->Tell(); });
    Spawn(TellOfEnd(transaction_->finished(), hook_));
  }

  bool stopped() const override { return load_->stopped(); }

  std::vector<db::ChunkOutcome> TakeOutcomes() override { return load_->TakeOutcomes(); }

  Task<absl::Status> Finish(const Context& ctx, std::string content) override {
    TellNoMore();  // the end that may come now is this call's to tell of, or a COMMIT
    const Work work(*transaction_, Needs::kOpen);
    CO_CHECK(work.refused());
    absl::Status status = co_await load_->Finish(ctx, std::move(content));
    co_return status;
  }

 private:
  // Whom to tell that the load can get no further: once, by the load or by the transaction.
  struct Hook {
    void Tell() {
      const std::function<void()> once = std::exchange(told, nullptr);
      if (once != nullptr) once();
    }

    std::function<void()> told;
    CallScope wait;  // for the end of the transaction
  };

  static Task<void> TellOfEnd(std::shared_ptr<Ending> finished, std::shared_ptr<Hook> hook) {
    const Context ctx = hook->wait.MakeContext(absl::InfiniteFuture(), "");
    const bool came = co_await finished->Within(ctx, absl::InfiniteDuration());
    if (came) hook->Tell();
  }

  void TellNoMore() {
    if (hook_ == nullptr) return;
    hook_->told = nullptr;
    hook_->wait.Stop(StopCause::kCancelled);
    hook_ = nullptr;
  }

  const std::shared_ptr<Transaction> transaction_;
  const std::unique_ptr<db::Load> load_;
  std::shared_ptr<Hook> hook_;
};

Task<absl::StatusOr<db::Rows>> Transaction::TurnSession::Execute(const Context& ctx,
                                                                 db::Statement statement) {
  const Work work(transaction_, Needs::kActive);
  CO_CHECK(work.refused());
  transaction_.CountStatement(statement.sql());
  transaction_.NoteRequest(statement.request);
  absl::StatusOr<db::Rows> rows = co_await transaction_.transaction_->Execute(ctx, statement);
  co_return rows;
}

Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Transaction::TurnSession::Open(
    const Context& ctx, db::Statement statement) {
  const Work work(transaction_, Needs::kActive);
  CO_CHECK(work.refused());
  transaction_.CountStatement(statement.sql());
  transaction_.NoteRequest(statement.request);
  CO_TRY(std::unique_ptr<db::Cursor> cursor,
         co_await transaction_.transaction_->Open(ctx, statement));
  co_return std::make_unique<TurnCursor>(transaction_.shared_from_this(), std::move(cursor));
}

Task<absl::StatusOr<db::BatchResults>> Transaction::TurnSession::ExecuteBatch(
    const Context& ctx, const db::Batch& batch) {
  const Work work(transaction_, Needs::kActive);
  CO_CHECK(work.refused());
  transaction_.CountStatement(batch.executions.empty() ? absl::string_view()
                                                       : batch.executions[0].statement.sql());
  transaction_.NoteRequest(batch.request);
  absl::StatusOr<db::BatchResults> results =
      co_await transaction_.transaction_->ExecuteBatch(ctx, batch);
  co_return results;
}

Task<absl::StatusOr<std::unique_ptr<db::Load>>> Transaction::TurnSession::OpenLoad(
    const Context& ctx, db::LoadTarget target) {
  const Work work(transaction_, Needs::kActive);
  CO_CHECK(work.refused());
  CO_TRY(std::unique_ptr<db::Load> load,
         co_await transaction_.transaction_->OpenLoad(ctx, std::move(target)));
  co_return std::make_unique<TurnLoad>(transaction_.shared_from_this(), std::move(load));
}

}  // namespace sluice::core
