// Request ids: a write that is asked for twice happens once, and is answered twice.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_group_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

class SqliteRequestLog : public SqliteGroupTest {
 protected:
  void SetUp() override { OpenWithTables(); }

  absl::StatusOr<pb::QueryResponse> Once(const db::RequestKey& key,
                                         absl::string_view sql,
                                         std::initializer_list<pb::Value> params = {}) {
    Pending pending(executor_, *database_, sql, {}, params,
                    [&](db::Statement& each) { each.request = &key; });
    return Parse(pending.Wait());
  }

  absl::StatusOr<std::vector<pb::StreamQueryResponse>> StreamOnce(const db::RequestKey& key,
                                                                  absl::string_view sql) {
    db::Statement statement(sql);
    statement.chunk_bytes = 4096;
    statement.request = &key;
    return ReadAll(executor_, *database_, statement);
  }

  void Reopen() {
    database_->Close();
    database_ = nullptr;
    Open();
    Settle();
  }

  int64_t Remembered() {
    Outsider outsider(path_);
    return outsider.Number("SELECT count(*) FROM _sluice_request");
  }
};

TEST_F(SqliteRequestLog, ARepeatAnswersWhatTheFirstOneAnswered) {
  constexpr char kAuto[] = "INSERT INTO item (word) VALUES ($1) RETURNING id, word";
  const db::RequestKey key = MakeKey("one", "c");
  const auto first = Once(key, kAuto, {Text("w")});
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->rows_size(), 1);
  ASSERT_THAT(Ask("INSERT INTO item (word) VALUES ('between')"), IsOk());
  for (int i = 0; i < 3; ++i) {
    const auto repeat = Once(key, kAuto, {Text("w")});
    ASSERT_THAT(repeat, IsOk());
    EXPECT_EQ(repeat->SerializeAsString(), first->SerializeAsString());
    if (i == 1) Reopen();
  }
  EXPECT_EQ(Items(), 3);
  EXPECT_THAT(Once(MakeKey("two", "c"), kAuto, {Text("w")}), IsOk());
  EXPECT_EQ(Items(), 4);
}

TEST_F(SqliteRequestLog, ScopeIdAndPartMakeAKey) {
  constexpr char kAuto[] = "INSERT INTO item (word) VALUES ('w')";
  db::RequestKey key = MakeKey("one", "c");
  ASSERT_THAT(Once(key, kAuto), IsOk());
  key.scope = std::string(16, 't');
  ASSERT_THAT(Once(key, kAuto), IsOk());
  key.part = 1;
  ASSERT_THAT(Once(key, kAuto), IsOk());
  ASSERT_THAT(Once(key, kAuto), IsOk());
  EXPECT_EQ(Items(), 4);
}

