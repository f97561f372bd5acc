#include "server/services/query_service.h"

#include <set>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/services/query_fixture.h"

namespace sluice::services {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class QueryServiceTest : public QueryFixture {
 protected:
  template <class Request>
  void ExpectUnbuiltFieldsAreRefused(const Request& valid, const std::set<std::string>& built);
};

// Sets a field to something that is not its default.
void Set(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field) {
  using Field = google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const bool repeated = field.is_repeated();
  switch (field.cpp_type()) {
    case Field::CPPTYPE_INT64:
      return reflection.SetInt64(&message, &field, 1);
    case Field::CPPTYPE_BOOL:
      return reflection.SetBool(&message, &field, true);
    case Field::CPPTYPE_STRING:
      return reflection.SetString(&message, &field, "set");
    case Field::CPPTYPE_ENUM:
      return reflection.AddEnumValue(&message, &field, 1);
    case Field::CPPTYPE_MESSAGE:
      if (repeated) {
        reflection.AddMessage(&message, &field);
      } else {
        reflection.MutableMessage(&message, &field);
      }
      return;
    default:
      FAIL() << "no value for " << field.full_name();
  }
}

// A field that joins the contract is refused until it joins `built`.
template <class Request>
void QueryServiceTest::ExpectUnbuiltFieldsAreRefused(const Request& valid,
                                                     const std::set<std::string>& built) {
  int refused = 0;
  for (int i = 0; i < Request::descriptor()->field_count(); ++i) {
    const auto& field = *Request::descriptor()->field(i);
    Request request = valid;
    Set(request, field);
    const absl::Status status = Said(request);
    if (built.count(field.name()) > 0) {
      EXPECT_NE(errors::ReasonOf(status), "FIELD_NOT_IMPLEMENTED") << field.name();
      continue;
    }
    ++refused;
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << field.name();
    EXPECT_EQ(errors::ReasonOf(status), "FIELD_NOT_IMPLEMENTED") << field.name();
    EXPECT_EQ(errors::MetadataOf(status, "field"), field.name());
    EXPECT_EQ(errors::MetadataOf(status, "executed"), "no") << field.name();
  }
  EXPECT_EQ(refused, 1);
}

TEST_F(QueryServiceTest, EveryFieldThatIsNotBuiltIsRefusedByName) {
  ExpectUnbuiltFieldsAreRefused(
      request_, {"connection_id", "sql", "params", "named_params", "max_rows", "max_bytes",
                 "max_affected_rows", "read_only", "validate_only", "request_id", "retry", "labels",
                 "transaction", "param_types"});
  ExpectUnbuiltFieldsAreRefused(
      stream_request_, {"connection_id", "sql", "params", "named_params", "max_affected_rows",
                        "read_only", "validate_only", "request_id", "retry", "labels",
                        "chunk_bytes", "transaction", "param_types"});
}

TEST_F(QueryServiceTest, SessionOptionsReachAnEngineThatHasSessions) {
  core::Connections::Entry entry = core::EntryOf("elsewhere", "elsewhere", database_);
  entry.engine = db::EngineKind::kPostgresql;
  ASSERT_TRUE(connections_.Add(std::move(entry)).ok());
  ASSERT_TRUE(Query().ok());
  EXPECT_EQ(database_->executed[0].session, nullptr);
  request_.set_connection_id("elsewhere");
  pb::SessionOptions& session = *request_.mutable_session();
  session.add_search_path("a");
  session.add_search_path("b");
  session.set_time_zone("Asia/Tokyo");
  session.set_role("clerk");
  (*session.mutable_settings())["app.tenant"] = "one";
  ASSERT_TRUE(Query().ok());
  const db::SessionOptionsPtr& options = database_->executed[1].session;
  ASSERT_NE(options, nullptr);
  EXPECT_THAT(options->search_path, ::testing::ElementsAre("a", "b"));
  EXPECT_EQ(options->time_zone, "Asia/Tokyo");
  EXPECT_EQ(options->role, "clerk");
  EXPECT_EQ(options->settings.at("app.tenant"), "one");
}

TEST_F(QueryServiceTest, TypesOfParametersFitTheirValues) {
  const auto refused = [&] { return InvalidField(Query().status()); };
  request_.clear_params();
  request_.add_param_types(pb::VALUE_TYPE_INT64);
  EXPECT_EQ(refused(), "param_types");
  pb::Value& value = *request_.add_params();
  value.set_string_value("7");
  EXPECT_EQ(refused(), "params[0]");
  value.set_null_value(google::protobuf::NULL_VALUE);
  EXPECT_TRUE(Query().ok());
  value.set_int64_value(7);
  EXPECT_TRUE(Query().ok());
  ASSERT_NE(database_->executed.back().param_types, nullptr);
  request_.set_param_types(0, pb::VALUE_TYPE_ARRAY);
  EXPECT_EQ(refused(), "param_types[0]");
  request_.set_param_types(0, static_cast<pb::ValueType>(99));
  EXPECT_EQ(refused(), "param_types[0]");
  request_.set_param_types(0, pb::VALUE_TYPE_UNSPECIFIED);
  EXPECT_TRUE(Query().ok());
}

TEST_F(QueryServiceTest, ARefusedRequestNeverReachesTheDatabase) {
  request_.set_request_id("0190b7f0");
  EXPECT_EQ(InvalidField(Query().status()), "request_id");
  request_.clear_request_id();
  request_.set_max_affected_rows(-1);
  EXPECT_EQ(InvalidField(Query().status()), "max_affected_rows");
  request_.clear_max_affected_rows();
  request_.set_max_rows(-1);
  EXPECT_EQ(InvalidField(Query().status()), "max_rows");
  request_.clear_max_rows();
  request_.set_connection_id("nobody");
  EXPECT_EQ(errors::ReasonOf(Query().status()), "CONNECTION_NOT_FOUND");
  request_.clear_connection_id();
  EXPECT_EQ(InvalidField(Query().status()), "connection_id");
  EXPECT_THAT(database_->executed, IsEmpty());
}

TEST_F(QueryServiceTest, LimitsComeFromTheRequestOrTheServer) {
  ASSERT_TRUE(Query().ok());
  EXPECT_EQ(database_->executed[0].max_rows, 1000);
  EXPECT_EQ(database_->executed[0].max_bytes, 4 << 20);
  EXPECT_FALSE(database_->executed[0].read_only);

  request_.set_max_rows(1'000'000);
  request_.set_max_bytes(64 << 20);
  request_.set_read_only(true);
  ASSERT_TRUE(Query().ok());
  EXPECT_EQ(database_->executed[1].max_rows, 1'000'000);
  EXPECT_EQ(database_->executed[1].max_bytes, 64 << 20);
  EXPECT_TRUE(database_->executed[1].read_only);

  request_.set_max_bytes((64 << 20) + 1);
  EXPECT_EQ(InvalidField(Query().status()), "max_bytes");
  request_.set_max_rows(1'000'001);
  EXPECT_EQ(InvalidField(Query().status()), "max_rows");
}

TEST_F(QueryServiceTest, AReadOnlyConnectionMakesEveryStatementReadOnly) {
  request_.set_connection_id("guarded");
  stream_request_.set_connection_id("guarded");
  ASSERT_TRUE(Query().ok());
  ASSERT_TRUE(Stream().ok());
  EXPECT_TRUE(database_->executed[0].read_only);
  EXPECT_TRUE(database_->opened[0].read_only);
}

TEST_F(QueryServiceTest, AReplyIsTheDriversBytesAndTheFacts) {
  db::Rows rows = Encoded(3);
  rows.truncated = true;
  rows.rows_affected = 4;
  rows.last_insert_rowid = 9;
  rows.command_tag = "SELECT 3";
  const std::string wire = rows.wire;
  database_->answers.push_back(Answers(std::move(rows)));
  database_->answers.back().delay = absl::Milliseconds(40);

  const auto reply = Query();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, wire);
  EXPECT_EQ(reply->head.columns_size() + reply->head.rows_size(), 0);
  const pb::QueryResponse response = Parsed(*reply);
  EXPECT_EQ(response.columns_size(), 1);
  EXPECT_EQ(response.rows_size(), 3);
  EXPECT_TRUE(response.has_columns());
  EXPECT_TRUE(response.truncated());
  EXPECT_EQ(response.rows_affected(), 4);
  EXPECT_EQ(response.last_insert_rowid(), 9);
  EXPECT_EQ(response.command_tag(), "SELECT 3");
  EXPECT_EQ(response.elapsed().nanos(), 40'000'000);
}

