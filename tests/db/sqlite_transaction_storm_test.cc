// Transactions of many callers on several executors, ended at any moment and in every way: money is
// neither made nor lost, and what was answered is what is there.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/async/join.h"
#include "server/async/sleep.h"
#include "server/base/mutex.h"
#include "tests/db/sqlite_transaction_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using Random = std::minstd_rand;

constexpr int64_t kAccounts = 16;
constexpr int64_t kTotal = kAccounts * 1000;
// Rows that one load brings.
constexpr int64_t kLoaded = 20;

constexpr char kMove[] = "UPDATE account SET balance = balance + $1 WHERE id = $2";
constexpr char kDone[] = "INSERT INTO done (nonce) VALUES ($1)";
constexpr char kSum[] = "SELECT sum(balance) FROM account";
constexpr char kSlow[] =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000) SELECT "
    "count(*) FROM c";

absl::Duration Lasts() {
  const char* const nightly = std::getenv("SLUICE_NIGHTLY");
  return nightly != nullptr && std::string(nightly) == "1" ? absl::Seconds(30) : absl::Seconds(3);
}

// A statement and what it borrows from.
class Sql {
 public:
  explicit Sql(std::string text, std::initializer_list<pb::Value> params = {})
      : text_(std::move(text)), params_(MakeParams(params)) {}

  Sql(const Sql&) = delete;
  Sql& operator=(const Sql&) = delete;

  db::Statement statement() const { return {text_, params_, no_names_}; }

 private:
  const std::string text_;
  const db::Params params_;
  const db::NamedParams no_names_;
};

// A call that may be ended early, by its caller or by its deadline. Lives on its executor.
class Hurried : Timer {
 public:
  explicit Hurried(Random& random)
      : Timer(
            [](Timer* timer) { static_cast<Hurried*>(timer)->scope_.Stop(StopCause::kCancelled); }),
        executor_(*Executor::Current()) {
    const unsigned chance = random() % 12;
    const absl::Duration limit = absl::Microseconds(random() % 2000);
    const bool has_deadline = chance == 0;
    ctx_ = scope_.MakeContext(has_deadline ? absl::Now() + limit : absl::InfiniteFuture(), "");
    if (chance == 1) executor_.StartTimer(*this, limit);
  }

  ~Hurried() { executor_.CancelTimer(*this); }

  Hurried(const Hurried&) = delete;
  Hurried& operator=(const Hurried&) = delete;

  const Context& ctx() const { return ctx_; }

 private:
  Executor& executor_;
  CallScope scope_;
  Context ctx_;
};

// What all callers share. Any thread.
class Storm {
 public:
  explicit Storm(db::Database& database) : database_(database) {}

  db::Database& database() const { return database_; }

  bool over() const { return over_.load(std::memory_order_relaxed); }

  void End() { over_ = true; }

  // While it lives, anyone may end the transaction.
  class Exposed {
   public:
    Exposed(Storm& storm, db::Transaction& transaction) : storm_(storm), transaction_(transaction) {
      MutexLock lock(&storm_.mu_);
      storm_.open_.push_back(&transaction_);
    }

    ~Exposed() {
      MutexLock lock(&storm_.mu_);
      auto& open = storm_.open_;
      open.erase(std::find(open.begin(), open.end(), &transaction_));
    }

    Exposed(const Exposed&) = delete;
    Exposed& operator=(const Exposed&) = delete;

   private:
    Storm& storm_;
    db::Transaction& transaction_;
  };

  // Looks at one of them, and now and then ends it.
  void Disturb(Random& random) {
    MutexLock lock(&mu_);
    if (open_.empty()) return;
    db::Transaction& victim = *open_[random() % open_.size()];
    const db::TransactionStanding standing = victim.standing();
    if (standing.waits_for != nullptr) ++seen_waiting_;
    if (random() % 4 == 0) victim.End(errors::TransactionExpired("The storm took it"));
  }

  int64_t seen_waiting() const {
    MutexLock lock(&mu_);
    return seen_waiting_;
  }

 private:
  db::Database& database_;
  std::atomic<bool> over_{false};

