// A transaction whose answers a test scripts, and that tells what it was asked. Part of
// scripted_database.h.
#ifndef SLUICE_TESTS_UNIT_CORE_SCRIPTED_TRANSACTION_H_
#define SLUICE_TESTS_UNIT_CORE_SCRIPTED_TRANSACTION_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/sleep.h"
#include "server/async/task.h"
#include "server/base/errors.h"
#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/core/ending.h"
#include "server/db/load.h"
#include "server/db/transaction.h"

namespace sluice::core {

// One answer: after a while, an error or rows. A stopped call gets its own error at once.
struct ScriptedAnswer {
  absl::StatusOr<db::Rows> rows = db::Rows{};
  absl::Duration delay = absl::ZeroDuration();
};

// TransactionScript: what a test says to a transaction, and sees of it; outlives it. The standing
// follows what happens, as a database's would, and may be set at any time. Scripting is for one
// thread; standing and ends are for any.
class TransactionScript {
 public:
  using State = db::TransactionStanding::State;

  // To statements, batches, Next, Add and Finish alike; what is not scripted is an empty end. An
  // error leaves the transaction failed, or gone if no savepoint is set, unless `failures_undone`.
  std::deque<ScriptedAnswer> answers;
  bool failures_undone = false;  // as those of requests that were refused
  absl::Status commit;
  absl::Duration commit_delay = absl::ZeroDuration();
  absl::Duration rollback_delay = absl::ZeroDuration();
  absl::Status savepoint;  // to all that concerns savepoints
  db::Isolation isolation = db::Isolation::kSerializable;

  // What was seen.
  db::TransactionOptions options;
  std::vector<std::string> executed;    // SQL, in order; `chunk` and `finish` of loads
  std::vector<std::string> savepoints;  // `set 1`, `back to 1`, `release 1`
  std::vector<std::string> committed_keys;
  int commits = 0;
  int rollbacks = 0;
  int cursors_open = 0;
  bool alive = false;
  std::function<void()> load_told;  // what the last load was given to tell of its end

  db::TransactionStanding standing() const {
    MutexLock lock(&mu_);
    return standing_;
  }

  void Stand(db::TransactionStanding standing) {
    MutexLock lock(&mu_);
    standing_ = std::move(standing);
  }

  void Stand(State state) {
    MutexLock lock(&mu_);
    standing_.state = state;
  }

  // The database ends it by itself.
  void Lose(const absl::Status& why) {
    {
      MutexLock lock(&mu_);
      if (standing_.state != State::kGone) standing_.why = why;
      standing_.state = State::kGone;
    }
    ended_.Come();
  }

  // What End was told, each time.
  std::vector<absl::Status> ends() const {
    MutexLock lock(&mu_);
    return ends_;
  }

 private:
  friend class ScriptedTransaction;

  void End(const absl::Status& why) {
    {
      MutexLock lock(&mu_);
      ends_.push_back(why);
    }
    Lose(why);
  }

  mutable Mutex mu_;
  db::TransactionStanding standing_ ABSL_GUARDED_BY(mu_);
  std::vector<absl::Status> ends_ ABSL_GUARDED_BY(mu_);
  Ending ended_;  // cuts short what runs
  int set_ = 0;   // savepoints
};

// ScriptedTransaction: keeps to the contract of db::Transaction, without any SQL.
class ScriptedTransaction final : public db::Transaction {
 public:
  using State = TransactionScript::State;

  explicit ScriptedTransaction(std::shared_ptr<TransactionScript> script)
      : script_(std::move(script)) {
    script_->alive = true;
  }

  ~ScriptedTransaction() override { script_->alive = false; }

  Task<absl::StatusOr<db::Rows>> Execute(const Context& ctx, db::Statement statement) override {
    script_->executed.emplace_back(statement.sql());
    absl::StatusOr<db::Rows> rows = co_await Answer(ctx, script_);
    co_return rows;
  }

  Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Open(const Context& /*ctx*/,
                                                         db::Statement statement) override {
    script_->executed.emplace_back(statement.sql());
    std::unique_ptr<db::Cursor> cursor = std::make_unique<Cursor>(script_);
    co_return cursor;
  }

  Task<absl::StatusOr<db::BatchResults>> ExecuteBatch(const Context& ctx,
                                                      const db::Batch& batch) override {
    for (const db::Execution& each : batch.executions) {
      script_->executed.emplace_back(each.statement.sql());
    }
    CO_TRY(const db::Rows rows, co_await Answer(ctx, script_));
    db::BatchResults results(batch.executions.size(), rows);
    co_return results;
  }

