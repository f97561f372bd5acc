// Writes that are cancelled at any moment: what was answered is what is there.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_group_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

// A row per write, or so many that it can be interrupted.
constexpr char kOne[] = "INSERT INTO storm (nonce, k) VALUES ($1, 0)";
constexpr char kMany[] =
    "INSERT INTO storm (nonce, k) WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c "
    "WHERE x < 999) SELECT $1, x FROM c";

// Repetitions: the full number at night, and by day what takes well below a minute.
int Times(int full, [[maybe_unused]] int by_day) {
#if defined(SLUICE_SANITIZED)
  return full / 100;
#else
  const char* const nightly = std::getenv("SLUICE_NIGHTLY");
  return nightly != nullptr && std::string(nightly) == "1" ? full : by_day;
#endif
}

class SqliteWriteStorm : public SqliteGroupTest {
 protected:
  void OpenStorm(const db::SqliteSettings& settings = {}) {
    OpenWithTables(settings);
    ASSERT_THAT(Ask("CREATE TABLE storm (nonce INTEGER, k INTEGER, PRIMARY KEY (nonce, k)) WITHOUT "
                    "ROWID"),
                IsOk());
    ASSERT_THAT(Ask(kOne, {Int(-1)}), IsOk());
    ASSERT_THAT(Ask(kMany, {Int(-2)}), IsOk());
    ASSERT_THAT(Ask("DELETE FROM storm"), IsOk());
  }

  // Rows that each write left.
  std::map<int64_t, int64_t> Left() {
    std::map<int64_t, int64_t> left;
    db::Statement statement("SELECT nonce, count(*) FROM storm GROUP BY nonce");
    statement.max_rows = 10'000'000;
    statement.max_bytes = 512 << 20;
    const auto reply = Execute(executor_, *database_, statement);
    EXPECT_THAT(reply, IsOk());
    for (const pb::Row& row : reply->rows()) {
      left[row.values(0).int64_value()] = row.values(1).int64_value();
    }
    return left;
  }
};

// Busy for some time, up to so many nanoseconds.
void Spin(std::minstd_rand& random, int64_t most) {
  const absl::Time until = absl::Now() + absl::Nanoseconds(static_cast<int64_t>(random()) % most);
  while (absl::Now() < until) {
  }
}