  mutable Mutex mu_;
  std::vector<db::Transaction*> open_ ABSL_GUARDED_BY(mu_);
  int64_t seen_waiting_ ABSL_GUARDED_BY(mu_) = 0;
};

// What came of one caller's requests, as it was told.
struct Ledger {
  std::set<int64_t> done;    // transfers that were committed
  std::set<int64_t> loaded;  // loads
  int committed = 0;
  int rolled_back = 0;
  int abandoned = 0;
  int cancelled = 0;
  int late = 0;
  int ended = 0;
  int not_begun = 0;
  int sums = 0;
  int loads = 0;

  void Add(const Ledger& other) {
    done.insert(other.done.begin(), other.done.end());
    loaded.insert(other.loaded.begin(), other.loaded.end());
    for (int Ledger::*const count :
         {&Ledger::committed, &Ledger::rolled_back, &Ledger::abandoned, &Ledger::cancelled,
          &Ledger::late, &Ledger::ended, &Ledger::not_begun, &Ledger::sums, &Ledger::loads}) {
      this->*count += other.*count;
    }
  }
};

// One caller. Used on its executor.
class Caller {
 public:
  Caller(Storm& storm, int64_t id)
      : storm_(storm), random_(static_cast<unsigned>(id) + 1), next_(id * 1'000'000) {}

  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  Task<bool> Run() {
    while (!storm_.over()) {
      switch (random_() % 8) {
        case 0:
        case 1:
          co_await TransferInABatch();
          break;
        case 2:
          co_await ReadInATransaction();
          break;
        case 3:
          co_await ReadByItself();
          break;
        case 4:
          co_await LoadByItself();
          break;
        default:
          co_await TransferInATransaction();
      }
      co_await Pause();
    }
    co_return true;
  }

  const Ledger& ledger() const { return ledger_; }