  Task<absl::StatusOr<std::unique_ptr<db::Load>>> OpenLoad(const Context& /*ctx*/,
                                                           db::LoadTarget /*target*/) override {
    std::unique_ptr<db::Load> load = std::make_unique<Load>(script_);
    co_return load;
  }

  Task<absl::Status> Commit(const db::RequestKey* key) override {
    ++script_->commits;
    if (key != nullptr) script_->committed_keys.push_back(key->id);
    const Context unhurried;
    co_await SleepFor(unhurried, script_->commit_delay);
    CO_CHECK(script_->standing().why);
    script_->Stand(State::kGone);
    co_return script_->commit;
  }

  Task<void> Rollback() override {
    ++script_->rollbacks;
    const Context unhurried;
    co_await SleepFor(unhurried, script_->rollback_delay);
    script_->Stand(State::kGone);
  }

  Task<absl::Status> Savepoint(const Context& /*ctx*/, int number) override {
    script_->savepoints.push_back(absl::StrCat("set ", number));
    if (script_->savepoint.ok()) script_->set_ = number;
    co_return script_->savepoint;
  }

  Task<absl::Status> RollbackTo(const Context& /*ctx*/, int number) override {
    script_->savepoints.push_back(absl::StrCat("back to ", number));
    if (!script_->savepoint.ok()) co_return script_->savepoint;
    script_->set_ = number;
    script_->Stand(State::kOpen);
    co_return absl::OkStatus();
  }

  Task<absl::Status> Release(const Context& /*ctx*/, int number) override {
    script_->savepoints.push_back(absl::StrCat("release ", number));
    if (script_->savepoint.ok()) script_->set_ = number - 1;
    co_return script_->savepoint;
  }

  void End(const absl::Status& why) override { script_->End(why); }

  db::TransactionStanding standing() const override { return script_->standing(); }

  db::Isolation isolation() const override { return script_->isolation; }

 private:
  class Cursor final : public db::Cursor {
   public:
    explicit Cursor(std::shared_ptr<TransactionScript> script) : script_(std::move(script)) {
      ++script_->cursors_open;
    }

    ~Cursor() override { --script_->cursors_open; }

    Task<absl::StatusOr<db::Rows>> Next(const Context& ctx) override {
      return Answer(ctx, script_);
    }

   private:
    const std::shared_ptr<TransactionScript> script_;
  };

  class Load final : public db::Load {
   public:
    explicit Load(std::shared_ptr<TransactionScript> script) : script_(std::move(script)) {}

    Task<absl::Status> Add(const Context& ctx,
                           db::LoadChunk /*chunk*/,
                           std::string /*content*/) override {
      script_->executed.emplace_back("chunk");
      const absl::StatusOr<db::Rows> rows = co_await Answer(ctx, script_);
      co_return rows.status();
    }

    void OnEnd(std::function<void()> told) override { script_->load_told = std::move(told); }

    bool stopped() const override { return false; }

    std::vector<db::ChunkOutcome> TakeOutcomes() override { return {}; }

    Task<absl::Status> Finish(const Context& ctx, std::string /*content*/) override {
      script_->executed.emplace_back("finish");
      const absl::StatusOr<db::Rows> rows = co_await Answer(ctx, script_);
      co_return rows.status();
    }

   private:
    const std::shared_ptr<TransactionScript> script_;
  };

  static Task<absl::StatusOr<db::Rows>> Answer(const Context& ctx,
                                               std::shared_ptr<TransactionScript> script) {
    ScriptedAnswer answer;
    answer.rows->end = true;
    if (!script->answers.empty()) {
      answer = std::move(script->answers.front());
      script->answers.pop_front();
    }
    co_await script->ended_.Within(ctx, answer.delay);
    CO_CHECK(script->standing().why);
    if (ctx.stop.stop_requested()) answer.rows = ctx.Stopped(errors::Executed::kRolledBack);
    if (!answer.rows.ok() && !script->failures_undone) Fail(*script);
    co_return std::move(answer.rows);
  }

  static void Fail(TransactionScript& script) {
    if (script.standing().state != State::kOpen) return;
    const bool guarded = script.set_ > 0;
    script.Stand(guarded ? State::kFailed : State::kGone);
  }

  const std::shared_ptr<TransactionScript> script_;
};

}  // namespace sluice::core

#endif  // SLUICE_TESTS_UNIT_CORE_SCRIPTED_TRANSACTION_H_