TEST_F(SqliteRequestLog, OtherContentIsRefusedAndNotRun) {
  ASSERT_THAT(Once(MakeKey("one", "c"), kInsert, {Int(1), Text("a")}), IsOk());
  const auto refused = Once(MakeKey("one", "d"), kInsert, {Int(2), Text("a")});
  EXPECT_THAT(refused, Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  EXPECT_EQ(Items(), 2);
}

TEST_F(SqliteRequestLog, TheSameIdManyTimesInOneGroupWritesOnce) {
  constexpr char kAuto[] = "INSERT INTO item (word) VALUES ('once')";
  Know(kAuto);
  const db::RequestKey key = MakeKey("one", "c");
  const db::RequestKey other = MakeKey("one", "d");
  const auto with = [](const db::RequestKey& which) {
    return [&which](db::Statement& each) { each.request = &which; };
  };
  Hold();
  const db::WriterStats before = Stats();
  for (int i = 0; i < 20; ++i) Start(kAuto, {}, {}, with(key));
  Pending& refused = Start(kAuto, {}, {}, with(other));
  Call call;
  Pending& endless = Start(kSlowInsert, {Int(kForever)}, call.ctx());
  ASSERT_TRUE(UntilQueued(22));
  Release();
  ASSERT_TRUE(UntilActive(22));
  call.Cancel();  // all of it runs again
  EXPECT_FALSE(endless.Wait().ok());
  EXPECT_THAT(refused.Wait(), Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  const int64_t rowid = started_[0]->Wait()->last_insert_rowid;
  for (size_t i = 0; i < 20; ++i) {
    ASSERT_THAT(started_[i]->Wait(), IsOk());
    EXPECT_EQ(started_[i]->Wait()->last_insert_rowid, rowid);
  }
  EXPECT_EQ(Stats().groups, before.groups + 1);
  EXPECT_EQ(Items(), 2);
  EXPECT_EQ(Remembered(), 1);
}

TEST_F(SqliteRequestLog, WhatFailedOrWasOnlyTriedIsNotStored) {
  const db::RequestKey key = MakeKey("one", "c");
  EXPECT_EQ(Once(key, kInsert, {Int(0), Text("a")}).status().code(), StatusCode::kAlreadyExists);
  ASSERT_THAT(Ask("DELETE FROM item"), IsOk());
  const std::initializer_list<pb::Value> values = {Int(0), Text("a")};
  Pending trial(executor_, *database_, kInsert, {}, values, [&](db::Statement& each) {
    each.request = &key;
    each.validate_only = true;
  });
  EXPECT_THAT(trial.Wait(), IsOk());
  EXPECT_EQ(Items(), 0);
  EXPECT_THAT(Once(key, kInsert, {Int(0), Text("a")}), IsOk());
  EXPECT_EQ(Items(), 1);

  // Cancelled in its turn.
  const db::RequestKey second = MakeKey("two", "c");
  Call call;
  const std::initializer_list<pb::Value> forever = {Int(kForever)};
  Pending endless(executor_, *database_, kSlowInsert, call.ctx(), forever,
                  [&](db::Statement& each) { each.request = &second; });
  ASSERT_TRUE(UntilActive(1));
  call.Cancel();
  EXPECT_THAT(endless.Wait(), WasExecuted("rolled_back"));
  EXPECT_EQ(Remembered(), 1);
  EXPECT_THAT(Once(second, kInsert, {Int(7), Text("b")}), IsOk());
}

TEST_F(SqliteRequestLog, AReadIsRunAgain) {
  const db::RequestKey key = MakeKey("one", "c");
  for (int i = 0; i < 3; ++i) {
    const auto read = Once(key, "SELECT count(*) FROM item");
    ASSERT_THAT(read, IsOk());
    EXPECT_EQ(read->rows(0).values(0).int64_value(), 1 + i);
    ASSERT_THAT(Ask(kInsert, {Int(i + 1), Text("w")}), IsOk());
  }
  const db::RequestKey other = MakeKey("two", "c");
  for (const bool again : {false, true}) {
    BatchMaker batch;
    batch.Add("SELECT count(*) FROM item").Add("SELECT max(id) FROM item");
    batch.batch.request = &other;
    const auto results = Execute(executor_, *database_, batch.batch);
    ASSERT_THAT(results, IsOk());
    EXPECT_EQ(Parse((*results)[0])->rows(0).values(0).int64_value(), again ? 5 : 4);
    ASSERT_THAT(Ask(kInsert, {Int(again ? 101 : 100), Text("w")}), IsOk());
    Reopen();  // forgets which statements read
  }
  EXPECT_EQ(Remembered(), -1);  // there is no such table
}

TEST_F(SqliteRequestLog, AChangeOfTheSchemaCanBeRepeated) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Once(MakeKey("create", "c"), "CREATE TABLE made (a INTEGER)"), IsOk());
    EXPECT_THAT(Once(MakeKey("alter", "c"), "ALTER TABLE made ADD COLUMN b INTEGER"), IsOk());
    if (i == 1) Reopen();
  }
  EXPECT_THAT(Ask("SELECT a, b FROM made"), IsOk());
}

