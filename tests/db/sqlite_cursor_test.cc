// Cursors: what they hold, what they split, and how they end.
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

// As many megabytes as are asked for, a row each.
constexpr char kMegabytes[] =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $1) "
    "SELECT x, zeroblob(1000000) FROM c";

int64_t ResidentBytes() {
  long pages = 0;
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%*s %ld", &pages) != 1) ADD_FAILURE();
  if (file != nullptr) std::fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

class SqliteCursor : public SqliteTest {
 protected:
  absl::StatusOr<std::unique_ptr<db::Cursor>> OpenCursor(const db::Statement& statement) {
    return executor_.Run(database_->Open(ctx_, statement));
  }

  absl::StatusOr<db::Rows> Next(db::Cursor& cursor) { return executor_.Run(cursor.Next(ctx_)); }

  // A cursor in the midst of many rows.
  std::unique_ptr<db::Cursor> OpenLong() {
    db::Statement statement("SELECT n, word FROM number");
    statement.chunk_bytes = 4096;
    auto cursor = OpenCursor(statement);
    EXPECT_THAT(cursor, IsOk());
    EXPECT_THAT(Next(**cursor), IsOk());
    return *std::move(cursor);
  }

  bool UntilIdle() {
    return RunUntil(executor_, [&] {
      const db::DatabaseLoad load = database_->Load();
      return load.active == 0 && load.queued == 0;
    });
  }

  const Context ctx_{};
};

TEST_F(SqliteCursor, LargeValuesComeInParts) {
  Open();
  const std::string text(100'001, 't');
  std::string blob;
  for (int i = 0; i < 50'000; ++i) blob.push_back(static_cast<char>(i * 7));
  ASSERT_THAT(Ask("CREATE TABLE big (id INTEGER PRIMARY KEY, t TEXT, s TEXT, b BLOB)"), IsOk());
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(
        Ask("INSERT INTO big (t, s, b) VALUES ($1, 'small', $2)", {Text(text), Bytes(blob)}),
        IsOk());
  }
  db::Statement statement("SELECT id, t, s, b FROM big ORDER BY id");
  statement.chunk_bytes = 4096;
  const auto chunks = ReadAll(executor_, *database_, statement);
  ASSERT_THAT(chunks, IsOk());

  std::vector<pb::Row> rows;
  for (const pb::StreamQueryResponse& chunk : *chunks) {
    EXPECT_LE(chunk.ByteSizeLong(), 4096u);
    if (!chunk.has_part()) {
      rows.insert(rows.end(), chunk.rows().begin(), chunk.rows().end());
      continue;
    }
    const pb::ValuePart& part = chunk.part();
    EXPECT_EQ(chunk.rows_size(), 0);
    ASSERT_EQ(part.row() + 1, rows.size());  // parts follow their row at once
    pb::Value& value = *rows.back().mutable_values(static_cast<int>(part.column()));
    if (part.offset() == 0) {
      ASSERT_TRUE(value.has_split_value());
      EXPECT_EQ(value.split_value().size(), part.column() == 1 ? text.size() : blob.size());
      value.set_bytes_value("");
    }
    ASSERT_EQ(value.bytes_value().size(), part.offset());
    value.mutable_bytes_value()->append(part.data());
  }
  ASSERT_EQ(rows.size(), 3u);
  for (const pb::Row& row : rows) {
    EXPECT_EQ(row.values(1).bytes_value(), text);
    EXPECT_EQ(row.values(2).string_value(), "small");
    EXPECT_EQ(row.values(3).bytes_value(), blob);
  }
  EXPECT_EQ(chunks->back().command_tag(), "SELECT 3");
}

TEST_F(SqliteCursor, ManyMiddlingValuesDoNotMakeOneHugeChunk) {
  Open();
  std::string columns;
  for (int i = 0; i < 60; ++i) absl::StrAppend(&columns, i > 0 ? ", " : "", "zeroblob(4000)");
  const std::string sql = absl::StrCat("SELECT ", columns);
  db::Statement statement(sql);
  statement.chunk_bytes = 4096;
  const auto chunks = ReadAll(executor_, *database_, statement);
  ASSERT_THAT(chunks, IsOk());
  size_t bytes = 0;
  for (const pb::StreamQueryResponse& chunk : *chunks) {
    EXPECT_LE(chunk.ByteSizeLong(), 3 * 4096u);
    bytes += chunk.part().data().size();
  }
  EXPECT_EQ(bytes, 60u * 4000u);
}

TEST_F(SqliteCursor, Fault36_ACursorThatIsGivenUpFreesItsReaderSoon) {
  db::SqliteSettings settings;
  settings.readers = 1;
  Open(settings);
  db::Statement statement(
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c "
      "WHERE x < 3000 OR x < 0");
  statement.chunk_bytes = 4096;
  auto cursor = OpenCursor(statement);
  ASSERT_THAT(cursor, IsOk());
  while (true) {  // until the reader is at a chunk that never fills
    const auto chunk = Next(**cursor);
    ASSERT_THAT(chunk, IsOk());
    const pb::StreamQueryResponse parsed = ParseChunk(*chunk);
    if (parsed.rows(parsed.rows_size() - 1).values(0).int64_value() > 1500) break;
  }
  cursor->reset();
  EXPECT_TRUE(UntilIdle());
  EXPECT_EQ(Number("SELECT 42"), 42);
}

TEST_F(SqliteCursor, ACursorOverAnEndlessResultCanBeGivenUpWhileItRuns) {
  db::SqliteSettings settings;
  settings.readers = 1;
  Open(settings);
  db::Statement statement(
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c");
  statement.chunk_bytes = 4096;
  for (int i = 0; i < 20; ++i) {
    auto cursor = OpenCursor(statement);
    ASSERT_THAT(cursor, IsOk());
    cursor->reset();
  }
  EXPECT_EQ(Number("SELECT 42"), 42);
  EXPECT_TRUE(UntilIdle());
}

TEST_F(SqliteCursor, Fault37_AStalledConsumerHoldsTwoChunksAndNoReader) {
  Open();
  const db::Params params = MakeParams({Int(1000)});
  const db::NamedParams no_names;
  const int64_t before = ResidentBytes();
  auto cursor = OpenCursor(db::Statement(kMegabytes, params, no_names));
  ASSERT_THAT(cursor, IsOk());
  ASSERT_THAT(Next(**cursor), IsOk());
  EXPECT_TRUE(UntilIdle());  // nothing is produced that nobody takes
  EXPECT_LT(ResidentBytes() - before, 24 << 20);
}

TEST_F(SqliteCursor, ReadersAreSharedBetweenCursorsAndShortReads) {
  db::SqliteSettings settings;
  settings.readers = 1;
  settings.loop_budget = 0;
  Open(settings);
  MakeNumbers(20'000);
  std::vector<std::unique_ptr<db::Cursor>> cursors;
  for (int i = 0; i < 3; ++i) cursors.push_back(OpenLong());
  for (int i = 0; i < 20; ++i) {
    for (const auto& cursor : cursors) EXPECT_THAT(Next(*cursor), IsOk());
    EXPECT_EQ(Number("SELECT 42"), 42);
  }
}

TEST_F(SqliteCursor, TooManyCursorsAreRefusedAndReadsGoOn) {
  Open();
  MakeNumbers(5000);
  std::vector<std::unique_ptr<db::Cursor>> cursors;
  for (int i = 0; i < 64; ++i) cursors.push_back(OpenLong());
  EXPECT_THAT(OpenCursor(db::Statement("SELECT 1")),
              Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  EXPECT_EQ(Number("SELECT 42"), 42);
  cursors.clear();
  EXPECT_TRUE(UntilIdle());
  EXPECT_THAT(OpenCursor(db::Statement("SELECT 1")), IsOk());
}

TEST_F(SqliteCursor, Fault62_AnIdleCursorPastItsAgeIsEndedAndLetsTheJournalBeEmptied) {
  db::SqliteSettings settings;
  settings.max_snapshot_age = absl::Milliseconds(200);
  Open(settings);
  MakeNumbers(5000);
  std::unique_ptr<db::Cursor> cursor = OpenLong();
  const absl::Time opened = absl::Now();
  EXPECT_TRUE(UntilIdle());
  ASSERT_THAT(Ask("DELETE FROM number WHERE n = 1"), IsOk());
  Outsider outsider(path_);
  const bool pinned = outsider.Number("PRAGMA wal_checkpoint(TRUNCATE)") == 1;
  EXPECT_TRUE(pinned || absl::Now() - opened > settings.max_snapshot_age);
  RunUntil(executor_, [&] { return outsider.Number("PRAGMA wal_checkpoint(TRUNCATE)") == 0; });
  EXPECT_THAT(Next(*cursor), Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
}

TEST_F(SqliteCursor, ACursorThatRunsPastItsAgeIsEnded) {
  db::SqliteSettings settings;
  settings.max_snapshot_age = absl::Milliseconds(100);
  Open(settings);
  EXPECT_THAT(OpenCursor(db::Statement(kEndless)), Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
}

TEST_F(SqliteCursor, AResultThatIsReadToItsEndDoesNotAge) {
  db::SqliteSettings settings;
  settings.max_snapshot_age = absl::Milliseconds(20);
  Open(settings);
  auto cursor = OpenCursor(db::Statement("SELECT 42"));
  ASSERT_THAT(cursor, IsOk());
  const absl::Time late = absl::Now() + absl::Milliseconds(60);
  RunUntil(executor_, [&] { return absl::Now() > late; });
  const auto chunk = Next(**cursor);
  ASSERT_THAT(chunk, IsOk());
  EXPECT_EQ(chunk->count, 1);
  const auto end = Next(**cursor);
  ASSERT_THAT(end, IsOk());
  EXPECT_TRUE(end->end);
}

TEST_F(SqliteCursor, Fault32_AWaitForAChunkCanBeCancelled) {
  Open();
  Call call;
  std::optional<absl::Status> status;
  const auto run = [&]() -> Task<void> {
    db::Statement statement(kEndless);
    auto cursor = co_await database_->Open(call.ctx(), statement);
    status = cursor.status();
  };
  executor_.Start(run());
  ASSERT_TRUE(UntilActive(1));
  call.Cancel();
  executor_.RunUntilIdle();
  ASSERT_TRUE(status.has_value());
  EXPECT_THAT(*status, Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
  EXPECT_TRUE(UntilIdle());
}

TEST_F(SqliteCursor, ACursorThatOutlivesTheCloseIsSafe) {
  Open();
  MakeNumbers(5000);
  std::unique_ptr<db::Cursor> idle = OpenLong();
  std::unique_ptr<db::Cursor> other = OpenLong();
  database_->Close();
  EXPECT_THAT(Next(*idle), Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  idle.reset();
  database_.reset();
  other.reset();  // the last that knows the database
}

TEST_F(SqliteCursor, AWaitForAChunkIsAnsweredAtClose) {
  Open();
  std::optional<absl::Status> status;
  const auto run = [&]() -> Task<void> {
    db::Statement statement(kEndless);
    auto cursor = co_await database_->Open(ctx_, statement);
    status = cursor.status();
  };
  executor_.Start(run());
  ASSERT_TRUE(UntilActive(1));
  database_->Close();
  executor_.RunUntilIdle();
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->code(), StatusCode::kUnavailable);
}

TEST_F(SqliteCursor, ACursorIsReadWhereParametersAreGoneAlready) {
  Open();
  MakeNumbers(5000);
  std::unique_ptr<db::Cursor> cursor;
  {
    const db::Params params = MakeParams({Text("a text that is long enough to live on the heap")});
    const db::NamedParams no_names;
    const auto sql = std::make_unique<std::string>("SELECT n, $1 FROM number");
    db::Statement statement(*sql, params, no_names);
    statement.chunk_bytes = 4096;
    auto opened = OpenCursor(statement);
    ASSERT_THAT(opened, IsOk());
    cursor = *std::move(opened);
  }
  int64_t rows = 0;
  for (bool end = false; !end;) {
    const auto chunk = Next(*cursor);
    ASSERT_THAT(chunk, IsOk());
    const pb::StreamQueryResponse parsed = ParseChunk(*chunk);
    for (const pb::Row& row : parsed.rows()) {
      ASSERT_EQ(row.values(1).string_value(), "a text that is long enough to live on the heap");
    }
    rows += chunk->count;
    end = chunk->end;
  }
  EXPECT_EQ(rows, 5000);
}

// Cursors that are opened, read a little and given up at any moment, from several threads.
TEST_F(SqliteCursor, AStormOfAbandonedCursorsLeavesNothingBehind) {
  db::SqliteSettings settings;
  settings.readers = 2;
  Open(settings);
  MakeNumbers(2000);
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 3; ++seed) {
    threads.emplace_back([&, seed] {
      ManualExecutor executor;
      std::minstd_rand random(seed + 1);
      const absl::Time until = absl::Now() + absl::Milliseconds(1000);
      while (absl::Now() < until) {
        db::Statement statement("SELECT n, word FROM number");
        statement.chunk_bytes = 4096;
        auto cursor = executor.Run(database_->Open(ctx_, statement));
        ASSERT_THAT(cursor, IsOk());
        for (auto chunks = random() % 8; chunks > 0; --chunks) {
          ASSERT_THAT(executor.Run((*cursor)->Next(ctx_)), IsOk());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(UntilIdle());
  Outsider outsider(path_);
  EXPECT_EQ(outsider.Number("PRAGMA wal_checkpoint(TRUNCATE)"), 0);
}

}  // namespace
}  // namespace sluice::test
