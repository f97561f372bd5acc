// What every driver promises, asked through server/db only.
#include "tests/db/conformance.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

INSTANTIATE_TEST_SUITE_P(EveryDriver,
                         Conformance,
                         ::testing::ValuesIn(Engines()),
                         [](const auto& info) { return info.param.name; });

// SQLite takes any value for a parameter; elsewhere it has a type.
std::string Identity(const pb::Value& value) {
  if (!Conformance::on_postgres() || value.has_null_value()) return "SELECT $1";
  const char* const type = value.has_int64_value()    ? "bigint"
                           : value.has_double_value() ? "double precision"
                           : value.has_bytes_value()  ? "bytea"
                                                      : "text";
  return absl::StrCat("SELECT $1::", type);
}

TEST_P(Conformance, ValuesComeBackAsTheyWentIn) {
  const std::string nul("a\0b", 3);
  const pb::Value values[] = {
      Null(),
      Int(0),
      Int(std::numeric_limits<int64_t>::min()),
      Int(std::numeric_limits<int64_t>::max()),
      Real(0.1),
      Real(std::numeric_limits<double>::infinity()),
      Real(-std::numeric_limits<double>::infinity()),
      Real(std::numeric_limits<double>::denorm_min()),
      Text(""),
      Text(nul),
      Text("\xf0\x9f\xa6\x80 crab"),
      Bytes(""),
      Bytes(std::string("\0\xff\x80", 3)),
  };
  for (const pb::Value& value : values) {
    if (on_postgres() && value.string_value() == nul) {
      EXPECT_THAT(Ask("SELECT $1", {value}),
                  Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
      continue;
    }
    const auto reply = Ask(Identity(value), {value});
    ASSERT_THAT(reply, IsOk());
    ASSERT_EQ(reply->rows_size(), 1);
    EXPECT_EQ(reply->rows(0).values(0).SerializeAsString(), value.SerializeAsString());
  }
}

TEST_P(Conformance, StoredValuesComeBackThroughEveryRead) {
  const char* const bytes = on_postgres() ? "BYTEA" : "BLOB";
  ASSERT_THAT(
      Ask(absl::StrCat("CREATE TABLE kept (id INTEGER PRIMARY KEY, t TEXT, b ", bytes, ")")),
      IsOk());
  const std::string blob(1000, '\xfe');
  const auto written =
      Ask("INSERT INTO kept (id, t, b) VALUES ($1, $2, $3)", {Int(7), Text("naïve"), Bytes(blob)});
  ASSERT_THAT(written, IsOk());
  EXPECT_EQ(written->rows_affected(), 1);
  EXPECT_EQ(written->command_tag(), "INSERT 0 1");
  EXPECT_FALSE(written->has_columns());
  for (int i = 0; i < 5; ++i) {
    const auto reply = Ask("SELECT t, b FROM kept WHERE id = $1", {Int(7)});
    ASSERT_THAT(reply, IsOk());
    ASSERT_EQ(reply->rows_size(), 1);
    EXPECT_EQ(reply->rows(0).values(0).string_value(), "naïve");
    EXPECT_EQ(reply->rows(0).values(1).bytes_value(), blob);
  }
}

TEST_P(Conformance, AReplySaysWhatItsColumnsAre) {
  const auto reply = Ask("SELECT 1 AS one, 'x' AS letter");
  ASSERT_THAT(reply, IsOk());
  EXPECT_TRUE(reply->has_columns());
  ASSERT_EQ(reply->columns_size(), 2);
  EXPECT_EQ(reply->columns(0).name(), "one");
  EXPECT_EQ(reply->columns(1).name(), "letter");
  EXPECT_EQ(reply->command_tag(), "SELECT 1");
}

TEST_P(Conformance, AnEmptyResultStillHasColumns) {
  const auto reply = Ask("SELECT 1 AS one WHERE 1 = 0");
  ASSERT_THAT(reply, IsOk());
  EXPECT_TRUE(reply->has_columns());
  EXPECT_EQ(reply->columns_size(), 1);
  EXPECT_EQ(reply->rows_size(), 0);
  EXPECT_EQ(reply->command_tag(), "SELECT 0");
}

TEST_P(Conformance, TagsAndCountsSayWhatAStatementDid) {
  MakeNumbers(10);
  const auto updated = Ask("UPDATE number SET word = 'w' WHERE n <= 3");
  ASSERT_THAT(updated, IsOk());
  EXPECT_EQ(updated->command_tag(), "UPDATE 3");
  EXPECT_EQ(updated->rows_affected(), 3);
  const auto deleted = Ask("DELETE FROM number WHERE n > 100");
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->command_tag(), "DELETE 0");
  const auto created = Ask("CREATE TABLE other (id INTEGER)");
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->command_tag(), "CREATE");
  EXPECT_EQ(created->rows_affected(), 0);
}

