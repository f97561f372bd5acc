// What the tests of QueryService share.
#ifndef SLUICE_TESTS_UNIT_SERVICES_QUERY_FIXTURE_H_
#define SLUICE_TESTS_UNIT_SERVICES_QUERY_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"

#include "server/services/query_service.h"
#include "tests/unit/core/scripted_database.h"
#include "tests/unit/services/support.h"

namespace sluice::services {

using Answer = core::ScriptedDatabase::Answer;

// Rows as a driver hands them over: the same field numbers serve both responses.
inline db::Rows Encoded(int count, bool with_columns = true) {
  pb::QueryResponse message;
  if (with_columns) message.add_columns()->set_name("n");
  for (int i = 0; i < count; ++i) message.add_rows()->add_values()->set_int64_value(i);
  db::Rows rows;
  rows.wire = message.SerializeAsString();
  rows.count = count;
  rows.has_columns = true;
  return rows;
}

inline db::Rows End() {
  db::Rows rows;
  rows.end = true;
  rows.has_columns = true;
  rows.rows_affected = 4;
  rows.last_insert_rowid = 9;
  rows.command_tag = "SELECT 5";
  return rows;
}

inline Answer Fails(absl::Status status) {
  Answer answer;
  answer.rows = std::move(status);
  return answer;
}

inline Answer Answers(db::Rows rows) {
  Answer answer;
  answer.rows = std::move(rows);
  return answer;
}

// QueryFixture: a QueryService on a database that answers as each test scripts it.
class QueryFixture : public ::testing::Test {
 protected:
  QueryFixture() {
    EXPECT_TRUE(connections_.Add(core::EntryOf("default", "main", database_)).ok());
    core::Connections::Entry guarded = core::EntryOf("guarded", "guarded", database_);
    guarded.read_only = true;
    EXPECT_TRUE(connections_.Add(std::move(guarded)).ok());
    request_.set_connection_id("default");
    request_.set_sql("SELECT n FROM t");
    stream_request_.set_connection_id("default");
    stream_request_.set_sql("SELECT n FROM t");
  }

  absl::StatusOr<Reply<pb::QueryResponse>> Query() { return Query(request_); }

  absl::StatusOr<Reply<pb::QueryResponse>> Query(const pb::QueryRequest& request) {
    return timeline_.Run(service_.Query(ctx_, request));
  }

  absl::Status Stream() {
    return timeline_.Run(service_.StreamQuery(ctx_, stream_request_, sink_));
  }

  // What Query or StreamQuery says to this request.
  absl::Status Said(const pb::QueryRequest& request) { return Query(request).status(); }

  absl::Status Said(const pb::StreamQueryRequest& request) {
    CollectingSink<pb::StreamQueryResponse> sink;
    return timeline_.Run(service_.StreamQuery(ctx_, request, sink));
  }

  core::Timeline timeline_;
  std::shared_ptr<core::ScriptedDatabase> database_ = std::make_shared<core::ScriptedDatabase>();
  core::Connections connections_;
  core::Transactions transactions_{core::TransactionLimits(), timeline_.clock()};
  Venues venues_{connections_, transactions_};
  QueryService service_{venues_, QueryOptions(), timeline_.clock()};
  Context ctx_;
  pb::QueryRequest request_;
  pb::StreamQueryRequest stream_request_;
  CollectingSink<pb::StreamQueryResponse> sink_;
};

}  // namespace sluice::services

#endif  // SLUICE_TESTS_UNIT_SERVICES_QUERY_FIXTURE_H_