TEST_F(SqliteRequestLog, ALongAnswerIsNotKeptButWasGivenOnce) {
  MakeNumbers(1000);
  constexpr char kLong[] = "UPDATE number SET word = hex(zeroblob(100)) RETURNING n, word";
  const db::RequestKey key = MakeKey("one", "c");
  ASSERT_THAT(Once(key, kLong), IsOk());
  const auto repeat = Once(key, kLong);
  EXPECT_THAT(repeat, Fails(StatusCode::kFailedPrecondition, "REPLAY_TOO_LARGE"));
  EXPECT_EQ(errors::MetadataOf(repeat.status(), "outcome"), "committed");
  EXPECT_THAT(Once(MakeKey("one", "d"), kLong),
              Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
}

TEST_F(SqliteRequestLog, AStreamIsReplayedChunkByChunk) {
  MakeNumbers(800);
  constexpr char kStreamed[] = "UPDATE number SET word = word || '!' RETURNING n, word";
  const db::RequestKey key = MakeKey("one", "c");
  const auto first = StreamOnce(key, kStreamed);
  ASSERT_THAT(first, IsOk());
  EXPECT_GT(first->size(), 3u);
  Reopen();
  const auto repeat = StreamOnce(key, kStreamed);
  ASSERT_THAT(repeat, IsOk());
  ASSERT_EQ(repeat->size(), first->size());
  for (size_t i = 0; i < first->size(); ++i) {
    EXPECT_EQ((*repeat)[i].SerializeAsString(), (*first)[i].SerializeAsString());
  }
  EXPECT_EQ(Number("SELECT count(*) FROM number WHERE word LIKE '%!!'"), 0);
}

TEST_F(SqliteRequestLog, ABatchIsReplayedWithTheFailuresOfItsSteps) {
  const db::RequestKey key = MakeKey("one", "c");
  std::vector<absl::Status> failures;
  for (int i = 0; i < 3; ++i) {
    BatchMaker batch(db::BatchMode::kContinue);
    batch.Add(kInsert, {Int(1), Text("a")}).Add(kInsert, {Int(0), Text("a")});
    batch.Add("INSERT OR ROLLBACK INTO item (id) VALUES (0)");
    batch.Add("SELECT * FROM missing").Add("SELECT count(*) FROM item");
    batch.batch.request = &key;
    const auto results = Execute(executor_, *database_, batch.batch);
    ASSERT_THAT(results, IsOk());
    ASSERT_EQ(results->size(), 5u);
    EXPECT_EQ((*results)[0]->last_insert_rowid, 1);
    EXPECT_EQ((*results)[1].status().code(), StatusCode::kAlreadyExists);
    EXPECT_EQ((*results)[2].status().code(), StatusCode::kAlreadyExists);
    EXPECT_THAT((*results)[3], Fails(StatusCode::kInvalidArgument, "SQL_ERROR"));
    EXPECT_EQ(Parse((*results)[4])->rows(0).values(0).int64_value(), 2);
    failures.push_back((*results)[3].status());
    if (i == 0) ASSERT_THAT(Ask("CREATE TABLE missing (a INTEGER)"), IsOk());
    if (i == 1) Reopen();
  }
  EXPECT_THAT(failures, ::testing::Each(failures[0]));

  // Nothing was written, but a failure was told.
  const db::RequestKey failed = MakeKey("two", "c");
  for (int i = 0; i < 2; ++i) {
    BatchMaker batch(db::BatchMode::kContinue);
    batch.Add("INSERT INTO later (a) VALUES (1)");
    batch.batch.request = &failed;
    const auto results = Execute(executor_, *database_, batch.batch);
    ASSERT_THAT(results, IsOk());
    EXPECT_FALSE((*results)[0].ok());
    if (i == 0) ASSERT_THAT(Ask("CREATE TABLE later (a INTEGER)"), IsOk());
  }
  EXPECT_EQ(Number("SELECT count(*) FROM later"), 0);
}

TEST_F(SqliteRequestLog, WhatIsOlderThanADayIsForgotten) {
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(Once(MakeKey(absl::StrCat("old", i), "c"), kInsert, {Int(i + 1), Text("w")}),
                IsOk());
  }
  Outsider outsider(path_);
  ASSERT_EQ(outsider.Run("UPDATE _sluice_request SET created = created - 86000 WHERE seq = 10"), 0);
  ASSERT_EQ(outsider.Run("UPDATE _sluice_request SET created = created - 86401 WHERE seq < 10"), 0);
  EXPECT_THAT(Once(MakeKey("old9", "c"), kInsert, {Int(10), Text("w")}), IsOk());  // almost a day
  EXPECT_EQ(Once(MakeKey("old0", "c"), kInsert, {Int(1), Text("w")}).status().code(),
            StatusCode::kAlreadyExists);  // runs anew
  EXPECT_THAT(Once(MakeKey("old1", "d"), kInsert, {Int(102), Text("w")}), IsOk());
  EXPECT_THAT(Once(MakeKey("old1", "d"), kInsert, {Int(102), Text("w")}), IsOk());
  EXPECT_EQ(Items(), 12);
  // Whatever comes takes old ones with it.
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(Once(MakeKey(absl::StrCat("new", i), "c"), kInsert, {Int(i + 200), Text("w")}),
                IsOk());
  }
  EXPECT_EQ(Remembered(), 7);
  EXPECT_EQ(outsider.Number("SELECT count(*) FROM _sluice_request WHERE created < unixepoch() - "
                            "86400"),
            0);
}

