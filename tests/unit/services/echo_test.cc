#include "server/services/echo.h"

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

#include "nlohmann/json.hpp"
#include "server/base/errors.h"
#include "server/base/log.h"
#include "tests/unit/services/query_fixture.h"

namespace sluice::services {
namespace {

// The log before its Init is written at once, by the caller.
class EchoTest : public QueryFixture {
 protected:
  ~EchoTest() override { SetLevel(log::Level::kInfo); }

  static void SetLevel(log::Level level) {
    log::internal::threshold.store(static_cast<int>(level), std::memory_order_relaxed);
  }

  // What running the request at this level leaves in the log.
  std::string Logged(QueryService& service, log::Level level) {
    SetLevel(level);
    ::testing::internal::CaptureStderr();
    timeline_.Run(service.Query(ctx_, request_)).status().IgnoreError();
    return ::testing::internal::GetCapturedStderr();
  }

  static QueryOptions Echoing() {
    QueryOptions options;
    options.log_sql = true;
    return options;
  }

  QueryService echoing_{venues_, Echoing(), timeline_.clock()};
};

TEST_F(EchoTest, AStatementIsLoggedByItsFingerprint) {
  request_.set_sql("SELECT n FROM t WHERE secret = 'hunter2'");
  (*request_.mutable_labels())["team"] = "blue";
  (*request_.mutable_labels())["app"] = "shop";
  ctx_.request_id = "req_1";
  database_->answers.push_back(Answers(Encoded(3)));
  const std::string line = Logged(echoing_, log::Level::kInfo);
  EXPECT_FALSE(absl::StrContains(line, "hunter2")) << line;
  const auto record = nlohmann::json::parse(line);
  EXPECT_EQ(record["message"], "select n from t where secret = ?");
  EXPECT_EQ(record["request_id"], "req_1");
  EXPECT_EQ(record["connection"], "h_default");
  EXPECT_EQ(record["fingerprint"].get<std::string>().size(), 16U);
  EXPECT_EQ(record["code"], "OK");
  EXPECT_EQ(record["rows"], 3);
  EXPECT_EQ(record["labels"], "app=shop, team=blue");
}

TEST_F(EchoTest, AtLevelDebugItsTextIsThereToo) {
  database_->answers.push_back(Fails(errors::DatabaseCorrupt("The file is damaged.")));
  const auto record = nlohmann::json::parse(Logged(echoing_, log::Level::kDebug));
  EXPECT_EQ(record["sql"], "SELECT n FROM t");
  EXPECT_EQ(record["code"], "DATA_LOSS");
}

TEST_F(EchoTest, WithoutTheSettingNothingIsLogged) {
  EXPECT_EQ(Logged(service_, log::Level::kDebug), "");
}

TEST_F(EchoTest, AStreamIsLoggedWhenItEnded) {
  SetLevel(log::Level::kInfo);
  database_->answers = {Answers(Encoded(2)), Answers(End())};
  ::testing::internal::CaptureStderr();
  ASSERT_TRUE(timeline_.Run(echoing_.StreamQuery(ctx_, stream_request_, sink_)).ok());
  const auto record = nlohmann::json::parse(::testing::internal::GetCapturedStderr());
  EXPECT_EQ(record["rows"], 2);
}

}  // namespace
}  // namespace sluice::services
