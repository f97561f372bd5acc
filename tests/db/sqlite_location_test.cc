// Which files a caller may name, and which not, and what happens to the locks of those that are
// open.
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/driver.h"
#include "server/db/sqlite/location.h"
#include "tests/db/sqlite_fixture.h"

namespace sluice::sqlite {
namespace {

namespace fs = std::filesystem;
using test::Fails;
using test::IsOk;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr char kTarget[] = "CONNECTION_INVALID_TARGET";

class LocationTest : public ::testing::Test {
 protected:
  LocationTest() {
    fs::create_directories(root_ + "/sub");
    std::ofstream(outside_) << "outside";
  }

  absl::StatusOr<Location> Locate(const std::string& name, bool must_exist = false) {
    return LocateBeneath(root_, absl::StrCat(root_, "/", name), FileOptions(), must_exist);
  }

  const test::TempDir dir_;
  const std::string root_ = dir_.File("root");
  const std::string outside_ = dir_.File("outside.db");
};

TEST_F(LocationTest, AFileIsMadeForUsAlone) {
  const auto location = Locate("sub/new.db");
  ASSERT_THAT(location, IsOk());
  EXPECT_EQ(location->path, root_ + "/sub/new.db");
  EXPECT_EQ(location->name, "new.db");

  struct stat file {};

  ASSERT_EQ(stat(location->path.c_str(), &file), 0);
  EXPECT_EQ(file.st_ino, location->id.inode);
  EXPECT_EQ(file.st_mode & 0777, 0600U);
  const auto again = Locate("sub/new.db", true);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->id, location->id);
}

TEST_F(LocationTest, MustExistAndReadOnlyMakeNothing) {
  EXPECT_THAT(Locate("new.db", true), Fails(absl::StatusCode::kFailedPrecondition, kTarget));
  FileOptions read_only;
  read_only.read_only = true;
  EXPECT_THAT(LocateBeneath(root_, root_ + "/new.db", read_only, false),
              Fails(absl::StatusCode::kFailedPrecondition, kTarget));
  EXPECT_FALSE(fs::exists(root_ + "/new.db"));
}

TEST_F(LocationTest, Fault92_NoPathLeadsOut) {
  fs::create_symlink(outside_, root_ + "/link.db");
  fs::create_symlink(dir_.path(), root_ + "/way");
  fs::create_symlink("/proc/self", root_ + "/proc");
  fs::create_hard_link(outside_, root_ + "/hard.db");
  fs::create_symlink("nowhere", root_ + "/dangling.db");
  for (const char* name : {"../outside.db", "sub/../../outside.db", "sub/../a.db", "link.db",
                           "way/outside.db", "way/new.db", "hard.db", "dangling.db", "proc/exe",
                           "proc/cwd/a.db", "proc/fd/0", ".", "..", "", "sub/", "sub//a.db"}) {
    EXPECT_THAT(Locate(name), Fails(kDenied, kTarget)) << name;
  }
  for (const std::string& path : {outside_, dir_.path(), std::string("/etc/passwd"),
                                  root_ + "x/a.db", root_, root_ + "/", std::string("/dev/null")}) {
    EXPECT_THAT(LocateBeneath(root_, path, FileOptions(), false), Fails(kDenied, kTarget)) << path;
  }
  EXPECT_FALSE(fs::exists(dir_.File("new.db")));
  EXPECT_FALSE(fs::exists(root_ + "/nowhere"));
}

TEST_F(LocationTest, Fault92_OnlyPlainFiles) {
  ASSERT_EQ(mkfifo((root_ + "/fifo.db").c_str(), 0600), 0);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = root_ + "/socket.db";
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  for (const char* name : {"sub", "fifo.db", "socket.db"}) {
    EXPECT_THAT(Locate(name), Fails(kDenied, kTarget)) << name;
  }
  close(fd);
  // Devices can be made by root only.
  if (mknod((root_ + "/device.db").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) {
    EXPECT_THAT(Locate("device.db"), Fails(kDenied, kTarget));
  }
}

TEST_F(LocationTest, Fault92_NamesOfTheServersOwnFiles) {
  for (const char* name : {"a.db-wal", "a.db-shm", "a.db-journal", "a.db.sluice-lock", "sub/x-wal",
                           "registry.db", "sluiced.lock"}) {
    EXPECT_THAT(Locate(name), Fails(kDenied, kTarget)) << name;
    EXPECT_FALSE(fs::exists(root_ + "/" + name));
  }
}

TEST_F(LocationTest, Fault92_WhatStandsBesideIsNoWayOutEither) {
  for (const char* beside : {"-wal", "-shm", "-journal", ".sluice-lock"}) {
    const std::string path = absl::StrCat(root_, "/a.db", beside);
    fs::create_symlink(outside_, path);
    EXPECT_THAT(Locate("a.db"), Fails(kDenied, kTarget)) << beside;
    fs::remove(path);
    fs::create_hard_link(outside_, path);
    EXPECT_THAT(Locate("a.db"), Fails(kDenied, kTarget)) << beside;
    fs::remove(path);
  }
  EXPECT_THAT(Locate("a.db"), IsOk());
}

TEST_F(LocationTest, Fault92_AnswersDoNotTellWhatIsOutside) {
  fs::create_symlink(outside_, root_ + "/there.db");
  fs::create_symlink(dir_.File("not-there.db"), root_ + "/not-there.db");
  EXPECT_EQ(Locate("there.db").status(), Locate("not-there.db").status());
  EXPECT_EQ(Locate("../outside.db").status(), Locate("../not-there.db").status());
  const FileOptions options;
  EXPECT_EQ(LocateBeneath(root_, outside_, options, false).status(),
            LocateBeneath(root_, dir_.File("not-there.db"), options, false).status());
}

// Registering: the driver's way from a path to an open database.
class ConfinedDriverTest : public LocationTest {
 protected:
  ~ConfinedDriverTest() override { executor_.RunUntilIdle(); }

  absl::StatusOr<std::shared_ptr<db::Database>> Open(const std::string& name) {
    db::Target target;
    target.path = absl::StrCat(root_, "/", name);
    target.root = root_;
    const Context ctx;
    return executor_.Run(db::Drivers()[0].open(ctx, std::move(target), db::DriverSettings()));
  }

  ManualExecutor executor_;
};

std::string BytesOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST_F(ConfinedDriverTest, Fault92_ASwapInTheMiddleNeverLeadsOut) {
  // Two folders take turns at one name: one beneath the root, and a link to one outside. Both have
  // a database of the same name, and only the one outside says where it is.
  fs::create_directories(root_ + "/real");
  fs::create_directories(dir_.File("elsewhere"));
  const std::string secret = dir_.File("elsewhere/a.db");
  std::ofstream(root_ + "/real/a.db");
  std::ofstream(secret).close();
  {
    test::Outsider outsider(secret);
    ASSERT_EQ(outsider.Run("CREATE TABLE secret(a)"), SQLITE_OK);
  }
  const std::string before = BytesOf(secret);
  const std::string turn = root_ + "/turn";
  const std::string link = root_ + "/link";
  fs::create_directory_symlink(dir_.File("elsewhere"), link);
  fs::rename(root_ + "/real", turn);

  std::atomic<bool> over{false};
  std::atomic<int> turns{0};
  std::thread swapper([&] {
    while (!over.load()) {
      renameat2(AT_FDCWD, turn.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
      ++turns;
    }
  });
  int opened = 0;
  int refused = 0;
  for (const absl::Time end = absl::Now() + absl::Seconds(2); absl::Now() < end;) {
    auto database = Open("turn/a.db");
    if (!database.ok()) {
      ++refused;
      continue;
    }
    ++opened;
    const auto reply = test::Execute(executor_, **database, "SELECT count(*) FROM secret");
    EXPECT_FALSE(reply.ok()) << "a database outside was read";
    executor_.RunUntilIdle();
    (*database)->Close();
  }
  over = true;
  swapper.join();
  EXPECT_EQ(BytesOf(secret), before) << "a database outside was written";
  EXPECT_GT(turns.load(), 100);
  EXPECT_GT(refused, 0);
  std::printf("%d opened, %d refused in %d turns\n", opened, refused, turns.load());
}

// How many locks this process has on the file, as the kernel lists them.
int LocksOn(const std::string& path) {
  struct stat file {};

  if (stat(path.c_str(), &file) != 0) return -1;
  const std::string inode = absl::StrCat(":", file.st_ino, " ");
  const std::string holder = absl::StrCat(" ", getpid(), " ");
  std::ifstream locks("/proc/locks");
  int count = 0;
  for (std::string line; std::getline(locks, line);) {
    if (absl::StrContains(line, inode) && absl::StrContains(line, holder)) ++count;
  }
  return count;
}

TEST_F(ConfinedDriverTest, Fault65_TheFilesOfAnOpenDatabaseAreRefusedAndItsLocksStay) {
  const auto database = Open("live.db");
  ASSERT_THAT(database, IsOk());
  ASSERT_THAT(test::Execute(executor_, **database, "CREATE TABLE t(a)"), IsOk());
  const std::string live = root_ + "/live.db";
  const int locks = LocksOn(live);
  const int shared_locks = LocksOn(live + "-shm");
  ASSERT_GT(locks, 0) << "/proc/locks shows nothing here";
  ASSERT_GT(shared_locks, 0);

  fs::create_symlink(live, root_ + "/symbolic.db");
  for (const char* name : {"live.db-wal", "live.db-shm", "live.db.sluice-lock", "symbolic.db"}) {
    EXPECT_THAT(Open(name), Fails(kDenied, kTarget)) << name;
  }
  fs::create_hard_link(live, root_ + "/hard.db");
  EXPECT_THAT(Open("hard.db"), Fails(kDenied, kTarget));
  fs::remove(root_ + "/hard.db");
  EXPECT_EQ(*Open("live.db"), *database) << "the same file is the same database";

  EXPECT_EQ(LocksOn(live), locks);
  EXPECT_EQ(LocksOn(live + "-shm"), shared_locks);
  executor_.RunUntilIdle();
  (*database)->Close();
}

}  // namespace
}  // namespace sluice::sqlite
