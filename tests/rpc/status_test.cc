#include "server/rpc/status.h"

#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"
#include "sluice/v1/common.pb.h"

namespace sluice::rpc {
namespace {

template <class Detail>
bool Find(const google::rpc::Status& status, Detail& out) {
  int found = 0;
  for (const auto& any : status.details()) {
    if (any.Is<Detail>()) {
      ++found;
      any.UnpackTo(&out);
    }
  }
  return found == 1;
}

TEST(Status, CarriesEachDetailOnce) {
  errors::SqlFailure failure;
  failure.code = absl::StatusCode::kAlreadyExists;
  failure.message = "UNIQUE constraint failed: t.a";
  failure.sqlstate = "23505";
  failure.engine = "sqlite";
  failure.engine_code = "SQLITE_CONSTRAINT_UNIQUE";
  failure.constraint = "t.a";
  failure.position = 12;
  failure.hint = "Look.";
  absl::Status status = errors::WithRetryDelay(errors::Sql(failure), absl::Milliseconds(1500));
  const grpc::Status sent = ToGrpcStatus(status, "req_1");
  EXPECT_EQ(sent.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(sent.error_details()));
  EXPECT_EQ(details.message(), sent.error_message());
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(Find(details, info));
  EXPECT_EQ(info.reason(), "SQL_ERROR");
  EXPECT_EQ(info.metadata().at("executed"), "rolled_back");
  EXPECT_EQ(info.metadata().at("sqlstate"), "23505");
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(Find(details, retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
  google::rpc::RequestInfo request;
  ASSERT_TRUE(Find(details, request));
  EXPECT_EQ(request.request_id(), "req_1");
  sluice::v1::SqlDiagnostic sql;
  ASSERT_TRUE(Find(details, sql));
  EXPECT_EQ(sql.position(), 12);
  EXPECT_EQ(sql.hint(), "Look.");
  EXPECT_EQ(sql.engine_code(), "SQLITE_CONSTRAINT_UNIQUE");
}

TEST(Status, StaysWithinWhatAClientTakesWhateverItIsGiven) {
  std::string hostile;
  for (int i = 0; i < 40'000; ++i) hostile += static_cast<char>(i * 7);
  errors::SqlFailure failure;
  failure.message = failure.hint = failure.table = failure.constraint = failure.column = hostile;
  absl::Status status = errors::Sql(failure);
  for (int i = 0; i < 4; ++i)
    status = errors::WithMetadata(status, "key" + std::to_string(i), hostile);
  const grpc::Status sent = ToGrpcStatus(status, "req_1");
  EXPECT_LE(sent.error_message().size() + sent.error_details().size(), 5'200u);
  EXPECT_TRUE(IsValidUtf8(sent.error_message()));
  EXPECT_EQ(sent.error_message().find('\n'), std::string::npos);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(sent.error_details()));
  google::rpc::ErrorInfo info;
  EXPECT_TRUE(Find(details, info));
}

TEST(Status, AForeignErrorStillHasAnErrorInfo) {
  const grpc::Status sent = ToGrpcStatus(absl::InternalError("oops"), "");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(sent.error_details()));
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(Find(details, info));
  EXPECT_EQ(info.reason(), "INTERNAL");
  EXPECT_EQ(info.metadata().at("executed"), "unknown");
}

}  // namespace
}  // namespace sluice::rpc
