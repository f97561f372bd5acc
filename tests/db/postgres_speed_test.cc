// Speed: which statements may share a connection.
#include "absl/time/time.h"
#include "gtest/gtest.h"

#include "server/db/postgres/plan.h"

namespace sluice::postgres {
namespace {

constexpr absl::Duration kQuick = absl::Microseconds(100);

Speed Quick() {
  Speed speed;
  speed.Learn(kQuick);
  return speed;
}

TEST(PostgresSpeedTest, WhatWasNeverRunIsNotKnown) {
  const Speed speed;
  EXPECT_FALSE(speed.known());
  EXPECT_FALSE(speed.slow());
}

TEST(PostgresSpeedTest, OneQuickExecutionIsEnough) {
  const Speed speed = Quick();
  EXPECT_TRUE(speed.known());
  EXPECT_FALSE(speed.slow());
}

TEST(PostgresSpeedTest, WhatIsSlowTheFirstTimeIsSlow) {
  Speed speed;
  speed.Learn(Speed::kSlow);
  EXPECT_TRUE(speed.known());
  EXPECT_TRUE(speed.slow());
}

TEST(PostgresSpeedTest, OneSlowExecutionInAHundredIsForgiven) {
  Speed speed = Quick();
  for (int i = 0; i < 1000; ++i) {
    speed.Learn(i % 101 == 50 ? Speed::kSlow : kQuick);
    EXPECT_FALSE(speed.slow()) << i;
  }
}

TEST(PostgresSpeedTest, OneSlowExecutionInTenIsNot) {
  Speed speed = Quick();
  for (int i = 0; i < 100; ++i) speed.Learn(i % 10 == 5 ? Speed::kSlow : kQuick);
  EXPECT_TRUE(speed.slow());
}

TEST(PostgresSpeedTest, WhatWasSlowOnceMayBecomeQuickAgain) {
  Speed speed;
  speed.Learn(absl::Seconds(1));
  ASSERT_TRUE(speed.slow());
  int runs = 0;
  while (speed.slow() && runs < 10'000) {
    speed.Learn(kQuick);
    ++runs;
  }
  EXPECT_GT(runs, 10);
  EXPECT_LT(runs, 1000);
}

TEST(PostgresSpeedTest, WhatOverranWaitsLongerThanWhatWasSlow) {
  const auto until_quick = [](Speed speed) {
    int runs = 0;
    for (; speed.slow(); ++runs) speed.Learn(kQuick);
    return runs;
  };
  Speed slow;
  slow.Learn(absl::Seconds(1));
  Speed overran = Quick();
  overran.LearnSlow();
  EXPECT_TRUE(overran.known());
  EXPECT_GT(until_quick(overran), until_quick(slow));
}

TEST(PostgresSpeedTest, HoweverOftenItIsSlowItIsForgottenInTime) {
  Speed speed;
  for (int i = 0; i < 100'000; ++i) speed.Learn(absl::Seconds(1));
  for (int i = 0; i < 1000; ++i) speed.Learn(kQuick);
  EXPECT_FALSE(speed.slow());
}

// What a text leaves behind in its session, as far as it can tell.

bool IsPlain(absl::string_view sql) {
  return MakePlan(sql)->plain;
}

TEST(PostgresPlanTest, OrdinaryStatementsLeaveNothingBehind) {
  for (const absl::string_view sql :
       {"SELECT 1", "/* hint */ (SELECT 1)", "TABLE t", "VALUES (1)",
        "INSERT INTO t VALUES (1) RETURNING a", "UPDATE t SET a = 1", "DELETE FROM t",
        "WITH x AS (SELECT 1) SELECT * FROM x", "WITH x AS (SELECT 1) INSERT INTO t TABLE x",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE"}) {
    EXPECT_TRUE(IsPlain(sql)) << sql;
  }
}

TEST(PostgresPlanTest, WhatMayLeaveSomethingBehindIsFoundWhereverItStands) {
  for (const absl::string_view sql :
       {"SELECT set_config('a.b', 'c', false)", "SELECT SET_CONFIG('a.b', 'c', false)",
        "SELECT \"set_config\"('a.b', 'c', false)", "SELECT U&\"set\\005fconfig\"('a', 'b', false)",
        "SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_lock_shared(1)",
        "INSERT INTO t SELECT pg_advisory_lock(1)", "SELECT setseed(0.5)", "SELECT lo_open(1, 2)",
        "SELECT * FROM pg_temp.t", "EXPLAIN ANALYZE SELECT 1", "SELECT 1 INTO TEMP t",
        "SELECT 1 AS a INTO t", "CREATE TEMP TABLE t(a int)", "DO 'BEGIN END'", "CALL p()",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SHOW search_path", "NOTIFY a"}) {
    EXPECT_FALSE(IsPlain(sql)) << sql;
  }
}

TEST(PostgresPlanTest, ATableThatAQueryMakesIsFoundBehindAWith) {
  EXPECT_FALSE(IsPlain("WITH x AS (SELECT 1 AS a) SELECT a INTO TEMP TABLE t FROM x"));
}

TEST(PostgresPlanTest, AnUpdateOfTheSettingsIsFound) {
  EXPECT_FALSE(IsPlain("UPDATE pg_settings SET setting = 'x' WHERE name = 'search_path'"));
}

TEST(PostgresPlanTest, AStatementInAParameterIsFound) {
  EXPECT_FALSE(IsPlain("SELECT query_to_xml($1, true, false, '')"));
  EXPECT_FALSE(IsPlain("SELECT word FROM ts_stat($1)"));
}

}  // namespace
}  // namespace sluice::postgres