TEST_P(Conformance, ReturningGivesRowsOfAWrite) {
  MakeNumbers(10);
  const auto reply = Ask("UPDATE number SET word = 'w' WHERE n <= 2 RETURNING n, word");
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->rows_size(), 2);
  EXPECT_EQ(reply->rows(0).values(1).string_value(), "w");
  EXPECT_EQ(reply->rows_affected(), 2);
  EXPECT_TRUE(reply->has_columns());
}

TEST_P(Conformance, AWriteIsSeenByTheNextRead) {
  ASSERT_THAT(Ask("CREATE TABLE counter (n INTEGER)"), IsOk());
  ASSERT_THAT(Ask("INSERT INTO counter (n) VALUES (0)"), IsOk());
  for (int i = 1; i <= 50; ++i) {
    ASSERT_THAT(Ask("UPDATE counter SET n = $1", {Int(i)}), IsOk());
    const auto reply = Ask("SELECT n FROM counter");
    ASSERT_THAT(reply, IsOk());
    ASSERT_EQ(reply->rows(0).values(0).int64_value(), i);
  }
}

TEST_P(Conformance, TruncatedIsProvenByOneRowMore) {
  MakeNumbers(10);
  db::Statement statement("SELECT n FROM number ORDER BY n");
  for (int limit = 8; limit <= 12; ++limit) {
    statement.max_rows = limit;
    const auto reply = Execute(executor_, *database_, statement);
    ASSERT_THAT(reply, IsOk());
    EXPECT_EQ(reply->rows_size(), std::min(limit, 10));
    EXPECT_EQ(reply->truncated(), limit < 10) << limit;
  }
}

TEST_P(Conformance, AResultIsCutBeforeItExceedsItsBytes) {
  MakeNumbers(1000);
  db::Statement statement("SELECT n, word FROM number ORDER BY n");
  statement.max_bytes = 2000;
  const auto rows = executor_.Run(database_->Execute(Context(), statement));
  ASSERT_THAT(rows, IsOk());
  EXPECT_TRUE(rows->truncated);
  EXPECT_GT(rows->count, 50);
  const auto parsed = Parse(rows);
  pb::QueryResponse only_rows = *parsed;
  only_rows.clear_columns();
  EXPECT_LE(rows->wire.size(), 2000u + parsed->ByteSizeLong());
  size_t bytes = 0;
  for (const pb::Row& row : parsed->rows()) bytes += row.ByteSizeLong() + 2;
  EXPECT_LE(bytes, 2000u);
  EXPECT_GT(bytes, 1900u);
}

TEST_P(Conformance, ARowThatCannotFitIsAnError) {
  db::Statement statement("SELECT 'an ordinary row of about forty bytes' AS text");
  statement.max_bytes = 30;
  EXPECT_THAT(Execute(executor_, *database_, statement),
              Fails(StatusCode::kResourceExhausted, "VALUE_TOO_LARGE"));
}

