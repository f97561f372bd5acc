// A database that is closed while it opens.
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/db/sqlite/database.h"
#include "server/db/sqlite/location.h"
#include "tests/db/sqlite_fixture.h"

namespace sluice::sqlite {
namespace {

using test::Fails;
using test::IsOk;

// A close that came between the opening's first step and the writer's start found no thread to
// join; the writer then started on a closed database, and kept the file locked.
TEST(Opening, ACloseInItsMiddleLeavesNothingOpen) {
  const test::TempDir dir;
  ManualExecutor executor;
  int opened = 0;
  int closed = 0;
  for (int round = 0; round < 300; ++round) {
    auto location = LocateFile(dir.File("test.db"), FileOptions());
    ASSERT_THAT(location, IsOk());
    auto database =
        std::make_shared<Database>(*std::move(location), FileOptions(), db::SqliteSettings());
    std::thread closer([&] {
      for (int spin = 0; spin < round * 50; ++spin)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      database->Close();
    });
    const absl::Status status = executor.Run(database->Opened());
    closer.join();
    ++(status.ok() ? opened : closed);
    if (!status.ok()) {
      EXPECT_THAT(status, Fails(absl::StatusCode::kUnavailable, "POOL_CLOSED"));
    }
    EXPECT_FALSE(std::filesystem::exists(dir.File("test.db.sluice-lock"))) << "round " << round;
  }
  EXPECT_GT(closed, 0) << "every opening was over before its close began: " << opened;
}

}  // namespace
}  // namespace sluice::sqlite
