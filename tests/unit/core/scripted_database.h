// What tests of core and services stand on where the rule under test is about a database that
// fails, hangs or takes its time: when, not what, it answers. SQL is tested on a real database.
#ifndef SLUICE_TESTS_UNIT_CORE_SCRIPTED_DATABASE_H_
#define SLUICE_TESTS_UNIT_CORE_SCRIPTED_DATABASE_H_

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/async/sleep.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/core/connections.h"
#include "server/db/database.h"
#include "tests/unit/core/scripted_transaction.h"

namespace sluice::core {

// StoppedClock: time passes when the test says so.
class StoppedClock final : public Clock {
 public:
  absl::Time Now() const override { return start_ + steady_ + set_by_; }

  absl::Duration Steady() const override { return steady_; }

  void Advance(absl::Duration duration) { steady_ += duration; }

  // An operator sets the wall clock; the steady one does not care.
  void SetWall(absl::Duration by) { set_by_ += by; }

 private:
  const absl::Time start_ = absl::FromUnixSeconds(1'800'000'000);
  absl::Duration steady_ = absl::Hours(1);
  absl::Duration set_by_;
};

// Runs coroutines on a clock that stands still while anything can happen, so no test waits.
class Timeline {
 public:
  template <class T>
  T Run(Task<T> task) {
    std::optional<T> result;
    executor_.Start(Store(std::move(task), result));
    for (int step = 0; !result.has_value(); ++step) {
      executor_.RunUntilIdle();
      if (result.has_value()) break;
      clock_.Advance(kStep);
      if (absl::Milliseconds(10) * step > absl::Minutes(10)) {
        ADD_FAILURE() << "the task did not end within ten minutes of its own time";
        std::abort();  // its frame cannot be destroyed
      }
    }
    return *std::move(result);
  }

  // Moves on, running what comes due on the way.
  void Pass(absl::Duration duration) {
    executor_.RunUntilIdle();
    for (; duration > absl::ZeroDuration(); duration -= kStep) {
      clock_.Advance(std::min(duration, kStep));
      executor_.RunUntilIdle();
    }
  }

  StoppedClock& clock() { return clock_; }

  ManualExecutor& executor() { return executor_; }

 private:
  static constexpr absl::Duration kStep = absl::Milliseconds(10);

  template <class T>
  static Task<void> Store(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await task);
  }

  StoppedClock clock_;
  ManualExecutor executor_{clock_};
};

// ScriptedDatabase: fails as often, and takes as long, as its test asks.
class ScriptedDatabase : public db::Database {
 public:
  using Answer = ScriptedAnswer;

  // To Execute, Open and Next alike; what is not scripted is an empty end.
  std::deque<Answer> answers;
  // To Inspect.
  absl::StatusOr<db::DatabaseInfo> info = db::DatabaseInfo{"3.40.1", "test.db", 4096};
  absl::Duration inspect_delay = absl::ZeroDuration();
  db::DatabaseLoad load;
  // To Begin; with OK the transactions are those of `scripts`, in order, and new ones after them.
  absl::Status begin;
  std::deque<std::shared_ptr<TransactionScript>> scripts;
  // To Recall; what is not scripted is not stored.
  std::deque<absl::StatusOr<std::optional<db::BatchResults>>> recalls;
  // To OutcomeOf, in order; what is not scripted is not known.
  std::deque<absl::StatusOr<db::Outcome>> outcomes;
  // To KeepRequests.
  absl::Status keep_requests;
  // To InspectPool.
  absl::StatusOr<std::optional<db::PoolStats>> pool = std::optional<db::PoolStats>();

  // What was seen.
  std::vector<std::shared_ptr<TransactionScript>> begun;
  std::vector<db::RequestKey> recalled;
  std::vector<std::string> tokens_asked;
  std::vector<db::Statement> executed;
  std::vector<db::Statement> opened;
  int cursors_open = 0;
  int times_closed = 0;
  int times_made_to_keep = 0;
  absl::Time inspect_deadline;

  Task<absl::StatusOr<db::Rows>> Execute(const Context& ctx, db::Statement statement) override {
    executed.push_back(statement);
    absl::StatusOr<db::Rows> rows = co_await Next(ctx);
    co_return rows;
  }

  Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Open(const Context& /*ctx*/,
                                                         db::Statement statement) override {
    opened.push_back(statement);
    std::unique_ptr<db::Cursor> cursor = std::make_unique<ScriptedCursor>(*this);
    co_return cursor;
  }

