// Loads: which of them go through COPY, and that nobody can tell by what they do, on a real server.
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/async/task.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/database.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/postgres.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using db::BatchMode;

constexpr int kRows = 100;  // enough for COPY
constexpr int kBlobs = 300;
constexpr size_t kBlobBytes = 64 << 10;  // and all of them far more than a socket takes

pb::Value Numeric(absl::string_view text) {
  pb::Value value;
  value.set_numeric_value(std::string(text));
  return value;
}

class PostgresLoadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEED_POSTGRES();
    server_.emplace();
    // A statement that inserts is counted once, however many rows it has.
    server_->Psql(
        "CREATE TABLE statement(n serial); CREATE FUNCTION count_it() RETURNS trigger LANGUAGE "
        "plpgsql AS $$ BEGIN INSERT INTO statement DEFAULT VALUES; RETURN NULL; END $$");
  }

  void TearDown() override {
    if (database_ != nullptr) database_->Close();
  }

  void Open() {
    auto opened = OpenPostgres(executor_, *server_);
    ASSERT_THAT(opened, IsOk());
    database_ = *std::move(opened);
  }

  // A table t whose statements are counted.
  void MakeTable(const std::string& columns) {
    server_->Psql(absl::StrCat("CREATE TABLE t(", columns, ")"));
    CountStatements("t");
    Open();
  }

  void CountStatements(const std::string& table) {
    server_->Psql(absl::StrCat("CREATE TRIGGER counts AFTER INSERT ON ", table,
                               " FOR EACH STATEMENT EXECUTE FUNCTION count_it()"));
  }

  // Runs this for each row, before it is inserted.
  void BeforeEachRow(const std::string& body) {
    server_->Psql(absl::StrCat("CREATE FUNCTION before_row() RETURNS trigger LANGUAGE plpgsql AS ",
                               "$$ BEGIN ", body, " RETURN NEW; END $$; CREATE TRIGGER before_row ",
                               "BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION before_row()"));
  }

  std::string Psql(const std::string& sql) { return server_->Psql(sql); }

  // 0: nothing was inserted.
  int Statements() { return std::stoi(Psql("SELECT count(*) FROM statement")); }

  static db::LoadTarget Target(BatchMode mode = BatchMode::kAtomic) {
    db::LoadTarget target;
    target.table = "t";
    target.mode = mode;
    return target;
  }

  // Rows of an integer.
  static LoadRows Numbers(int from, int count) {
    LoadRows rows;
    for (int i = 0; i < count; ++i) *rows.Add()->add_values() = Int(from + i);
    return rows;
  }

  // The same with something large after it.
  static LoadRows Blobs() {
    LoadRows rows = Numbers(0, kBlobs);
    for (pb::Row& row : rows) *row.add_values() = Bytes(std::string(kBlobBytes, 'x'));
    return rows;
  }

  // So many times the same row.
  static LoadRows Repeat(std::initializer_list<pb::Value> row) {
    LoadRows rows;
    for (int i = 0; i < kRows; ++i) *rows.Add() = MakeRows({row}).Get(0);
    return rows;
  }

  absl::StatusOr<std::vector<db::ChunkOutcome>> Load(const db::LoadTarget& target,
                                                     const std::vector<LoadRows>& chunks,
                                                     const Context& ctx = {}) {
    return LoadAll(executor_, *database_, target, chunks, ctx);
  }

  // What was loaded is there, and came by that many statements.
  void LoadsBy(int statements, const db::LoadTarget& target, const LoadRows& rows) {
    const auto loaded = Load(target, {rows});
    ASSERT_THAT(loaded, IsOk());
    ASSERT_EQ(loaded->size(), 1u);
    EXPECT_THAT(loaded->front().status, IsOk());
    EXPECT_EQ(loaded->front().rows_affected, rows.size());
    EXPECT_EQ(Statements(), statements);
  }

  // The pool has a connection that answers, and none is in use.
  void StillServes() {
    const auto answer = Execute(executor_, *database_, "SELECT 1 /* advisory: not on a lane */");
    ASSERT_THAT(answer, IsOk());
    EXPECT_EQ(answer->rows(0).values(0).int64_value(), 1);
    EXPECT_EQ(database_->Load().active, 0);
  }

  absl::Status Add(db::Load& load, LoadRows rows) {
    db::LoadChunk chunk;
    chunk.rows = std::make_shared<const LoadRows>(std::move(rows));
    return executor_.Run(load.Add(Context(), std::move(chunk), ""));
  }

  static Task<absl::StatusOr<std::vector<db::ChunkOutcome>>> LoadSoon(db::Database& database,
                                                                      Context ctx,
                                                                      db::LoadTarget target,
                                                                      LoadRows rows) {
    CO_TRY(const auto load, co_await database.OpenLoad(ctx, std::move(target)));
    db::LoadChunk chunk;
    chunk.rows = std::make_shared<const LoadRows>(std::move(rows));
    CO_CHECK(co_await load->Add(ctx, std::move(chunk), ""));
    CO_CHECK(co_await load->Finish(ctx, ""));
    co_return load->TakeOutcomes();
  }

  int Sleepers() {
    return std::stoi(
        Psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND "
             "datname = current_database()"));
  }

  void WaitForSleepers(int count) {
    RunUntil(executor_, [&] { return Sleepers() == count; });
  }

  ManualExecutor executor_;
  std::optional<TestDatabase> server_;
  std::shared_ptr<db::Database> database_;
};

