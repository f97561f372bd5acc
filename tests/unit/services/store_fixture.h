// What the tests of writes in many parts share: services on a real database with one small table,
// and a client's stream of messages.
#ifndef SLUICE_TESTS_UNIT_SERVICES_STORE_FIXTURE_H_
#define SLUICE_TESTS_UNIT_SERVICES_STORE_FIXTURE_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/async/stream.h"
#include "server/core/connections.h"
#include "server/services/batch_service.h"
#include "server/services/bulk_service.h"
#include "server/services/query_service.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/support.h"

namespace sluice::services {

// ListSource: a client that sends these messages, and then says that this was all or breaks off.
class ListSource : public Source<pb::BulkInsertRequest> {
 public:
  explicit ListSource(std::vector<pb::BulkInsertRequest> messages, bool breaks_off = false)
      : messages_(std::move(messages)), breaks_off_(breaks_off) {}

  Task<std::shared_ptr<pb::BulkInsertRequest>> Read() override {
    if (broken_off_) co_return nullptr;
    ended_ = taken_ == messages_.size();
    if (ended_) co_return nullptr;
    co_return std::make_shared<pb::BulkInsertRequest>(messages_[taken_++]);
  }

  void BreakOff() override { broken_off_ = true; }

  bool complete() const override { return ended_ && !breaks_off_; }

  size_t taken() const { return taken_; }

 private:
  const std::vector<pb::BulkInsertRequest> messages_;
  const bool breaks_off_;
  size_t taken_ = 0;
  bool ended_ = false;
  bool broken_off_ = false;
};

// StoreFixture: three connections to one database: `default`, `second`, and `guarded`, which is
// read-only. Its table `item` has a key and a name that may not be null.
class StoreFixture : public ::testing::Test {
 protected:
  explicit StoreFixture(const db::SqliteSettings& settings = {}) {
    auto database = test::OpenSqlite(executor_, folder_.File("store.db"), settings);
    EXPECT_THAT(database, test::IsOk());
    if (!database.ok()) return;
    for (const char* name : {"default", "second", "guarded"}) {
      core::Connections::Entry entry;
      entry.key = ids::HashOf(name);
      entry.handle = std::string("h_") + name;
      entry.name = name;
      entry.target = folder_.File("store.db");
      entry.database = *database;
      entry.read_only = entry.name == "guarded";
      EXPECT_THAT(connections_.Add(std::move(entry)), test::IsOk());
    }
    EXPECT_THAT(Query("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"),
                test::IsOk());
  }

  ~StoreFixture() override { connections_.CloseAll(); }

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

  absl::StatusOr<pb::ExecuteBatchResponse> Batch(const pb::ExecuteBatchRequest& request) {
    const auto reply = executor_.Run(batches_.ExecuteBatch(ctx_, request));
    if (!reply.ok()) return reply.status();
    return Parsed(*reply);
  }

  absl::StatusOr<pb::BulkInsertResponse> Load(const std::vector<pb::BulkInsertRequest>& messages) {
    ListSource source(messages);
    return Load(source);
  }

  absl::StatusOr<pb::BulkInsertResponse> Load(Source<pb::BulkInsertRequest>& source) {
    return executor_.Run(loads_.BulkInsert(ctx_, source));
  }

  // The first message of a load into `item`.
  static pb::BulkInsertRequest Header(pb::BatchMode mode = pb::BATCH_MODE_ATOMIC) {
    pb::BulkInsertRequest message;
    message.set_connection_id("default");
    message.set_table("item");
    message.set_mode(mode);
    return message;
  }

  // Rows of `item` with these ids.
  static pb::BulkInsertRequest Items(std::initializer_list<int64_t> ids,
                                     pb::BulkInsertRequest message = {}) {
    for (const int64_t id : ids) {
      pb::Row& row = *message.add_rows();
      row.add_values()->set_int64_value(id);
      row.add_values()->set_string_value("item");
    }
    return message;
  }

  // The one number that a statement answers.
  int64_t Number(absl::string_view sql) {
    const auto response = Query(sql);
    EXPECT_THAT(response, test::IsOk());
    return response.ok() && response->rows_size() == 1 ? response->rows(0).values(0).int64_value()
                                                       : -1;
  }

  int64_t Count() { return Number("SELECT count(*) FROM item"); }

  const test::TempDir folder_;
  ManualExecutor executor_;
  core::Connections connections_;
  core::Transactions transactions_{core::TransactionLimits(), Clock::System()};
  Venues venues_{connections_, transactions_};
  QueryService queries_{venues_, QueryOptions(), Clock::System()};
  BatchService batches_{venues_, QueryOptions(), Clock::System()};
  BulkService loads_{venues_, QueryOptions(), Clock::System()};
  Context ctx_;
};

}  // namespace sluice::services

#endif  // SLUICE_TESTS_UNIT_SERVICES_STORE_FIXTURE_H_