// Forty callers at a time.
TEST_F(SqliteWriteStorm, Fault34_AStormOfCancelsLeavesWhatWasAnsweredAndNothingElse) {
  OpenStorm();
  constexpr size_t kAtOnce = 40;
  constexpr int64_t kOthers = 1'000'000'000;  // from here on, somebody else's
  const int rounds = Times(10'000, /*by_day=*/10'000);
  std::map<int64_t, int64_t> expected;
  int cancelled = 0;
  int interrupted = 0;
  int kept = 0;
  std::minstd_rand random(7);
  // Writes meanwhile that nobody cancels.
  std::atomic<bool> stop{false};
  std::atomic<int> harmed{0};
  int64_t others = 0;
  std::thread other([&] {
    ManualExecutor executor;
    while (!stop) {
      const std::initializer_list<pb::Value> nonce = {Int(kOthers + others)};
      Pending write(executor, *database_, kOne, {}, nonce);
      if (!write.Wait().ok()) ++harmed;
      ++others;
    }
  });
  int64_t nonce = 0;
  // A busy machine may need more until one is met that runs.
  for (int round = 1; round <= rounds || (interrupted == 0 && round <= 20 * rounds); ++round) {
    std::vector<std::unique_ptr<Call>> calls;
    started_.clear();
    const int64_t first = nonce;
    std::vector<bool> many;
    for (size_t i = 0; i < kAtOnce; ++i) {
      calls.push_back(std::make_unique<Call>());
      many.push_back(random() % 8 == 0);
      Start(many.back() ? kMany : kOne, {Int(nonce++)}, calls.back()->ctx());
      if (random() % 4 == 0) executor_.RunUntilIdle();
      if (random() % 3 == 0) calls[random() % calls.size()]->Cancel();
      Spin(random, 4000);
    }
    executor_.RunUntilIdle();
    for (int i = 0; i < 15; ++i) {
      calls[random() % calls.size()]->Cancel();
      Spin(random, 20'000);
      executor_.RunUntilIdle();
    }
    for (size_t i = 0; i < started_.size(); ++i) {
      const absl::Status status = started_[i]->Wait().status();
      if (status.ok()) {
        expected[first + static_cast<int64_t>(i)] = many[i] ? 1000 : 1;
        ++kept;
        continue;
      }
      ASSERT_EQ(status.code(), StatusCode::kCancelled) << status;
      const std::string executed = errors::MetadataOf(status, "executed");
      ASSERT_TRUE(executed == "no" || executed == "rolled_back") << executed;
      EXPECT_TRUE(calls[i]->ctx().stop.stop_requested()) << "nobody cancelled this one";
      ++cancelled;
      if (executed == "rolled_back") ++interrupted;
    }
    if (round % 100 != 0) continue;
    std::map<int64_t, int64_t> left = Left();
    left.erase(left.lower_bound(kOthers), left.end());
    ASSERT_EQ(left, expected);
    expected.clear();
    ASSERT_THAT(Ask("DELETE FROM storm WHERE nonce < $1", {Int(kOthers)}), IsOk());
  }
  stop = true;
  other.join();
  EXPECT_EQ(harmed, 0);
  for (int64_t i = 0; i < others; ++i) expected[kOthers + i] = 1;
  EXPECT_EQ(Left(), expected);
  EXPECT_GT(cancelled, rounds * 5);
  EXPECT_GT(kept, rounds * 5);
  EXPECT_GT(interrupted, 0);
  EXPECT_EQ(database_->Load().queued, 0);
  EXPECT_EQ(database_->Load().active, 0);
}

// Cancels that land about when the statement ends; whatever comes next uses the same connection.
TEST_F(SqliteWriteStorm, Fault33_ALateCancelNeverHitsWhatComesNext) {
  db::SqliteSettings settings;
  settings.readers = 1;
  settings.loop_budget = 0;
  OpenStorm(settings);
  constexpr char kSlowRead[] =
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $1) SELECT "
      "count(*) FROM c";
  const int64_t races = Times(100'000, /*by_day=*/20'000);
  const int64_t plugs = Number("SELECT count(*) FROM plug");
  int64_t written = 0;
  for (const bool writes : {true, false}) {
    const char* const sql = writes ? kSlowInsert : kSlowRead;
    const std::initializer_list<pb::Value> some = {Int(300)};
    int64_t kept = 0;
    int64_t nanos = 100'000;
    std::minstd_rand random(33);
    for (int64_t i = 0; i < races; ++i) {
      Call call;
      Pending first(executor_, *database_, sql, call.ctx(), some);
      executor_.RunUntilIdle();
      Spin(random, 2 * nanos);
      call.Cancel();
      const std::initializer_list<pb::Value> nonce = {Int(i)};
      Pending next(executor_, *database_, writes ? kOne : sql, {}, writes ? nonce : some);
      ASSERT_THAT(next.Wait(), IsOk()) << i;
      const bool done = first.Wait().ok();
      if (!done) {
        ASSERT_EQ(first.Wait().status().code(), StatusCode::kCancelled);
      }
      kept += done ? 1 : 0;
      // To where it is even.
      nanos = std::clamp<int64_t>(nanos + (done ? -nanos : nanos) / 50, 1000, 5'000'000);
    }
    EXPECT_GT(kept, races / 10);
    EXPECT_LT(kept, races * 9 / 10);
    if (writes) written = kept;
  }
  EXPECT_EQ(Left().size(), static_cast<size_t>(races));
  EXPECT_EQ(Number("SELECT count(*) FROM plug"), plugs + written);
}