TEST_F(PostgresLoadTest, AChunkIsOneStatement) {
  MakeTable("n int PRIMARY KEY");
  const auto loaded = Load(Target(), {Numbers(0, kRows), Numbers(kRows, kRows)});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ((*loaded)[1].rows_affected, kRows);
  EXPECT_EQ(Statements(), 2);
  EXPECT_EQ(Psql("SELECT count(*), min(n), max(n) FROM t"), absl::StrCat("200|0|199"));
  StillServes();
}

TEST_F(PostgresLoadTest, EveryModeCopies) {
  MakeTable("n int PRIMARY KEY");
  LoadsBy(1, Target(BatchMode::kStopOnError), Numbers(0, kRows));
  LoadsBy(2, Target(BatchMode::kContinue), Numbers(kRows, kRows));
  db::LoadTarget trial = Target();
  trial.validate_only = true;
  LoadsBy(2, trial, Numbers(2 * kRows, kRows));
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "200");
}

TEST_F(PostgresLoadTest, ATransactionGoesOnAfterALoadInIt) {
  MakeTable("n int PRIMARY KEY");
  for (const BatchMode mode : {BatchMode::kAtomic, BatchMode::kContinue}) {
    auto transaction = database_->Begin(db::TransactionOptions());
    ASSERT_THAT(transaction, IsOk());
    ASSERT_THAT(Execute(executor_, **transaction, "DELETE FROM t"), IsOk());
    ASSERT_THAT(
        LoadAll(executor_, **transaction, Target(mode), {Numbers(0, kRows), Numbers(kRows, kRows)}),
        IsOk());
    const auto counted = Execute(executor_, **transaction, "SELECT count(*) FROM t");
    ASSERT_THAT(counted, IsOk());
    EXPECT_EQ(counted->rows(0).values(0).int64_value(), 2 * kRows);
    ASSERT_THAT(executor_.Run((*transaction)->Commit(nullptr)), IsOk());
    EXPECT_EQ(Psql("SELECT count(*) FROM t"), "200");
  }
  EXPECT_EQ(Statements(), 4);
}

TEST_F(PostgresLoadTest, MoreThanASocketTakesArrivesWhole) {
  MakeTable("n int, bytes bytea");
  LoadsBy(1, Target(), Blobs());
  EXPECT_EQ(Psql("SELECT count(*), sum(n), sum(length(bytes)) FROM t"),
            absl::StrCat(kBlobs, "|", kBlobs * (kBlobs - 1) / 2, "|", kBlobs * kBlobBytes));
}

