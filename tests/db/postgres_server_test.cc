// The PostgreSQL servers that the tests of the driver run on.
#include <csignal>
#include <string>

#include "gtest/gtest-spi.h"
#include "gtest/gtest.h"

#include "tests/support/postgres.h"
#include "tests/support/private_postgres.h"

namespace sluice::test {
namespace {

class PostgresServer : public ::testing::Test {
 protected:
  void SetUp() override { SLUICE_NEED_POSTGRES(); }
};

TEST_F(PostgresServer, EachTestHasAnEmptyDatabase) {
  const TestDatabase first;
  const TestDatabase second;
  EXPECT_EQ(first.Psql("CREATE TABLE t (n int, s text)"), "");
  EXPECT_EQ(first.Psql("INSERT INTO t VALUES (1, 'one'), (2, NULL) RETURNING *"), "1|one\n2|");
  EXPECT_EQ(second.Psql("SELECT count(*) FROM pg_tables WHERE tablename = 't'"), "0");
  EXPECT_GT(first.port(), 0);
  EXPECT_NE(first.name(), second.name());
}

TEST_F(PostgresServer, ADatabaseGoesWithItsTest) {
  std::string name;
  {
    const TestDatabase database;
    name = database.name();
  }
  EXPECT_EQ(Psql(*TestPostgresConninfo(),
                 "SELECT count(*) FROM pg_database WHERE datname = '" + name + "'"),
            "0");
}

TEST_F(PostgresServer, AnErrorOfTheDatabaseFailsTheTest) {
  const TestDatabase database;
  EXPECT_NONFATAL_FAILURE(database.Psql("SELECT 1 / 0"), "division by zero");
}

TEST_F(PostgresServer, APrivateServerIsStoppedAndStartedWhereItWas) {
  PrivatePostgresOptions options;
  options.max_connections = 5;
  options.password = "the 'word'";
  PrivatePostgres server(options);
  EXPECT_EQ(Psql(server.conninfo(), "SHOW max_connections"), "5");
  const int port = server.port();

  server.Stop(PostgresStop::kImmediate);
  EXPECT_EQ(server.Pid(), 0);
  EXPECT_NONFATAL_FAILURE(Psql(server.conninfo(), "SELECT 1"), "refused");

  server.Start();
  EXPECT_EQ(server.port(), port);
  EXPECT_EQ(kill(server.Pid(), 0), 0);
  EXPECT_EQ(Psql(server.conninfo(), "SELECT 1"), "1");
}

TEST_F(PostgresServer, APrivateServerRecoversFromBeingKilled) {
  PrivatePostgres server;
  const TestDatabase database(server.conninfo());
  database.Psql("CREATE TABLE t AS SELECT 1 AS n");
  server.Kill();
  EXPECT_EQ(server.Pid(), 0);
  server.Start();
  EXPECT_EQ(database.Psql("SELECT n FROM t"), "1");
}

}  // namespace
}  // namespace sluice::test
