// The PostgreSQL server of a test run: every test that needs one has a database of its own on it.
#ifndef SLUICE_TESTS_SUPPORT_POSTGRES_H_
#define SLUICE_TESTS_SUPPORT_POSTGRES_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace sluice::test {

// How to reach the server, for libpq: SLUICE_TEST_POSTGRES, or else what the run of ctest started.
// Nothing without one.
std::optional<std::string> TestPostgresConninfo();

// SLUICE_REQUIRE=all: a test that would be skipped fails.
bool SkippingIsFailing();

// For SetUp() and for a test's begin: goes no further where there is no server.
#define SLUICE_NEED_POSTGRES()                                                                  \
  do {                                                                                          \
    if (!::sluice::test::TestPostgresConninfo()) {                                              \
      if (::sluice::test::SkippingIsFailing()) FAIL() << "missing: apt-get install postgresql"; \
      GTEST_SKIP() << "apt-get install postgresql";                                             \
    }                                                                                           \
  } while (false)

// Where a server is, and who asks.
struct PostgresAddress {
  std::string host;
  int port = 0;
  std::string user;
  std::string password;  // empty: none is needed
};

// The parts of a conninfo; fails the test if it cannot be read.
PostgresAddress ParseConninfo(const std::string& conninfo);

// Runs SQL on a connection of its own and answers the last statement's rows, a line each, with |
// between the values; an error fails the test.
std::string Psql(const std::string& conninfo, const std::string& sql);

// TestDatabase: an empty database for one test, made after SLUICE_NEED_POSTGRES(). When the test
// ends it is dropped, and who is still connected to it is thrown out.
class TestDatabase {
 public:
  // On the server of the run, or on the one that is named.
  TestDatabase();
  explicit TestDatabase(std::string server_conninfo);
  ~TestDatabase();

  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  const std::string& name() const { return name_; }

  const PostgresAddress& address() const { return address_; }

  const std::string& host() const { return address_.host; }

  int port() const { return address_.port; }

  const std::string& user() const { return address_.user; }

  // For libpq.
  std::string Conninfo() const;

  // As the function of that name, in this database.
  std::string Psql(const std::string& sql) const;

 private:
  const std::string server_conninfo_;
  const PostgresAddress address_;
  const std::string name_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_SUPPORT_POSTGRES_H_