TEST_F(PostgresLoadTest, ValuesAreTheSameThroughCopy) {
  MakeTable(
      "b bool, i2 smallint, i8 bigint, f4 real, f8 double precision, s varchar(5), c char(3), "
      "y bytea, d date, ts timestamp(0), tz timestamptz, j jsonb, u uuid, a int[]");
  pb::Value date;
  date.mutable_date_value()->set_days(-1);
  pb::Value stamp;
  stamp.mutable_timestamp_value()->set_micros(1'700'000);
  pb::Value never;
  never.mutable_timestamptz_value()->set_infinity(pb::INFINITY_POSITIVE);
  pb::Value array;
  array.mutable_array_value()->add_dimensions(2);
  *array.mutable_array_value()->add_values() = Int(7);
  *array.mutable_array_value()->add_values() = Null();
  LoadsBy(
      1, Target(),
      Repeat({Bool(true), Int(-2), Int(int64_t{1} << 40), Real(0.1), Real(-1e300),
              Text("z\xc3\xa9 \t"), Text("x"), Bytes(std::string("\0\\n", 3)), date, stamp, never,
              Text("{\"a\": [1, null]}"), Text("00112233-4455-6677-8899-aabbccddeeff"), array}));
  EXPECT_EQ(Psql("SELECT DISTINCT b, i2, i8, f4, f8, s = E'z\\u00e9 \\t', c, y, d, ts, tz, j, u, a "
                 "FROM t"),
            "t|-2|1099511627776|0.1|-1e+300|t|x  |\\x005c6e|1969-12-31|1970-01-01 00:00:02|"
            "infinity|{\"a\": [1, null]}|00112233-4455-6677-8899-aabbccddeeff|{7,NULL}");
}

TEST_F(PostgresLoadTest, ValuesThatOnlyHaveATextFormAreCopiedAsText) {
  MakeTable("n numeric(12, 2), i inet, s text, e text, z text, t timestamptz, y bytea, a text[]");
  pb::Value array;
  array.mutable_array_value()->add_dimensions(3);
  for (const char* const each : {"a,b", "\"\\", ""}) {
    *array.mutable_array_value()->add_values() = Text(each);
  }
  LoadsBy(1, Target(),
          Repeat({Numeric("-1234567890.125"), Text("10.0.0.1"), Text("a\tb\nc\rd\\N\\."), Text(""),
                  Null(), Text("2024-02-29 12:00:00Z"), Bytes(std::string("\0\\\n", 3)), array}));
  EXPECT_EQ(Psql("SELECT DISTINCT n, i, s = E'a\\tb\\nc\\rd\\\\N\\\\.', e = '', z IS NULL, "
                 "t = '2024-02-29 12:00:00+00', y, a = ARRAY['a,b', E'\"\\\\', ''] FROM t"),
            "-1234567890.13|10.0.0.1|t|t|t|t|\\x005c0a|t");
}

TEST_F(PostgresLoadTest, AColumnOfEndMarksIsNoEnd) {
  MakeTable("s text, n numeric");
  db::LoadTarget target = Target();
  target.columns = {"s", "n"};
  LoadsBy(1, target, Repeat({Text("\\."), Numeric("1")}));
  EXPECT_EQ(Psql("SELECT count(*) FROM t WHERE s = E'\\\\.'"), "100");
}

TEST_F(PostgresLoadTest, TypesOfTheDatabaseItselfAreCopiedOnceTheyAreKnown) {
  server_->Psql("CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN small AS int");
  MakeTable("m mood, s small, PRIMARY KEY (s)");
  const auto rows = [](int from) {
    LoadRows made;
    for (int i = 0; i < kRows; ++i) {
      *made.Add() = MakeRows({{Text(i % 2 == 0 ? "sad" : "glad"), Int(from + i)}}).Get(0);
    }
    return made;
  };
  const auto loaded = Load(Target(), {rows(0), rows(kRows), rows(2 * kRows)});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(Statements(), kRows + 2);
  EXPECT_EQ(Psql("SELECT m, count(*) FROM t GROUP BY m ORDER BY m"), "sad|150\nglad|150");
}