  Task<absl::StatusOr<db::BatchResults>> ExecuteBatch(const Context& /*ctx*/,
                                                      const db::Batch& /*batch*/) override {
    co_return absl::UnimplementedError("not scripted");
  }

  Task<absl::StatusOr<std::unique_ptr<db::Load>>> OpenLoad(const Context& /*ctx*/,
                                                           db::LoadTarget /*target*/) override {
    co_return absl::UnimplementedError("not scripted");
  }

  absl::StatusOr<std::unique_ptr<db::Transaction>> Begin(db::TransactionOptions options) override {
    if (!begin.ok()) return begin;
    auto script = std::make_shared<TransactionScript>();
    if (!scripts.empty()) {
      script = std::move(scripts.front());
      scripts.pop_front();
    }
    script->options = std::move(options);
    begun.push_back(script);
    return std::make_unique<ScriptedTransaction>(std::move(script));
  }

  Task<absl::StatusOr<db::Outcome>> OutcomeOf(const Context& /*ctx*/,
                                              std::string token,
                                              std::string /*scope*/) override {
    tokens_asked.push_back(std::move(token));
    absl::StatusOr<db::Outcome> outcome{db::Outcome::kUnknown};
    if (!outcomes.empty()) {
      outcome = std::move(outcomes.front());
      outcomes.pop_front();
    }
    co_return outcome;
  }

  Task<absl::StatusOr<std::optional<db::BatchResults>>> Recall(const Context& /*ctx*/,
                                                               const db::RequestKey& key) override {
    recalled.push_back(key);
    absl::StatusOr<std::optional<db::BatchResults>> stored;
    stored = std::optional<db::BatchResults>();
    if (!recalls.empty()) {
      stored = std::move(recalls.front());
      recalls.pop_front();
    }
    co_return stored;
  }

  Task<absl::StatusOr<std::unique_ptr<db::Snapshot>>> Copy(const Context& /*ctx*/) override {
    co_return absl::UnimplementedError("not scripted");
  }

  db::Catalog& catalog() override { std::abort(); }  // no test asks for it

  Task<absl::Status> KeepRequests(const Context& /*ctx*/) override {
    ++times_made_to_keep;
    co_return keep_requests;
  }

  Task<absl::StatusOr<std::optional<db::PoolStats>>> InspectPool(const Context& /*ctx*/) override {
    co_return pool;
  }

  Task<absl::StatusOr<db::DatabaseInfo>> Inspect(const Context& ctx) override {
    inspect_deadline = ctx.deadline;
    const bool elapsed = co_await SleepFor(ctx, inspect_delay);
    if (!elapsed) co_return ctx.Stopped(errors::Executed::kNo);
    co_return info;
  }

  db::DatabaseLoad Load() const override { return load; }

  void Close() override { ++times_closed; }

 private:
  class ScriptedCursor final : public db::Cursor {
   public:
    explicit ScriptedCursor(ScriptedDatabase& database) : database_(database) {
      ++database_.cursors_open;
    }

    ~ScriptedCursor() override { --database_.cursors_open; }

    Task<absl::StatusOr<db::Rows>> Next(const Context& ctx) override { return database_.Next(ctx); }

   private:
    ScriptedDatabase& database_;
  };

  Task<absl::StatusOr<db::Rows>> Next(const Context& ctx) {
    Answer answer;
    answer.rows->end = true;
    if (!answers.empty()) {
      answer = std::move(answers.front());
      answers.pop_front();
    }
    const bool elapsed = co_await SleepFor(ctx, answer.delay);
    if (!elapsed) co_return ctx.Stopped(errors::Executed::kNo);
    co_return std::move(answer.rows);
  }
};

// An entry whose handle follows from its id.
inline Connections::Entry EntryOf(const std::string& id,
                                  std::string name,
                                  std::shared_ptr<db::Database> database) {
  Connections::Entry entry;
  entry.handle = "h_" + id;
  entry.key = ids::HashOf(id);
  entry.name = std::move(name);
  entry.target = "/data/" + entry.name;
  entry.created = absl::FromUnixMillis(1'700'000'000'250);
  entry.database = std::move(database);
  return entry;
}

}  // namespace sluice::core

#endif  // SLUICE_TESTS_UNIT_CORE_SCRIPTED_DATABASE_H_
