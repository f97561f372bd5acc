#include "client/errors.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

#include "client/address.h"
#include "client/retry.h"

namespace sluice::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A failed call as a server sends it: code, message and the details trailer.
class Trailer {
 public:
  template <class Detail>
  Trailer& Add(const Detail& detail) {
    status_.add_details()->PackFrom(detail);
    return *this;
  }

  absl::Status Status(absl::StatusCode code, const std::string& message) {
    status_.set_code(static_cast<int>(code));
    status_.set_message(message);
    return MakeStatus(static_cast<int>(code), message, status_.SerializeAsString());
  }

 private:
  google::rpc::Status status_;
};

google::rpc::ErrorInfo Info(const std::string& reason, const std::string& executed) {
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("sluice");
  (*info.mutable_metadata())["executed"] = executed;
  return info;
}

google::rpc::RetryInfo RetryAfter(int64_t seconds) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds);
  return info;
}

TEST(ClientErrors, EveryDetailIsReadByItsType) {
  google::rpc::ErrorInfo info = Info("SQL_ERROR", "rolled_back");
  (*info.mutable_metadata())["sqlstate"] = "23505";
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("params[2]");
  violation->set_description("is no integer");
  google::rpc::PreconditionFailure precondition;
  precondition.add_violations()->set_description("open it first");
  google::rpc::QuotaFailure quota;
  quota.add_violations()->set_description("64 waiting at most");
  google::rpc::RequestInfo request;
  request.set_request_id("req_1");
  google::rpc::Help help;
  help.add_links()->set_url("docs/errors.md");
  v1::SqlDiagnostic sql;
  sql.set_position(12);
  sql.set_hint("spell it");

  const Error error =
      DecodeError(Trailer()
                      .Add(info)
                      .Add(bad)
                      .Add(precondition)
                      .Add(quota)
                      .Add(RetryAfter(2))
                      .Add(request)
                      .Add(help)
                      .Add(sql)
                      .Status(absl::StatusCode::kAlreadyExists, "there is one already"));

  EXPECT_EQ(error.code, absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(error.message, "there is one already");
  EXPECT_EQ(error.reason, "SQL_ERROR");
  EXPECT_EQ(error.executed, Executed::kRolledBack);
  EXPECT_EQ(error.metadata.at("sqlstate"), "23505");
  ASSERT_EQ(error.fields.size(), 1U);
  EXPECT_EQ(error.fields[0].field, "params[2]");
  EXPECT_EQ(error.fields[0].description, "is no integer");
  EXPECT_THAT(error.conditions, ElementsAre("open it first", "64 waiting at most"));
  EXPECT_EQ(error.retry_delay, absl::Seconds(2));
  EXPECT_EQ(error.request_id, "req_1");
  EXPECT_THAT(error.links, ElementsAre("docs/errors.md"));
  ASSERT_TRUE(error.sql.has_value());
  EXPECT_EQ(error.sql->position(), 12);
  EXPECT_EQ(error.sql->hint(), "spell it");
}

TEST(ClientErrors, AStatusWithoutDetailsStillHasCodeAndMessage) {
  const Error error = DecodeError(MakeStatus(13, "broken", ""));
  EXPECT_EQ(error.code, absl::StatusCode::kInternal);
  EXPECT_EQ(error.message, "broken");
  EXPECT_EQ(error.executed, Executed::kUnknown);
  EXPECT_FALSE(error.sql.has_value());
  EXPECT_FALSE(error.retry_delay.has_value());
}

TEST(ClientErrors, DetailsThatDoNotParseAreLeftOut) {
  const Error error = DecodeError(MakeStatus(3, "no", "\xFF\xFF\xFF"));
  EXPECT_EQ(error.code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error.message, "no");

  google::rpc::Status status;
  auto* detail = status.add_details();
  detail->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail->set_value("\xFF");
  EXPECT_EQ(DecodeError(MakeStatus(3, "no", status.SerializeAsString())).reason, "");
}

TEST(ClientErrors, AConnectionThatWasNeverMadeExecutedNothing) {
  EXPECT_EQ(DecodeError(absl::UnavailableError("failed to connect to all addresses; last error: x"))
                .executed,
            Executed::kNo);
  EXPECT_EQ(DecodeError(absl::UnavailableError("Socket closed")).executed, Executed::kUnknown);
  EXPECT_EQ(DecodeError(absl::UnknownError("failed to connect to all addresses")).executed,
            Executed::kUnknown);
}

TEST(ClientErrors, TheServersWordOnExecutionStandsAboveAGuess) {
  const Error error = DecodeError(
      Trailer()
          .Add(Info("SERVER_DRAINING", "unknown"))
          .Status(absl::StatusCode::kUnavailable, "failed to connect to all addresses"));
  EXPECT_EQ(error.executed, Executed::kUnknown);
}

TEST(ClientErrors, AFailureInAnAnswerBecomesAStatus) {
  v1::StepError failure;
  failure.set_code(6);
  failure.set_message("taken");
  failure.set_reason("SQL_ERROR");
  (*failure.mutable_metadata())["executed"] = "rolled_back";
  failure.mutable_sql()->set_table("t");
  const Error error = DecodeError(MakeStatus(failure));
  EXPECT_EQ(error.code, absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(error.message, "taken");
  EXPECT_EQ(error.reason, "SQL_ERROR");
  EXPECT_EQ(error.executed, Executed::kRolledBack);
  ASSERT_TRUE(error.sql.has_value());
  EXPECT_EQ(error.sql->table(), "t");
  EXPECT_FALSE(MakeStatus(v1::StepError()).ok()) << "a failure without a code is one";
}

TEST(ClientErrors, LocalErrorsMayHaveFurtherFacts) {
  const Error error = DecodeError(
      LocalError(absl::StatusCode::kUnknown, "X", Executed::kNo, "x", {{"request_id", "7"}}));
  EXPECT_EQ(error.metadata.at("request_id"), "7");
  EXPECT_EQ(error.executed, Executed::kNo);
}

TEST(ClientErrors, LocalErrorsHaveTheSameForm) {
  const Error error = DecodeError(
      LocalError(absl::StatusCode::kDataLoss, "STREAM_INCOMPLETE", Executed::kUnknown, "cut"));
  EXPECT_EQ(error.reason, "STREAM_INCOMPLETE");
  EXPECT_EQ(error.metadata.at("executed"), "unknown");
}

TEST(ClientRetry, OnlyWhatCertainlyWasNotExecutedIsSentAgain) {
  const RetryPolicy policy;
  const auto draining = [](const std::string& executed) {
    return Trailer()
        .Add(Info("SERVER_DRAINING", executed))
        .Status(absl::StatusCode::kUnavailable, "draining");
  };
  EXPECT_TRUE(RetryDelay(policy, draining("no"), 1, 0.5).has_value());
  EXPECT_FALSE(RetryDelay(policy, draining("unknown"), 1, 0.5).has_value());
  EXPECT_FALSE(RetryDelay(policy, draining("rolled_back"), 1, 0.5).has_value());
  EXPECT_FALSE(RetryDelay(policy, absl::UnavailableError("Socket closed"), 1, 0.5).has_value());
  const absl::Status busy = Trailer()
                                .Add(Info("SERVER_OVERLOADED", "no"))
                                .Status(absl::StatusCode::kResourceExhausted, "busy");
  EXPECT_FALSE(RetryDelay(policy, busy, 1, 0.5).has_value());
}

TEST(ClientRetry, AttemptsAreBounded) {
  RetryPolicy policy;
  policy.max_attempts = 2;
  const absl::Status status = LocalError(absl::StatusCode::kUnavailable, "X", Executed::kNo, "x");
  EXPECT_TRUE(RetryDelay(policy, status, 1, 0).has_value());
  EXPECT_FALSE(RetryDelay(policy, status, 2, 0).has_value());
}

TEST(ClientRetry, ThePauseGrowsUpToItsBoundAndNeverUndercutsRetryInfo) {
  RetryPolicy policy;
  policy.max_attempts = 100;
  const absl::Status plain = LocalError(absl::StatusCode::kUnavailable, "X", Executed::kNo, "x");
  EXPECT_EQ(RetryDelay(policy, plain, 1, 0.5), absl::Milliseconds(50));
  EXPECT_EQ(RetryDelay(policy, plain, 3, 0.5), absl::Milliseconds(200));
  EXPECT_EQ(RetryDelay(policy, plain, 99, 0.5), policy.max_backoff / 2);
  const absl::Status asked =
      Trailer().Add(Info("X", "no")).Add(RetryAfter(7)).Status(absl::StatusCode::kUnavailable, "x");
  EXPECT_EQ(RetryDelay(policy, asked, 1, 0), absl::Seconds(7));
}

TEST(ClientAddress, HostsAndSocketsAreAccepted) {
  for (const char* address : {"127.0.0.1:50051", "localhost:1", "[::1]:65535", "unix:/tmp/s.sock",
                              "unix:relative.sock", "db.example:443"}) {
    EXPECT_TRUE(CheckAddress(address).ok()) << address;
  }
}

TEST(ClientAddress, WhatIsNoAddressIsExplained) {
  for (const char* address :
       {"", "localhost", ":50051", "localhost:", "localhost:0", "localhost:65536", "localhost:x",
        "::1:50051", "unix:", "http://localhost:50051", "localhost:50051/"}) {
    const absl::Status status = CheckAddress(address);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_THAT(std::string(status.message()), HasSubstr("HOST:PORT")) << address;
  }
  EXPECT_FALSE(CheckAddress("unix:/" + std::string(120, 'x')).ok());
}

}  // namespace
}  // namespace sluice::client