TEST_F(PostgresLoadTest, WhatIsLeftOutHasItsDefault) {
  MakeTable(
      "n int, d text DEFAULT 'none', s serial, g int GENERATED ALWAYS AS (n * 2) STORED, "
      "i int GENERATED ALWAYS AS IDENTITY, z int");
  db::LoadTarget target = Target();
  target.columns = {"z", "n"};
  LoadsBy(1, target, Repeat({Null(), Int(4)}));
  EXPECT_EQ(Psql("SELECT count(DISTINCT s), count(DISTINCT i), min(g), min(d), count(z) FROM t"),
            "100|100|8|none|0");
}

TEST_F(PostgresLoadTest, ColumnsThatCannotBeWrittenAreRefusedAsEver) {
  MakeTable("n int, g int GENERATED ALWAYS AS (n * 2) STORED, i int GENERATED ALWAYS AS IDENTITY");
  for (const char* const column : {"g", "i"}) {
    db::LoadTarget target = Target();
    target.columns = {"n", column};
    EXPECT_THAT(Load(target, {Repeat({Int(1), Int(2)})}), ::testing::Not(IsOk())) << column;
  }
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "0");
}

TEST_F(PostgresLoadTest, ANameInNeedOfQuotesIsCopiedInto) {
  server_->Psql("CREATE SCHEMA \"S;\"; CREATE TABLE \"S;\".\"a \"\"b\"(\"x,\" int)");
  CountStatements("\"S;\".\"a \"\"b\"");
  Open();
  db::LoadTarget target = Target();
  target.schema = "S;";
  target.table = "a \"b";
  target.columns = {"x,"};
  LoadsBy(1, target, Numbers(0, kRows));
}

TEST_F(PostgresLoadTest, APartitionedTableIsCopiedInto) {
  server_->Psql(
      "CREATE TABLE t(n int) PARTITION BY RANGE (n); CREATE TABLE low PARTITION OF t FOR VALUES "
      "FROM (0) TO (50); CREATE TABLE high PARTITION OF t FOR VALUES FROM (50) TO (100)");
  CountStatements("t");
  Open();
  LoadsBy(1, Target(), Numbers(0, kRows));
  EXPECT_EQ(Psql("SELECT count(*) FROM high"), "50");
}

TEST_F(PostgresLoadTest, RowsThatATriggerLeavesOutAreNotCounted) {
  MakeTable("n int");
  BeforeEachRow("IF NEW.n % 2 = 0 THEN RETURN NULL; END IF;");
  const auto loaded = Load(Target(), {Numbers(0, kRows)});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->front().rows_affected, kRows / 2);
}

TEST_F(PostgresLoadTest, AFewRowsAreInserted) {
  MakeTable("n int");
  LoadsBy(3, Target(), Numbers(0, 3));
}

TEST_F(PostgresLoadTest, WithAConflictActionRowsAreInserted) {
  MakeTable("n int PRIMARY KEY");
  db::LoadTarget target = Target();
  target.on_conflict = db::ConflictAction::kSkip;
  LoadsBy(kRows, target, Numbers(0, kRows));
}

TEST_F(PostgresLoadTest, PoliciesAreKept) {
  MakeTable("n int");
  server_->Psql("ALTER TABLE t ENABLE ROW LEVEL SECURITY");
  LoadsBy(kRows, Target(), Numbers(0, kRows));
}

TEST_F(PostgresLoadTest, RulesAreKept) {
  MakeTable("n int");
  server_->Psql(
      "CREATE TABLE kept(n int); CREATE RULE keep AS ON INSERT TO t DO ALSO INSERT INTO kept "
      "VALUES (NEW.n)");
  LoadsBy(kRows, Target(), Numbers(0, kRows));
  EXPECT_EQ(Psql("SELECT count(*) FROM kept"), "100");
}

