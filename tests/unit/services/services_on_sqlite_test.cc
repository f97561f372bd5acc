// The services on a real database: what a caller sees of SQL, without a server.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/async/manual_executor.h"
#include "server/core/connections.h"
#include "server/services/connection_service.h"
#include "server/services/monitoring_service.h"
#include "server/services/query_service.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/core/registry_fixture.h"
#include "tests/unit/services/support.h"

namespace sluice::services {
namespace {

using test::Fails;
using test::IsOk;
using ::testing::ElementsAre;

struct NoCounters final : CallCounters {
  int64_t in_flight() const override { return 0; }

  int64_t shed() const override { return 0; }
};

class ServicesOnSqliteTest : public ::testing::Test {
 protected:
  ServicesOnSqliteTest() {
    auto database = test::OpenSqlite(executor_, folder_.File("shop.db"));
    EXPECT_THAT(database, IsOk());
    if (!database.ok()) return;
    core::Connections::Entry entry;
    entry.key = ids::HashOf("default");
    entry.handle = "h_1";
    entry.name = "shop";
    entry.target = folder_.File("shop.db");
    entry.database = *std::move(database);
    EXPECT_THAT(connections_.Add(entry), IsOk());
    entry.key = ids::HashOf("guarded");
    entry.handle = "h_2";
    entry.read_only = true;
    EXPECT_THAT(connections_.Add(std::move(entry)), IsOk());

    EXPECT_THAT(Query("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"), IsOk());
    EXPECT_THAT(Query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
                      "i < 100) INSERT INTO item SELECT i, 'item ' || i FROM n"),
                IsOk());
  }

  ~ServicesOnSqliteTest() override { connections_.CloseAll(); }

  static pb::QueryRequest Request(absl::string_view sql) {
    pb::QueryRequest request;
    request.set_connection_id("default");
    request.set_sql(std::string(sql));
    return request;
  }

  absl::StatusOr<pb::QueryResponse> Query(absl::string_view sql) { return Query(Request(sql)); }

  absl::StatusOr<pb::QueryResponse> Query(const pb::QueryRequest& request) {
    const auto reply = executor_.Run(queries_.Query(ctx_, request));
    if (!reply.ok()) return reply.status();
    return Parsed(*reply);
  }

  template <class S>
  absl::Status Stream(absl::string_view sql, S& sink, int64_t chunk_bytes = 0) {
    pb::StreamQueryRequest request;
    request.set_connection_id("default");
    request.set_sql(std::string(sql));
    request.set_chunk_bytes(chunk_bytes);
    return executor_.Run(queries_.StreamQuery(ctx_, request, sink));
  }

  const test::TempDir folder_;
  ManualExecutor executor_;
  core::Connections connections_;
  core::Transactions transactions_{core::TransactionLimits(), Clock::System()};
  Venues venues_{connections_, transactions_};
  QueryService queries_{venues_, QueryOptions(), Clock::System()};
  Context ctx_;
};

TEST_F(ServicesOnSqliteTest, AResultHasItsColumnsRowsAndFacts) {
  pb::QueryRequest request = Request("SELECT id, name FROM item WHERE id = ? OR name = ?");
  request.add_params()->set_int64_value(1);
  request.add_params()->set_string_value("item 2");
  const auto response = Query(request);
  ASSERT_THAT(response, IsOk());
  EXPECT_TRUE(response->has_columns());
  ASSERT_EQ(response->columns_size(), 2);
  EXPECT_EQ(response->columns(0).name(), "id");
  EXPECT_EQ(response->columns(1).native_type(), "TEXT");
  ASSERT_EQ(response->rows_size(), 2);
  EXPECT_EQ(response->rows(1).values(0).int64_value(), 2);
  EXPECT_FALSE(response->truncated());
  EXPECT_EQ(response->command_tag(), "SELECT 2");
  EXPECT_TRUE(response->has_elapsed());
  EXPECT_FALSE(response->has_transaction());
}

TEST_F(ServicesOnSqliteTest, AWriteTellsWhatItDid) {
  pb::QueryRequest request = Request("INSERT INTO item (name) VALUES (:name)");
  (*request.mutable_named_params())["name"].set_string_value("new");
  const auto response = Query(request);
  ASSERT_THAT(response, IsOk());
  EXPECT_FALSE(response->has_columns());
  EXPECT_EQ(response->rows_affected(), 1);
  EXPECT_EQ(response->last_insert_rowid(), 101);
  EXPECT_EQ(response->command_tag(), "INSERT 0 1");
}

TEST_F(ServicesOnSqliteTest, AResultIsCutAtMaxRowsOnlyIfThereIsMore) {
  pb::QueryRequest request = Request("SELECT id FROM item ORDER BY id");
  request.set_max_rows(99);
  EXPECT_EQ(Query(request)->rows_size(), 99);
  EXPECT_TRUE(Query(request)->truncated());
  request.set_max_rows(100);
  EXPECT_EQ(Query(request)->rows_size(), 100);
  EXPECT_FALSE(Query(request)->truncated());
}

TEST_F(ServicesOnSqliteTest, AResultIsCutAtMaxBytesBetweenRows) {
  pb::QueryRequest request = Request("SELECT zeroblob(1000) FROM item");
  request.set_max_bytes(5000);
  const auto response = Query(request);
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->rows_size(), 4);
  EXPECT_TRUE(response->truncated());