TEST_P(Conformance, ALimitOnAWriteCutsTheReplyAndNotTheWrite) {
  MakeNumbers(10);
  db::Statement statement("UPDATE number SET word = 'w' RETURNING n");
  statement.max_rows = 3;
  const auto reply = Execute(executor_, *database_, statement);
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->rows_size(), 3);
  EXPECT_TRUE(reply->truncated());
  EXPECT_EQ(reply->rows_affected(), 10);
  const auto count = Ask("SELECT count(*) FROM number WHERE word = 'w'");
  EXPECT_EQ(count->rows(0).values(0).int64_value(), 10);
}

TEST_P(Conformance, AFailedWriteLeavesNothing) {
  MakeNumbers(3);
  const auto failed = Ask("INSERT INTO number (n, word) VALUES (100, 'a'), (1, 'taken')");
  EXPECT_EQ(failed.status().code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  const auto count = Ask("SELECT count(*) FROM number");
  EXPECT_EQ(count->rows(0).values(0).int64_value(), 3);
}

TEST_P(Conformance, WhatCannotBeCompiledIsInvalid) {
  EXPECT_EQ(Ask("SELEC 1").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask("SELECT * FROM nowhere").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask("").status().code(), StatusCode::kInvalidArgument);
}

TEST_P(Conformance, Fault44_TransactionControlIsRefused) {
  for (const char* const sql : {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s"}) {
    EXPECT_THAT(Ask(sql), Fails(StatusCode::kInvalidArgument, "TRANSACTION_CONTROL_REFUSED"));
  }
}

TEST_P(Conformance, Fault51_StackedStatementsAreRefused) {
  MakeNumbers(1);
  EXPECT_THAT(Ask("SELECT 1; DROP TABLE number"),
              Fails(StatusCode::kInvalidArgument, "STATEMENT_REFUSED"));
  EXPECT_THAT(Ask("SELECT n FROM number"), IsOk());
}

TEST_P(Conformance, TooFewOrTooManyParametersAreInvalid) {
  EXPECT_THAT(Ask("SELECT $1, $2", {Int(1)}),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  EXPECT_THAT(Ask("SELECT $1", {Int(1), Int(2)}),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
}

TEST_P(Conformance, AReadOnlyCallNeverWrites) {
  MakeNumbers(3);
  db::Statement statement("DELETE FROM number");
  statement.read_only = true;
  for (int i = 0; i < 2; ++i) {  // unknown at first, known to write then
    EXPECT_THAT(Execute(executor_, *database_, statement),
                Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
    EXPECT_THAT(ReadAll(executor_, *database_, statement),
                Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  }
  EXPECT_EQ(Ask("SELECT count(*) FROM number")->rows(0).values(0).int64_value(), 3);
  db::Statement reading("SELECT count(*) FROM number");
  reading.read_only = true;
  EXPECT_THAT(Execute(executor_, *database_, reading), IsOk());
}

TEST_P(Conformance, AStoppedCallIsNotRun) {
  MakeNumbers(3);
  CallScope scope;
  scope.Stop(StopCause::kCancelled);
  const Context ctx = scope.MakeContext(absl::InfiniteFuture(), "");
  const db::Statement statement("DELETE FROM number");
  const auto failed = Execute(executor_, *database_, statement, ctx);
  EXPECT_THAT(failed, Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
  EXPECT_THAT(failed, WasExecuted("no"));
  EXPECT_EQ(Ask("SELECT count(*) FROM number")->rows(0).values(0).int64_value(), 3);
}

TEST_P(Conformance, ADeadlineInThePastIsNotRun) {
  MakeNumbers(3);
  Context ctx;
  ctx.deadline = absl::Now() - absl::Seconds(1);
  const db::Statement statement("DELETE FROM number");
  for (int i = 0; i < 2; ++i) {
    const auto failed = Execute(executor_, *database_, statement, ctx);
    EXPECT_EQ(failed.status().code(), StatusCode::kDeadlineExceeded);
    EXPECT_THAT(failed, WasExecuted("no"));
  }
  EXPECT_EQ(Ask("SELECT count(*) FROM number")->rows(0).values(0).int64_value(), 3);
}

TEST_P(Conformance, Fault66_RunawaySqlEndsAtItsDeadline) {
  Context ctx;
  ctx.deadline = absl::Now() + absl::Milliseconds(100);
  const db::Statement statement(
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c");
  const absl::Time begin = absl::Now();
  EXPECT_EQ(Execute(executor_, *database_, statement, ctx).status().code(),
            StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  EXPECT_THAT(Ask("SELECT 1"), IsOk());
}

TEST_P(Conformance, ACursorGivesEveryRowOnceAndInOrder) {
  MakeNumbers(5000);
  db::Statement statement("SELECT n, word FROM number ORDER BY n");
  statement.chunk_bytes = 4096;
  const auto chunks = ReadAll(executor_, *database_, statement);
  ASSERT_THAT(chunks, IsOk());
  EXPECT_GT(chunks->size(), 10u);
  int64_t next = 1;
  for (const pb::StreamQueryResponse& chunk : *chunks) {
    for (const pb::Row& row : chunk.rows()) ASSERT_EQ(row.values(0).int64_value(), next++);
    EXPECT_LE(chunk.ByteSizeLong(), 4096u);
    EXPECT_EQ(chunk.has_columns(), &chunk == &chunks->front());
    EXPECT_EQ(chunk.last(), &chunk == &chunks->back());
  }
  EXPECT_EQ(next, 5001);
  EXPECT_EQ(chunks->front().columns_size(), 2);
  EXPECT_EQ(chunks->back().rows_size(), 0);
  EXPECT_EQ(chunks->back().command_tag(), "SELECT 5000");
}

// Rows that just fit into a chunk, just do not, are cut into parts, and are small again, over
// several turns with the server.
TEST_P(Conformance, ACursorGivesEveryByteWhereRowsAreAsLargeAsChunks) {
  constexpr int kRows = 1500;
  const auto size_of = [](int64_t n) {
    const int64_t sizes[] = {4000 + n % 200, 1, 20'000, 4096, 300, 4083 + n % 7};
    return static_cast<size_t>(sizes[n % 6]);
  };
  ASSERT_THAT(Ask("CREATE TABLE wide (n INTEGER PRIMARY KEY, word TEXT)"), IsOk());
  BatchMaker maker;
  for (int64_t n = 0; n < kRows; ++n) {
    const std::string word(size_of(n), static_cast<char>('a' + n % 26));
    if (n == 0) maker.Add("INSERT INTO wide (n, word) VALUES ($1, $2)", {Int(n), Text(word)});
    if (n > 0) maker.AddSet({Int(n), Text(word)});
  }
  ASSERT_THAT(Execute(executor_, *database_, maker.batch), IsOk());
  db::Statement statement("SELECT n, word FROM wide ORDER BY n");
  statement.chunk_bytes = 4096;
  const auto chunks = ReadAll(executor_, *database_, statement);
  ASSERT_THAT(chunks, IsOk());

  std::vector<std::string> words;
  for (const pb::StreamQueryResponse& chunk : *chunks) {
    for (const pb::Row& row : chunk.rows()) {
      ASSERT_EQ(row.values(0).int64_value(), static_cast<int64_t>(words.size()));
      words.push_back(row.values(1).string_value());
    }
    if (!chunk.has_part()) continue;
    ASSERT_EQ(chunk.part().row() + 1, words.size());
    ASSERT_EQ(chunk.part().offset(), words.back().size());
    words.back() += chunk.part().data();
  }
  ASSERT_EQ(words.size(), static_cast<size_t>(kRows));
  for (size_t n = 0; n < words.size(); ++n) {
    const std::string expected(size_of(static_cast<int64_t>(n)), static_cast<char>('a' + n % 26));
    ASSERT_TRUE(words[n] == expected) << "row " << n << " has " << words[n].size() << " bytes";
  }
}

TEST_P(Conformance, ACursorOverNothingHasColumnsAndAnEnd) {
  const auto chunks = ReadAll(executor_, *database_, db::Statement("SELECT 1 AS one WHERE 1 = 0"));
  ASSERT_THAT(chunks, IsOk());
  ASSERT_EQ(chunks->size(), 2u);
  EXPECT_TRUE(chunks->front().has_columns());
  EXPECT_EQ(chunks->front().columns_size(), 1);
  EXPECT_EQ(chunks->back().command_tag(), "SELECT 0");
}

TEST_P(Conformance, ACursorReadsOneSnapshot) {
  MakeNumbers(2000);
  db::Statement statement("SELECT n FROM number");
  statement.chunk_bytes = 4096;
  const Context ctx;
  auto cursor = executor_.Run(database_->Open(ctx, statement));
  ASSERT_THAT(cursor, IsOk());
  ASSERT_THAT(Ask("DELETE FROM number"), IsOk());
  int64_t rows = 0;
  for (bool end = false; !end;) {
    const auto chunk = executor_.Run((*cursor)->Next(ctx));
    ASSERT_THAT(chunk, IsOk());
    rows += chunk->count;
    end = chunk->end;
  }
  EXPECT_EQ(rows, 2000);
}

TEST_P(Conformance, ACursorOverAWriteHasCommittedIt) {
  MakeNumbers(3000);
  for (int i = 0; i < 2; ++i) {
    db::Statement statement("UPDATE number SET word = word || '!' RETURNING n, word");
    statement.chunk_bytes = 4096;
    const Context ctx;
    auto cursor = executor_.Run(database_->Open(ctx, statement));
    ASSERT_THAT(cursor, IsOk());
    cursor->reset();  // what it wrote stays, whoever reads its rows
    const auto chunks = ReadAll(executor_, *database_, statement);
    ASSERT_THAT(chunks, IsOk());
    int64_t rows = 0;
    for (const pb::StreamQueryResponse& chunk : *chunks) rows += chunk.rows_size();
    EXPECT_EQ(rows, 3000);
    EXPECT_GT(chunks->size(), 5u);
    EXPECT_EQ(chunks->back().rows_affected(), 3000);
    EXPECT_EQ(chunks->back().command_tag(), "UPDATE 3000");
  }
  EXPECT_EQ(Ask("SELECT word FROM number WHERE n = 1")->rows(0).values(0).string_value(),
            "word 1!!!!");
}

TEST_P(Conformance, AnErrorOnTheWayEndsACursor) {
  MakeNumbers(5000);
  db::Statement statement(
      "SELECT n, abs(CASE n WHEN 4000 THEN -9223372036854775807 - 1 ELSE n END) FROM number "
      "ORDER BY n");
  statement.chunk_bytes = 4096;
  EXPECT_FALSE(ReadAll(executor_, *database_, statement).ok());
  EXPECT_THAT(Ask("SELECT count(*) FROM number"), IsOk());
}

TEST_P(Conformance, InspectSaysWhatTheDatabaseIs) {
  MakeNumbers(100);
  const auto info = executor_.Run(database_->Inspect(Context()));
  ASSERT_THAT(info, IsOk());
  EXPECT_FALSE(info->server_version.empty());
  EXPECT_FALSE(info->database_name.empty());
  EXPECT_GT(info->size_bytes, 0);
}

TEST_P(Conformance, AfterCloseEverythingIsRefusedAndNothingHangs) {
  MakeNumbers(3);
  database_->Close();
  database_->Close();
  const auto failed = Ask("SELECT 1");
  EXPECT_THAT(failed, Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_THAT(failed, WasExecuted("no"));
  EXPECT_THAT(Ask("DELETE FROM number"), Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_THAT(ReadAll(executor_, *database_, db::Statement("SELECT 1")),
              Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_THAT(executor_.Run(database_->Inspect(Context())),
              Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
}

TEST_P(Conformance, LoadCountsWhatWaitsAndWhatRuns) {
  const db::DatabaseLoad idle = database_->Load();
  EXPECT_EQ(idle.active, 0);
  EXPECT_EQ(idle.queued, 0);
  EXPECT_GT(idle.queue_limit, 0);
}

}  // namespace
}  // namespace sluice::test