TEST_F(PostgresLoadTest, ViewsAreInsertedInto) {
  server_->Psql("CREATE TABLE below(n int); CREATE VIEW t AS SELECT n FROM below");
  CountStatements("below");
  Open();
  LoadsBy(kRows, Target(), Numbers(0, kRows));
}

TEST_F(PostgresLoadTest, ValuesInAFormOfTheServersOwnAreInserted) {
  MakeTable("i inet, n numeric");
  pb::Value raw;
  raw.mutable_raw_value()->set_data(std::string("\x02\x20\x00\x04\x0a\x00\x00\x01", 8));
  raw.mutable_raw_value()->set_format(pb::Raw::FORMAT_BINARY);
  LoadsBy(kRows, Target(), Repeat({raw, Numeric("1")}));
  EXPECT_EQ(Psql("SELECT DISTINCT i, n FROM t"), "10.0.0.1|1");
}

TEST_F(PostgresLoadTest, AColumnWhoseTypeChangedIsNotMisread) {
  MakeTable("n bigint");
  LoadsBy(1, Target(), Numbers(0, kRows));
  server_->Psql("ALTER TABLE t ALTER n TYPE double precision");
  LoadsBy(2, Target(), Repeat({Real(1.5)}));
  EXPECT_EQ(Psql("SELECT sum(n) FROM t"), absl::StrCat(99 * 50 + 150));
}

TEST_F(PostgresLoadTest, ATypeThatChangesBetweenChunksIsNotMisread) {
  MakeTable("n bigint");
  auto load = executor_.Run(database_->OpenLoad(Context(), Target(BatchMode::kContinue)));
  ASSERT_THAT(load, IsOk());
  for (const char* const type : {"double precision", "timestamp", "bigint"}) {
    ASSERT_THAT(Add(**load, Numbers(0, kRows)), IsOk());
    const std::string sum = Psql("SELECT sum(n::text::int) FROM t");
    EXPECT_EQ(sum, absl::string_view(type) == "bigint" ? "" : "4950");
    server_->Psql(absl::StrCat("TRUNCATE t; ALTER TABLE t DROP n; ALTER TABLE t ADD n ", type));
  }
  const auto outcomes = (*load)->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_THAT(outcomes[0].status, IsOk());
  EXPECT_THAT(outcomes[1].status, IsOk());
  EXPECT_EQ(outcomes[2].status.code(), StatusCode::kInvalidArgument);
}

TEST_F(PostgresLoadTest, AnAtomicLoadNamesTheRowThatFailed) {
  MakeTable("n int PRIMARY KEY");
  LoadRows bad = Numbers(kRows, kRows);
  *bad.Mutable(40)->mutable_values(0) = Int(7);
  const auto failed = Load(Target(), {Numbers(0, kRows), bad});
  EXPECT_EQ(failed.status().code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(errors::MetadataOf(failed.status(), "row"), "140");
  EXPECT_EQ(errors::MetadataOf(failed.status(), "sqlstate"), "23505");
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "0");
  StillServes();
}

TEST_F(PostgresLoadTest, ChunksByThemselvesNameTheirRowsAndTheOthersStay) {
  MakeTable("n int CHECK (n <> 150)");
  for (const BatchMode mode : {BatchMode::kStopOnError, BatchMode::kContinue}) {
    const bool goes_on = mode == BatchMode::kContinue;
    server_->Psql("TRUNCATE t");
    const auto loaded =
        Load(Target(mode), {Numbers(0, kRows), Numbers(kRows, kRows), Numbers(2 * kRows, kRows)});
    ASSERT_THAT(loaded, IsOk());
    ASSERT_EQ(loaded->size(), goes_on ? 3u : 2u);
    EXPECT_THAT((*loaded)[0].status, IsOk());
    EXPECT_EQ(errors::MetadataOf((*loaded)[1].status, "row"), "150");
    EXPECT_EQ(errors::MetadataOf((*loaded)[1].status, "sqlstate"), "23514");
    EXPECT_EQ((*loaded)[1].rows_affected, 0);
    EXPECT_EQ(Psql("SELECT count(*) FROM t"), goes_on ? "200" : "100");
  }
  StillServes();
}