 private:
  Task<void> TransferInATransaction() {
    db::TransactionOptions options;
    options.handle = absl::StrCat("tx_", next_);
    absl::StatusOr<std::unique_ptr<db::Transaction>> begun = storm_.database().Begin(options);
    EXPECT_THAT(begun, IsOk());
    if (!begun.ok()) co_return;
    const std::unique_ptr<db::Transaction> transaction = *std::move(begun);
    const Storm::Exposed exposed(storm_, *transaction);
    const int64_t nonce = next_++;
    bool loaded = false;
    const bool whole = co_await Transfer(*transaction, nonce, loaded);
    const unsigned chance = random_() % 10;
    if (!whole || chance == 0) {
      co_await transaction->Rollback();
      EXPECT_NE(transaction->standing().state, db::TransactionStanding::State::kOpen);
      ++ledger_.rolled_back;
    } else if (chance == 1) {
      ++ledger_.abandoned;  // it is destroyed
    } else {
      const absl::Status committed = co_await transaction->Commit(nullptr);
      if (committed.ok()) {
        ++ledger_.committed;
        ledger_.done.insert(nonce);
        if (loaded) ledger_.loaded.insert(nonce);
      } else {
        Note(committed);
        EXPECT_THAT(committed, Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
      }
    }
  }

  // False if the transaction is of no use any more, or is given up.
  Task<bool> Transfer(db::Transaction& transaction, int64_t nonce, bool& loaded) {
    const int64_t amount = 1 + static_cast<int64_t>(random_() % 50);
    const Sql take(kMove, {Int(-amount), Int(Account())});
    const Sql give(kMove, {Int(amount), Int(Account())});
    const Sql done(kDone, {Int(nonce)});
    const Sql sum(kSum);
    const Sql slow(kSlow);
    bool ok = co_await Do(transaction, take);
    if (ok && random_() % 4 == 0) ok = co_await Err(transaction);
    if (ok && random_() % 4 == 0) ok = co_await Do(transaction, slow);
    if (ok && random_() % 2 == 0) ok = co_await Do(transaction, sum, kTotal - amount);
    if (ok && random_() % 4 == 0) ok = co_await Load(transaction, nonce, loaded);
    if (ok) ok = co_await Do(transaction, give);
    if (ok) ok = co_await Do(transaction, sum, kTotal);
    if (ok) ok = co_await Do(transaction, done);
    co_return ok;
  }

  // A statement, until it is done or the transaction is of no use. `number`: what it answers.
  Task<bool> Do(db::Transaction& transaction,
                const Sql& sql,
                std::optional<int64_t> number = std::nullopt) {
    co_await Pause();
    while (true) {
      const Hurried call(random_);
      const db::Statement statement = sql.statement();
      absl::StatusOr<db::Rows> rows = co_await transaction.Execute(call.ctx(), statement);
      if (rows.ok()) {
        if (number.has_value()) Expect(std::move(rows), *number);
        co_return true;
      }
      Note(rows.status());
      const bool open = transaction.standing().state == db::TransactionStanding::State::kOpen;
      if (errors::MetadataOf(rows.status(), "executed") != "no") {
        EXPECT_FALSE(open) << rows.status();
        co_return false;
      }
      ++ledger_.not_begun;
      if (!open || random_() % 4 == 0) co_return false;
    }
  }

  // A failure from which a savepoint helps.
  Task<bool> Err(db::Transaction& transaction) {
    const Context ctx;
    const Sql failing("INSERT INTO account (id, balance) VALUES (99, 99), (0, 0)");
    const absl::Status set = co_await transaction.Savepoint(ctx, 1);
    if (!set.ok()) co_return Refused(set);
    const db::Statement statement = failing.statement();
    const absl::StatusOr<db::Rows> failed = co_await transaction.Execute(ctx, statement);
    if (failed.status().code() != StatusCode::kAlreadyExists) co_return Refused(failed.status());
    const absl::Status back = co_await transaction.RollbackTo(ctx, 1);
    if (!back.ok()) co_return Refused(back);
    const absl::Status released = co_await transaction.Release(ctx, 1);
    co_return released.ok() || Refused(released);
  }

  // It was ended from outside. Always false.
  bool Refused(const absl::Status& status) {
    EXPECT_THAT(status, Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
    Note(status);
    return false;
  }

  // A load in the transaction, or none if it is given up half way.
  Task<bool> Load(db::Transaction& transaction, int64_t nonce, bool& loaded) {
    const Hurried call(random_);
    absl::StatusOr<std::unique_ptr<db::Load>> opened =
        co_await transaction.OpenLoad(call.ctx(), Target());
    EXPECT_THAT(opened, IsOk());
    if (!opened.ok()) co_return false;
    const std::unique_ptr<db::Load> load = *std::move(opened);
    const bool whole = random_() % 4 != 0;
    const absl::Status status = co_await Feed(call.ctx(), *load, nonce, whole);
    if (status.ok()) {
      loaded = whole;
      ++ledger_.loads;
      co_return true;
    }
    Note(status);
    const bool open = transaction.standing().state == db::TransactionStanding::State::kOpen;
    co_return open;
  }

  Task<absl::Status> Feed(const Context& ctx, db::Load& load, int64_t nonce, bool whole) {
    for (int64_t k = 0; k < kLoaded; k += kLoaded / 4) {
      const auto rows = std::make_shared<LoadRows>();
      for (int64_t i = k; i < k + kLoaded / 4; ++i) {
        pb::Row& row = *rows->Add();
        *row.add_values() = Int(nonce);
        *row.add_values() = Int(i);
      }
      db::LoadChunk chunk;
      chunk.rows = rows;
      absl::Status added = co_await load.Add(ctx, std::move(chunk), "");
      if (!added.ok()) co_return added;
    }
    if (!whole) co_return absl::OkStatus();
    absl::Status finished = co_await load.Finish(ctx, "");
    co_return finished;
  }

  Task<void> LoadByItself() {
    const int64_t nonce = next_++;
    const Hurried call(random_);
    absl::StatusOr<std::unique_ptr<db::Load>> opened =
        co_await storm_.database().OpenLoad(call.ctx(), Target());
    EXPECT_THAT(opened, IsOk());
    if (!opened.ok()) co_return;
    const std::unique_ptr<db::Load> load = *std::move(opened);
    const absl::Status status = co_await Feed(call.ctx(), *load, nonce, /*whole=*/true);
    if (status.ok()) {
      ledger_.loaded.insert(nonce);
    } else {
      Note(status);
    }
  }

  Task<void> TransferInABatch() {
    const int64_t nonce = next_++;
    const int64_t amount = 1 + static_cast<int64_t>(random_() % 50);
    BatchMaker maker;
    maker.Add(kMove, {Int(-amount), Int(Account())}).AddSet({Int(amount), Int(Account())});
    maker.Add(kDone, {Int(nonce)});
    const Hurried call(random_);
    const absl::StatusOr<db::BatchResults> results =
        co_await storm_.database().ExecuteBatch(call.ctx(), maker.batch);
    if (results.ok()) {
      ledger_.done.insert(nonce);
    } else {
      Note(results.status());
    }
  }

  Task<void> ReadInATransaction() {
    db::TransactionOptions options;
    options.read_only = true;
    absl::StatusOr<std::unique_ptr<db::Transaction>> begun = storm_.database().Begin(options);
    EXPECT_THAT(begun, IsOk());
    if (!begun.ok()) co_return;
    const std::unique_ptr<db::Transaction> transaction = *std::move(begun);
    const Storm::Exposed exposed(storm_, *transaction);
    const Sql sum(kSum);
    const Sql count("SELECT count(*) FROM done");
    const db::Statement counting = count.statement();
    std::optional<int64_t> first;
    for (int i = 0; i < 3; ++i) {
      const bool constant = co_await Do(*transaction, sum, kTotal);
      if (!constant) co_return;
      const Hurried call(random_);
      absl::StatusOr<db::Rows> rows = co_await transaction->Execute(call.ctx(), counting);
      if (!rows.ok()) {
        Note(rows.status());
        co_return;
      }
      const auto reply = Parse(std::move(rows));
      const int64_t now = reply->rows(0).values(0).int64_value();
      EXPECT_EQ(now, first.value_or(now)) << "it has seen two snapshots";
      first = now;
      ++ledger_.sums;
    }
    if (random_() % 2 == 0) {
      const absl::Status committed = co_await transaction->Commit(nullptr);
      if (!committed.ok()) Refused(committed);
    }
  }

  Task<void> ReadByItself() {
    const Sql sum(kSum);
    const Context ctx;
    const db::Statement statement = sum.statement();
    absl::StatusOr<db::Rows> rows = co_await storm_.database().Execute(ctx, statement);
    EXPECT_THAT(rows, IsOk());
    if (rows.ok()) Expect(std::move(rows), kTotal);
    ++ledger_.sums;
  }

  static void Expect(absl::StatusOr<db::Rows> rows, int64_t number) {
    const auto reply = Parse(std::move(rows));
    EXPECT_THAT(reply, IsOk());
    if (reply->rows_size() == 1) {
      EXPECT_EQ(reply->rows(0).values(0).int64_value(), number);
    }
  }

  // A failure that the storm may bring; it says that nothing of the request is left.
  void Note(const absl::Status& status) {
    const std::string executed = errors::MetadataOf(status, "executed");
    EXPECT_TRUE(executed == "no" || executed == "rolled_back") << status;
    if (status.code() == StatusCode::kCancelled) {
      ++ledger_.cancelled;
    } else if (status.code() == StatusCode::kDeadlineExceeded) {
      ++ledger_.late;
    } else if (errors::ReasonOf(status) == "TRANSACTION_EXPIRED") {
      ++ledger_.ended;
    } else {
      ADD_FAILURE() << status;
    }
  }

  Task<void> Pause() {
    const Context ctx;
    if (random_() % 2 == 0) co_return;
    co_await SleepFor(ctx, absl::Microseconds(random_() % 200));
  }

  int64_t Account() { return static_cast<int64_t>(random_() % kAccounts); }

  static db::LoadTarget Target() {
    db::LoadTarget target;
    target.table = "note";
    return target;
  }

  Storm& storm_;
  Random random_;
  int64_t next_;
  Ledger ledger_;
};

class SqliteTransactionStorm : public SqliteTransactionTest {
 protected:
  void OpenBank() {
    OpenWithTables();
    ASSERT_THAT(Ask("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)"),
                IsOk());
    ASSERT_THAT(Ask("CREATE TABLE done (nonce INTEGER PRIMARY KEY)"), IsOk());
    ASSERT_THAT(Ask("CREATE TABLE note (nonce INTEGER, k INTEGER, PRIMARY KEY (nonce, k))"),
                IsOk());
    for (int64_t id = 0; id < kAccounts; ++id) {
      ASSERT_THAT(Ask("INSERT INTO account (id, balance) VALUES ($1, 1000)", {Int(id)}), IsOk());
    }
  }

  // Rows of a table by the number in its first column.
  std::map<int64_t, int64_t> Rows(absl::string_view table) {
    std::map<int64_t, int64_t> rows;
    const std::string sql = absl::StrCat("SELECT nonce, count(*) FROM ", table, " GROUP BY nonce");
    db::Statement statement(sql);
    statement.max_rows = 10'000'000;
    statement.max_bytes = 512 << 20;
    const auto reply = Execute(executor_, *database_, statement);
    EXPECT_THAT(reply, IsOk());
    for (const pb::Row& row : reply->rows()) {
      rows[row.values(0).int64_value()] = row.values(1).int64_value();
    }
    return rows;
  }
};

// A number of callers on one executor, until the storm is over.
Ledger RunCallers(ManualExecutor& executor, Storm& storm, int64_t first, int64_t count) {
  std::vector<std::unique_ptr<Caller>> callers;
  std::vector<Task<bool>> tasks;
  for (int64_t i = 0; i < count; ++i) {
    callers.push_back(std::make_unique<Caller>(storm, first + i));
    tasks.push_back(callers.back()->Run());
  }
  executor.Run(JoinAll(std::move(tasks)));
  Ledger ledger;
  for (const auto& caller : callers) ledger.Add(caller->ledger());
  return ledger;
}

TEST_F(SqliteTransactionStorm, MoneyIsNeitherMadeNorLostAndEveryAnswerIsTrue) {
  OpenBank();
  Storm storm(*database_);
  constexpr int64_t kThreads = 3;
  constexpr int64_t kCallers = 8;  // on each
  std::vector<Ledger> ledgers(kThreads);
  std::vector<ManualExecutor> executors(kThreads);
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < kThreads; ++i) {
    const auto at = static_cast<size_t>(i);
    threads.emplace_back(
        [&, at, i] { ledgers[at] = RunCallers(executors[at], storm, 1 + i * kCallers, kCallers); });
  }
  Random random(1);
  const absl::Time until = absl::Now() + Lasts();
  while (absl::Now() < until) {
    storm.Disturb(random);
    const db::DatabaseLoad load = database_->Load();
    EXPECT_GE(load.queued, 0);
    absl::SleepFor(absl::Microseconds(random() % 1000));
  }
  storm.End();
  for (std::thread& thread : threads) thread.join();
  Ledger all;
  for (const Ledger& ledger : ledgers) all.Add(ledger);

  ASSERT_TRUE(UntilFree());  // also what was abandoned is rolled back
  EXPECT_EQ(Number(kSum), kTotal);
  std::map<int64_t, int64_t> done;
  for (const int64_t nonce : all.done) done[nonce] = 1;
  EXPECT_EQ(Rows("done"), done);
  std::map<int64_t, int64_t> loaded;
  for (const int64_t nonce : all.loaded) loaded[nonce] = kLoaded;
  EXPECT_EQ(Rows("note"), loaded);
  EXPECT_EQ(Number("SELECT count(*) FROM account"), kAccounts);
  Outsider outsider(path_);
  EXPECT_EQ(
      outsider.Number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
      1);

  // Everything that was to be tried has happened.
  for (const int count : {all.committed, all.rolled_back, all.abandoned, all.cancelled, all.late,
                          all.ended, all.not_begun, all.sums, all.loads}) {
    EXPECT_GT(count, 0);
  }
  EXPECT_GT(storm.seen_waiting(), 0);
  executor_.RunUntilIdle();
  database_->Close();  // before the executors go
  RecordProperty("committed", all.committed);
  RecordProperty("ended", all.ended);
}

}  // namespace
}  // namespace sluice::test
