#include "tests/support/postgres.h"

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <utility>

#include <libpq-fe.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice::test {
namespace {

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

const char* Environment(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets the environment while tests run
  return std::getenv(name);
}

std::string RowsAsText(const PGresult* result) {
  std::string text;
  for (int row = 0; row < PQntuples(result); ++row) {
    if (row > 0) text += '\n';
    for (int column = 0; column < PQnfields(result); ++column) {
      if (column > 0) text += '|';
      absl::StrAppend(&text, PQgetvalue(result, row, column));
    }
  }
  return text;
}

// Databases of tests that run beside each other differ by the process, those of one process by the
// number.
std::string UniqueName() {
  static std::atomic<int> count = 0;
  return absl::StrCat("test_", getpid(), "_", ++count);
}

// A later word of a conninfo replaces an earlier one of the same name.
std::string InDatabase(const std::string& conninfo, absl::string_view name) {
  return absl::StrCat(conninfo, " dbname=", name);
}

}  // namespace

std::optional<std::string> TestPostgresConninfo() {
  if (const char* given = Environment("SLUICE_TEST_POSTGRES")) return given;
  const char* folder = Environment("SLUICE_TEST_POSTGRES_STATE");
  if (folder == nullptr) return std::nullopt;
  // The parent is the ctest that the server was started for.
  std::ifstream state(absl::StrCat(folder, "/", getppid()));
  std::string conninfo;
  if (!std::getline(state, conninfo)) return std::nullopt;
  return conninfo;
}

bool SkippingIsFailing() {
  const char* required = Environment("SLUICE_REQUIRE");
  return required != nullptr && absl::string_view(required) == "all";
}

PostgresAddress ParseConninfo(const std::string& conninfo) {
  PostgresAddress address;
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(conninfo.c_str(), &error), &PQconninfoFree);
  if (options == nullptr) {
    ADD_FAILURE() << conninfo << ": " << error;
    PQfreemem(error);
    return address;
  }
  for (const PQconninfoOption* each = options.get(); each->keyword != nullptr; ++each) {
    if (each->val == nullptr) continue;
    const absl::string_view keyword = each->keyword;
    if (keyword == "host") address.host = each->val;
    if (keyword == "port" && !absl::SimpleAtoi(each->val, &address.port)) {
      ADD_FAILURE() << "no number of a port: " << conninfo;
    }
    if (keyword == "user") address.user = each->val;
    if (keyword == "password") address.password = each->val;
  }
  return address;
}

std::string Psql(const std::string& conninfo, const std::string& sql) {
  const Connection connection(PQconnectdb(conninfo.c_str()), &PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    ADD_FAILURE() << PQerrorMessage(connection.get());
    return "";
  }
  // Notices are not what a test asked for.
  PQsetNoticeProcessor(
      connection.get(), [](void*, const char*) {}, nullptr);
  const Result result(PQexec(connection.get(), sql.c_str()), &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    ADD_FAILURE() << sql << ": " << PQerrorMessage(connection.get());
    return "";
  }
  return RowsAsText(result.get());
}

TestDatabase::TestDatabase() : TestDatabase(TestPostgresConninfo().value_or("")) {}

TestDatabase::TestDatabase(std::string server_conninfo)
    : server_conninfo_(std::move(server_conninfo)),
      address_(ParseConninfo(server_conninfo_)),
      name_(UniqueName()) {
  // No one is ever connected to template0, so it can be copied at any time.
  test::Psql(server_conninfo_, absl::StrCat("CREATE DATABASE ", name_, " TEMPLATE template0"));
}

TestDatabase::~TestDatabase() {
  test::Psql(server_conninfo_, absl::StrCat("DROP DATABASE ", name_, " WITH (FORCE)"));
}

std::string TestDatabase::Conninfo() const {
  return InDatabase(server_conninfo_, name_);
}

std::string TestDatabase::Psql(const std::string& sql) const {
  return test::Psql(Conninfo(), sql);
}

}  // namespace sluice::test