  request.set_max_bytes(500);
  EXPECT_THAT(Query(request), Fails(absl::StatusCode::kResourceExhausted, "VALUE_TOO_LARGE"));
}

TEST_F(ServicesOnSqliteTest, AReadOnlyRequestOrConnectionRefusesToWrite) {
  pb::QueryRequest request = Request("DELETE FROM item");
  request.set_read_only(true);
  EXPECT_THAT(Query(request), Fails(absl::StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  request.set_read_only(false);
  request.set_connection_id("guarded");
  EXPECT_THAT(Query(request), Fails(absl::StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  EXPECT_EQ(Query("SELECT count(*) FROM item")->rows(0).values(0).int64_value(), 100);
}

TEST_F(ServicesOnSqliteTest, WhatIsWrongWithTheSqlIsSaidInTheDetails) {
  const auto syntax = Query("SELEC 1");
  EXPECT_THAT(syntax, Fails(absl::StatusCode::kInvalidArgument, "SQL_ERROR"));
  EXPECT_EQ(errors::MetadataOf(syntax.status(), "engine"), "sqlite");
  EXPECT_EQ(errors::MetadataOf(syntax.status(), "attempts"), "") << "no reason to try again";

  const auto duplicate = Query("INSERT INTO item VALUES (1, 'again')");
  EXPECT_THAT(duplicate, Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR"));
  EXPECT_EQ(InvalidField(Query("SELECT ?").status()), "params[0]");
}

TEST_F(ServicesOnSqliteTest, Fault51_StackedStatementsAreRefused) {
  EXPECT_THAT(Query("SELECT 1; DROP TABLE item"),
              Fails(absl::StatusCode::kInvalidArgument, "STATEMENT_REFUSED"));
  EXPECT_THAT(Query("SELECT 1 FROM item"), IsOk());
}

TEST_F(ServicesOnSqliteTest, AStreamsChunksFollowOnEachOther) {
  CollectingSink<pb::StreamQueryResponse> sink;
  ASSERT_THAT(Stream("SELECT id, zeroblob(1000) FROM item ORDER BY id", sink, 4096), IsOk());
  ASSERT_GT(sink.messages.size(), 10U);
  EXPECT_EQ(sink.messages.front().columns_size(), 2);
  EXPECT_TRUE(sink.messages.front().has_columns());
  int64_t rows = 0;
  for (const pb::StreamQueryResponse& message : sink.messages) {
    if (message.rows_size() > 0) {
      EXPECT_EQ(message.row_offset(), rows);
      EXPECT_EQ(message.rows(0).values(0).int64_value(), rows + 1);
    }
    rows += message.rows_size();
    EXPECT_EQ(message.last(), &message == &sink.messages.back());
  }
  EXPECT_EQ(rows, 100);
  EXPECT_EQ(sink.messages.back().row_count(), 100);
  EXPECT_EQ(sink.messages.back().command_tag(), "SELECT 100");
}

TEST_F(ServicesOnSqliteTest, AStreamHasNoCap) {
  CollectingSink<pb::StreamQueryResponse> sink;
  ASSERT_THAT(Stream("SELECT a.id FROM item a, item b", sink), IsOk());
  EXPECT_EQ(sink.messages.back().row_count(), 10'000);
}

TEST_F(ServicesOnSqliteTest, AValueLargerThanAChunkFollowsInParts) {
  CollectingSink<pb::StreamQueryResponse> sink;
  ASSERT_THAT(Stream("SELECT id, zeroblob(20000) FROM item WHERE id < 3 ORDER BY id", sink, 4096),
              IsOk());
  std::vector<uint64_t> sizes(2);
  int64_t rows = 0;
  for (const pb::StreamQueryResponse& message : sink.messages) {
    if (message.rows_size() > 0) EXPECT_EQ(message.row_offset(), rows);
    rows += message.rows_size();
    if (!message.has_part()) continue;
    ASSERT_LT(message.part().row(), 2U);
    EXPECT_EQ(message.part().column(), 1U);
    EXPECT_EQ(message.part().offset(), sizes[message.part().row()]);
    sizes[message.part().row()] += message.part().data().size();
  }
  EXPECT_THAT(sizes, ElementsAre(20000, 20000));
  EXPECT_EQ(sink.messages.back().row_count(), 2);
}

TEST_F(ServicesOnSqliteTest, AStreamThatWritesHasWrittenBeforeItsFirstMessage) {
  CollectingSink<pb::StreamQueryResponse> gone_at_once(0);
  const absl::Status status = Stream("INSERT INTO item (name) VALUES ('kept')", gone_at_once);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Query("SELECT id FROM item WHERE name = 'kept'")->rows_size(), 1);
}

TEST_F(ServicesOnSqliteTest, AStreamWhosePeerIsGoneLetsGoOfItsReader) {
  // More streams than there are readers: each must give its own back.
  for (int i = 0; i < 20; ++i) {
    CollectingSink<pb::StreamQueryResponse> sink(2);
    EXPECT_EQ(Stream("SELECT a.id, zeroblob(1000) FROM item a, item b", sink, 4096).code(),
              absl::StatusCode::kCancelled);
    EXPECT_EQ(sink.messages.size(), 2U);
  }
  EXPECT_THAT(Query("DELETE FROM item"), IsOk());
}

TEST_F(ServicesOnSqliteTest, ATestShowsTheDatabase) {
  const PageTokens tokens("a key");
  const test::TempDir folder;
  core::Life life(folder);
  ConnectionService service(connections_, *life.registrar, Clock::System(), tokens);
  pb::TestConnectionRequest request;
  request.set_connection_id("default");
  const auto response = executor_.Run(service.TestConnection(ctx_, request));
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->engine(), pb::ENGINE_SQLITE);
  EXPECT_EQ(response->server_version(), db::Drivers()[0].library_version());
  EXPECT_EQ(response->database_name(), "shop.db");
  EXPECT_GT(response->size_bytes(), 0);
}

TEST_F(ServicesOnSqliteTest, ADatabaseThatIsClosedIsUnhealthy) {
  const NoCounters counters;
  MonitoringService service(connections_, transactions_, ServerFacts(), counters, Clock::System());
  const auto healthy = executor_.Run(service.GetHealth(ctx_, pb::GetHealthRequest()));
  ASSERT_THAT(healthy, IsOk());
  EXPECT_EQ(healthy->state(), pb::HEALTH_STATE_HEALTHY) << healthy->DebugString();
  ASSERT_EQ(healthy->connections_size(), 2);
  EXPECT_GT(healthy->connections(0).queue_limit(), 0);

  connections_.CloseAll();
  const auto closed = executor_.Run(service.GetHealth(ctx_, pb::GetHealthRequest()));
  ASSERT_THAT(closed, IsOk());
  EXPECT_EQ(closed->state(), pb::HEALTH_STATE_UNHEALTHY);
  EXPECT_EQ(closed->score(), 0);
  EXPECT_NE(closed->connections(0).message(), "");
}

TEST_F(ServicesOnSqliteTest, WhatWasNotRunIsTriedAgainAndThenSaid) {
  connections_.CloseAll();
  pb::QueryRequest request = Request("SELECT 1");
  request.mutable_retry()->mutable_delay()->set_nanos(1'000'000);
  const auto response = Query(request);
  EXPECT_THAT(response, Fails(absl::StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_EQ(errors::MetadataOf(response.status(), "attempts"), "3");
}

}  // namespace
}  // namespace sluice::services