TEST_F(PostgresLoadTest, AChunkThatFailsInATransactionLeavesItAsItWas) {
  MakeTable("n int CHECK (n <> 150)");
  auto transaction = database_->Begin(db::TransactionOptions());
  ASSERT_THAT(transaction, IsOk());
  const auto loaded =
      LoadAll(executor_, **transaction, Target(BatchMode::kContinue),
              {Numbers(0, kRows), Numbers(kRows, kRows), Numbers(2 * kRows, kRows)});
  ASSERT_THAT(loaded, IsOk());
  ASSERT_EQ(loaded->size(), 3u);
  EXPECT_EQ(errors::MetadataOf((*loaded)[1].status, "row"), "150");
  ASSERT_THAT(executor_.Run((*transaction)->Commit(nullptr)), IsOk());
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "200");
}

TEST_F(PostgresLoadTest, AValueThatDoesNotFitNamesItsRowAndNothingIsSent) {
  MakeTable("n int");
  LoadRows bad = Numbers(0, kRows);
  *bad.Mutable(60)->mutable_values(0) = Bool(true);
  const auto failed = Load(Target(), {bad});
  EXPECT_EQ(failed.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(errors::MetadataOf(failed.status(), "row"), "60");
  bad.Mutable(60)->add_values();
  EXPECT_EQ(errors::MetadataOf(Load(Target(), {bad}).status(), "row"), "60");
  EXPECT_EQ(Statements(), 0);
}

TEST_F(PostgresLoadTest, WhatCopyCannotDoAtOnceIsDoneRowByRow) {
  MakeTable("n int");
  // One statement inserts them all for it, and this one is for one at a time.
  BeforeEachRow(
      "IF current_query() LIKE '%COPY%' THEN RAISE EXCEPTION 'row by row, please'; END IF;");
  LoadsBy(kRows, Target(), Numbers(0, kRows));
}

TEST_F(PostgresLoadTest, ACallThatIsStoppedWhileTheServerReadsEndsSoon) {
  MakeTable("n int, bytes bytea");
  BeforeEachRow("IF NEW.n = 150 THEN PERFORM pg_sleep(600); END IF;");
  const LoadRows rows = Blobs();
  for (const BatchMode mode : {BatchMode::kAtomic, BatchMode::kContinue}) {
    std::stop_source stop;
    Context ctx;
    ctx.stop = stop.get_token();
    Started<absl::StatusOr<std::vector<db::ChunkOutcome>>> loading(
        executor_, LoadSoon(*database_, ctx, Target(mode), rows));
    WaitForSleepers(1);
    EXPECT_FALSE(loading.done());
    stop.request_stop();
    EXPECT_EQ(loading.Wait().status().code(), StatusCode::kCancelled);
    EXPECT_THAT(loading.Wait(), WasExecuted("rolled_back"));
    RunUntil(executor_, [&] { return database_->Load().active == 0; });
    EXPECT_EQ(Sleepers(), 0);
    EXPECT_EQ(Psql("SELECT count(*) FROM t"), "0");
    StillServes();
  }
}

TEST_F(PostgresLoadTest, OneChunkIsCopiedWhileTheNextArrives) {
  MakeTable("n int PRIMARY KEY");
  BeforeEachRow("IF NEW.n = 7 THEN PERFORM pg_sleep(0.2); END IF;");
  auto load = executor_.Run(database_->OpenLoad(Context(), Target()));
  ASSERT_THAT(load, IsOk());
  ASSERT_THAT(Add(**load, Numbers(0, kRows)), IsOk());
  EXPECT_EQ((*load)->TakeOutcomes().size(), 0u);
  ASSERT_THAT(Add(**load, Numbers(kRows, kRows)), IsOk());
  EXPECT_EQ((*load)->TakeOutcomes().size(), 1u);
  ASSERT_THAT(Add(**load, Numbers(1000, 3)), IsOk()) << "too few to be copied";
  EXPECT_EQ((*load)->TakeOutcomes().size(), 2u);
  ASSERT_THAT(executor_.Run((*load)->Finish(Context(), "")), IsOk());
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "203");
}