TEST_F(SqliteRequestLog, TheTableIsTheServersOwn) {
  ASSERT_THAT(Once(MakeKey("one", "c"), kInsert, {Int(1), Text("w")}), IsOk());
  for (const char* const sql :
       {"SELECT * FROM _sluice_request", "SELECT count(*) FROM _SLUICE_REQUEST",
        "DELETE FROM _sluice_request", "UPDATE _sluice_request SET created = 0",
        "INSERT INTO _sluice_request (seq) VALUES (9)", "DROP TABLE _sluice_request",
        "ALTER TABLE _sluice_request RENAME TO mine", "CREATE INDEX i ON _sluice_request (created)",
        "CREATE VIEW v AS SELECT * FROM _sluice_request",
        "CREATE TRIGGER t AFTER INSERT ON _sluice_request BEGIN SELECT 1; END"}) {
    EXPECT_EQ(Ask(sql).status().code(), StatusCode::kPermissionDenied) << sql;
  }
  db::LoadTarget target;
  target.table = "_sluice_request";
  target.columns = {"seq"};
  EXPECT_FALSE(LoadAll(executor_, *database_, target, {MakeRows({{Int(9)}})}).ok());
  EXPECT_EQ(Remembered(), 1);
}

TEST_F(SqliteRequestLog, WhatMustNotWriteIsNotRepeatedEither) {
  const db::RequestKey key = MakeKey("one", "c");
  ASSERT_THAT(Once(key, kInsert, {Int(1), Text("w")}), IsOk());
  const std::initializer_list<pb::Value> values = {Int(1), Text("w")};
  Pending read_only(executor_, *database_, kInsert, {}, values, [&](db::Statement& each) {
    each.request = &key;
    each.read_only = true;
  });
  EXPECT_THAT(read_only.Wait(), Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  EXPECT_EQ(Items(), 2);
}

// From many threads, each of which is told the same.
TEST_F(SqliteRequestLog, ARaceOfTheSameIdWritesOnce) {
  constexpr int kRounds = 50;
  constexpr char kAuto[] = "INSERT INTO item (word) VALUES ('raced') RETURNING id";
  std::vector<std::vector<int64_t>> told(4, std::vector<int64_t>(kRounds, -1));
  std::vector<std::thread> threads;
  for (auto& ids : told) {
    threads.emplace_back([&] {
      ManualExecutor executor;
      for (int round = 0; round < kRounds; ++round) {
        const db::RequestKey key = MakeKey(absl::StrCat("race", round), "c");
        Pending pending(executor, *database_, kAuto, {}, {},
                        [&](db::Statement& each) { each.request = &key; });
        const auto reply = Parse(pending.Wait());
        if (reply.ok()) ids[static_cast<size_t>(round)] = reply->rows(0).values(0).int64_value();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(told, ::testing::Each(told[0]));
  EXPECT_THAT(told[0], ::testing::Each(::testing::Gt(0)));
  EXPECT_EQ(Items(), 1 + kRounds);
  EXPECT_EQ(Remembered(), kRounds);
}

}  // namespace
}  // namespace sluice::test