// The member that is cancelled has finished, and waits for the others' commit: it is told that it
// was written, and it is.
TEST_F(SqliteWriteStorm, Fault33_ACancelThatComesTooLateChangesNothing) {
  OpenStorm();
  for (int64_t round = 0; round < 20; ++round) {
    started_.clear();
    Hold();
    Call early;
    Call last;
    Pending& done = Start(kOne, {Int(round)}, early.ctx());
    Pending& next = Start(kOne, {Int(100 + round)});
    Pending& endless = Start(kSlowInsert, {Int(200'000)}, last.ctx());
    ASSERT_TRUE(UntilQueued(3));
    Release();
    ASSERT_TRUE(UntilActive(3));
    early.Cancel();
    EXPECT_THAT(next.Wait(), IsOk());
    EXPECT_THAT(endless.Wait(), IsOk());
    EXPECT_THAT(done.Wait(), IsOk());
  }
  EXPECT_EQ(Left().size(), 40u);
}

TEST_F(SqliteWriteStorm, Fault63_EndingOneMemberAfterAnotherHarmsNone) {
  OpenStorm();
  for (int64_t round = 0; round < 5; ++round) {
    started_.clear();
    Hold();
    const db::WriterStats before = Stats();
    std::vector<std::unique_ptr<Call>> calls;
    for (int64_t i = 0; i < 12; ++i) {
      calls.push_back(std::make_unique<Call>());
      const bool endless = i % 3 == 1;
      Start(endless ? kSlowInsert : kMany, {Int(endless ? kForever : round * 100 + i)},
            calls.back()->ctx());
    }
    ASSERT_TRUE(UntilQueued(12));
    Release();
    for (int64_t i = 1; i < 12; i += 3) {
      ASSERT_TRUE(UntilActive(i + 1));
      calls[static_cast<size_t>(i)]->Cancel();
    }
    for (size_t i = 0; i < started_.size(); ++i) {
      const absl::Status status = started_[i]->Wait().status();
      if (i % 3 == 1) {
        EXPECT_EQ(status.code(), StatusCode::kCancelled);
      } else {
        EXPECT_THAT(status, IsOk());
      }
    }
    EXPECT_EQ(Stats().reruns, before.reruns + 4);
    EXPECT_EQ(Stats().groups, before.groups + 1);
  }
  const std::map<int64_t, int64_t> left = Left();
  EXPECT_EQ(left.size(), 40u);
  for (const auto& [nonce, rows] : left) EXPECT_EQ(rows, 1000) << nonce;
}

// A close in the middle of a group: what was acknowledged is there, what was refused is not.
TEST_F(SqliteWriteStorm, ACloseAnswersEveryMemberAsItIs) {
  for (unsigned round = 0; round < 5; ++round) {
    if (round == 0) {
      OpenStorm();
    } else {
      Open();
    }
    started_.clear();
    ASSERT_THAT(Ask(kOne, {Int(1000 * (round + 1))}), IsOk());
    for (int64_t i = 1; i <= 100; ++i)
      Start(i % 10 == 0 ? kMany : kOne, {Int(1000 * (round + 1) + i)});
    std::minstd_rand random(round + 1);
    executor_.RunUntilIdle();
    Spin(random, 3'000'000);
    std::thread closer([&] { database_->Close(); });
    std::set<int64_t> kept = {1000 * (round + 1)};
    for (size_t i = 0; i < started_.size(); ++i) {
      const absl::Status status = started_[i]->Wait().status();
      if (status.ok()) {
        kept.insert(1000 * (round + 1) + static_cast<int64_t>(i) + 1);
      } else {
        const std::string executed = errors::MetadataOf(status, "executed");
        EXPECT_TRUE(executed == "no" || executed == "rolled_back") << status;
      }
    }
    closer.join();
    started_.clear();
    database_ = nullptr;
    Open();
    std::set<int64_t> there;
    for (const auto& [nonce, rows] : Left()) {
      if (nonce >= 1000 * (round + 1)) there.insert(nonce);
    }
    EXPECT_EQ(there, kept);
    database_->Close();
    database_ = nullptr;
  }
}

}  // namespace
}  // namespace sluice::test