TEST_F(PostgresLoadTest, TheNextChunkIsToldWhatFailedTheOneBefore) {
  MakeTable("n int CHECK (n <> 50)");
  auto load = executor_.Run(database_->OpenLoad(Context(), Target()));
  ASSERT_THAT(load, IsOk());
  ASSERT_THAT(Add(**load, Numbers(0, kRows)), IsOk());
  for (int i = 0; i < 2; ++i) {
    const absl::Status failed = Add(**load, Numbers(kRows, kRows));
    EXPECT_THAT(failed, WasExecuted("rolled_back"));
    EXPECT_EQ(errors::MetadataOf(failed, "row"), "50");
  }
  load->reset();
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "0");
  StillServes();
}

TEST_F(PostgresLoadTest, ALoadThatIsDroppedWhileTheServerReadsIsUndoneAtOnce) {
  MakeTable("n int, bytes bytea");
  BeforeEachRow("IF NEW.n = 150 THEN PERFORM pg_sleep(600); END IF;");
  auto load = executor_.Run(database_->OpenLoad(Context(), Target()));
  ASSERT_THAT(load, IsOk());
  ASSERT_THAT(Add(**load, Blobs()), IsOk());
  WaitForSleepers(1);
  load->reset();
  WaitForSleepers(0);
  RunUntil(executor_, [&] { return database_->Load().active == 0; });
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "0");
  StillServes();
}

TEST_F(PostgresLoadTest, ALoadWhoseConnectionIsLostBetweenChunksIsLost) {
  MakeTable("n int");
  auto load = executor_.Run(database_->OpenLoad(Context(), Target()));
  ASSERT_THAT(load, IsOk());
  ASSERT_THAT(Add(**load, Numbers(0, kRows)), IsOk());
  const std::string others =
      "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()";
  Psql("SELECT pg_terminate_backend(pid) " + others);
  RunUntil(executor_, [&] { return Psql("SELECT count(*) " + others) == "0"; });
  EXPECT_THAT(executor_.Run((*load)->Finish(Context(), "")),
              Fails(StatusCode::kAborted, "BACKEND_LOST"));
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "0");
}

TEST_F(PostgresLoadTest, ADeadlineEndsALoadThatWaitsForALock) {
  MakeTable("n int PRIMARY KEY");
  auto other = database_->Begin(db::TransactionOptions());
  ASSERT_THAT(other, IsOk());
  ASSERT_THAT(Execute(executor_, **other, "INSERT INTO t VALUES (50)"), IsOk());
  Context ctx;
  ctx.deadline = absl::Now() + absl::Milliseconds(300);
  const auto late = Load(Target(), {Numbers(0, kRows)}, ctx);
  EXPECT_EQ(late.status().code(), StatusCode::kDeadlineExceeded);
  ASSERT_THAT(executor_.Run((*other)->Commit(nullptr)), IsOk());
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "1");
  StillServes();
}

TEST_F(PostgresLoadTest, AConnectionThatIsLostInTheMiddleLosesTheLoad) {
  MakeTable("n int, bytes bytea");
  BeforeEachRow("IF NEW.n = 150 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;");
  const auto lost = Load(Target(), {Blobs()});
  EXPECT_THAT(lost, Fails(StatusCode::kAborted, "BACKEND_LOST"));
  EXPECT_THAT(lost, WasExecuted("rolled_back"));
  EXPECT_EQ(Psql("SELECT count(*) FROM t"), "0");
  StillServes();
}

}  // namespace
}  // namespace sluice::test