TEST_F(QueryServiceTest, WhatWasNotAppliedIsTriedAgain) {
  database_->answers.push_back(Fails(errors::PoolClosed()));
  database_->answers.push_back(Fails(errors::PoolClosed()));
  database_->answers.push_back(Answers(Encoded(1)));
  const auto reply = Query();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(Parsed(*reply).rows_size(), 1);
  EXPECT_EQ(reply->head.elapsed().seconds(), 2);
  EXPECT_THAT(database_->executed, SizeIs(3));
}

TEST_F(QueryServiceTest, TheRequestsRetryOptionsAreObeyed) {
  request_.mutable_retry()->set_max_attempts(2);
  request_.mutable_retry()->mutable_delay()->set_nanos(50'000'000);
  database_->answers = {Fails(errors::PoolClosed()), Fails(errors::PoolClosed())};
  const absl::Duration begun = timeline_.clock().Steady();
  const absl::Status status = Query().status();
  EXPECT_EQ(errors::MetadataOf(status, "attempts"), "2");
  EXPECT_EQ(timeline_.clock().Steady() - begun, absl::Milliseconds(50));
  EXPECT_THAT(database_->executed, SizeIs(2));
}

TEST_F(QueryServiceTest, AnErrorOfTheStatementIsAnsweredAtOnce) {
  database_->answers.push_back(Fails(errors::DatabaseCorrupt("The file is damaged.")));
  EXPECT_EQ(errors::ReasonOf(Query().status()), "DATABASE_CORRUPT");
  EXPECT_THAT(database_->executed, SizeIs(1));
}

}  // namespace
}  // namespace sluice::services
