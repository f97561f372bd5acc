// What the tests of every driver share. A new driver adds a line to Engines().
#ifndef SLUICE_TESTS_DB_CONFORMANCE_H_
#define SLUICE_TESTS_DB_CONFORMANCE_H_

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/db/database.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/postgres.h"
#include "tests/support/temp_dir.h"

namespace sluice::test {

// Where an engine under test has its empty database.
struct Place {
  ManualExecutor& executor;
  TempDir& dir;
  std::optional<TestDatabase>& server;  // PostgreSQL: made when it is asked for
};

struct Engine {
  std::string name;
  std::function<absl::StatusOr<std::shared_ptr<db::Database>>(Place place)> open;
  db::EngineKind kind = db::EngineKind::kSqlite;
};

inline std::ostream& operator<<(std::ostream& out, const Engine& engine) {
  return out << engine.name;
}

inline std::vector<Engine> Engines() {
  return {
      {"sqlite",
       [](Place place) { return OpenSqlite(place.executor, place.dir.File("conformance.db")); }},
      {"sqlite_memory", [](Place place) { return OpenSqlite(place.executor, ":memory:"); }},
      {"postgres", [](Place place) { return OpenPostgres(place.executor, place.server.emplace()); },
       db::EngineKind::kPostgresql},
  };
}

class Conformance : public ::testing::TestWithParam<Engine> {
 public:
  static bool on_postgres() { return GetParam().kind == db::EngineKind::kPostgresql; }

 protected:
  void SetUp() override {
    if (on_postgres()) SLUICE_NEED_POSTGRES();
    auto opened = GetParam().open(Place{executor_, dir_, server_});
    ASSERT_THAT(opened, IsOk());
    database_ = *std::move(opened);
    ASSERT_THAT(executor_.Run(database_->KeepRequests(Context())), IsOk());
  }

  void TearDown() override {
    if (database_ != nullptr) database_->Close();
  }

  absl::StatusOr<pb::QueryResponse> Ask(absl::string_view sql,
                                        std::initializer_list<pb::Value> params = {}) {
    return Execute(executor_, *database_, sql, params);
  }

  void MakeNumbers(int count) {
    ASSERT_THAT(Ask("CREATE TABLE number (n INTEGER PRIMARY KEY, word TEXT)"), IsOk());
    ASSERT_THAT(Ask(absl::StrCat("INSERT INTO number (n, word) WITH RECURSIVE c(x) AS (SELECT 1 "
                                 "UNION ALL SELECT x + 1 FROM c WHERE x < ",
                                 count, ") SELECT x, 'word ' || x FROM c")),
                IsOk());
  }

  TempDir dir_;
  std::optional<TestDatabase> server_;
  ManualExecutor executor_;
  std::shared_ptr<db::Database> database_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_DB_CONFORMANCE_H_
