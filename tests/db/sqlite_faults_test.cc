// What goes wrong around a connection: the file, the disk's other users, and SQL without an end.
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/limits.h"
#include "tests/db/sqlite_session.h"

namespace sluice::sqlite {
namespace {

using absl::StatusCode;

class SqliteFaults : public testing::Test {
 protected:
  TemporaryFolder folder_;
  std::string path_ = folder_.File("a.db");
};

TEST_F(SqliteFaults, Fault58_AFileThatIsMovedOrDeletedIsNotWritten) {
  for (const bool replaced : {false, true}) {
    TestSession writer(Writer(path_));
    ASSERT_TRUE(writer.Try("CREATE TABLE IF NOT EXISTS t(a)").ok());
    ASSERT_TRUE(writer->Run("BEGIN IMMEDIATE").ok());
    ASSERT_TRUE(writer->Run("COMMIT").ok());
    std::filesystem::rename(path_, folder_.File("elsewhere"));
    if (replaced) std::ofstream(path_) << "";
    const absl::Status status = writer->Run("BEGIN IMMEDIATE");
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(errors::ReasonOf(status), "CONNECTION_INVALID_TARGET");
    EXPECT_EQ(errors::MetadataOf(status, "executed"), "no");
    EXPECT_EQ(std::filesystem::exists(path_), replaced);
    if (replaced) {
      EXPECT_EQ(std::filesystem::file_size(path_), 0u);
    }
    // Where it is put back, work goes on.
    std::filesystem::rename(folder_.File("elsewhere"), path_);
    EXPECT_TRUE(writer->Run("BEGIN IMMEDIATE").ok());
    EXPECT_TRUE(writer->Run("COMMIT").ok());
  }
}

TEST_F(SqliteFaults, Fault58_AReaderNoticesWithinAMoment) {
  TestSession writer(Writer(path_));
  TestSession reader(Reader(path_));
  std::filesystem::rename(path_, folder_.File("elsewhere"));
  const absl::Duration begin = Clock::System().Steady();
  absl::Status status;
  // It looks ten times a second.
  while (status.ok() && Clock::System().Steady() - begin < absl::Seconds(5)) {
    status = reader->Run("BEGIN");
    if (status.ok()) {
      ASSERT_TRUE(reader->Run("COMMIT").ok());
    }
  }
  EXPECT_EQ(errors::ReasonOf(status), "CONNECTION_INVALID_TARGET") << status;
}

TEST_F(SqliteFaults, Fault58_AFolderThatCannotBeWrittenIsTold) {
  { TestSession writer(Writer(path_)); }
  // Permissions bind no superuser.
  const bool superuser = geteuid() == 0;
  if (superuser) {
    ASSERT_EQ(chown(folder_.path().c_str(), 65534, 65534), 0);
    ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
    ASSERT_EQ(seteuid(65534), 0);
  }
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0500));
  ConnectionOptions options = Writer(path_);
  const absl::Status writer = Connection::Open(options).status();
  options.path = folder_.File("new.db");
  const absl::Status created = Connection::Open(options).status();
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0700));
  if (superuser) {
    ASSERT_EQ(seteuid(0), 0);
  }
  for (const absl::Status& status : {writer, created}) {
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(errors::ReasonOf(status), "CONNECTION_INVALID_TARGET");
  }
}

// Another process, in which `hold` runs; it lives until the end of the test, or of this one.
class Neighbour {
 public:
  Neighbour(const std::string& path, const char* hold) {
    int ready[2];
    int stay[2];
    if (pipe(ready) != 0 || pipe(stay) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      close(ready[0]);
      close(stay[1]);
      sqlite3* db = nullptr;
      char answer = 'n';
      if (sqlite3_open(path.c_str(), &db) == SQLITE_OK &&
          sqlite3_exec(db, hold, nullptr, nullptr, nullptr) == SQLITE_OK) {
        answer = 'y';
      }
      if (write(ready[1], &answer, 1) != 1) _exit(1);
      _exit(static_cast<int>(read(stay[0], &answer, 1)));  // until the other end is closed
    }
    close(ready[1]);
    close(stay[0]);
    stay_ = stay[1];
    char answer = 'n';
    holds_ = read(ready[0], &answer, 1) == 1 && answer == 'y';
    close(ready[0]);
  }

  ~Neighbour() {
    close(stay_);
    waitpid(pid_, nullptr, 0);
  }

  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;

  bool holds() const { return holds_; }

 private:
  pid_t pid_ = 0;
  int stay_ = -1;
  bool holds_ = false;
};

TEST_F(SqliteFaults, Fault59_AForeignLockIsWaitedForAndThenTold) {
  {
    TestSession writer(Writer(path_));
    ASSERT_TRUE(writer.Try("CREATE TABLE t(a)").ok());
  }
  const Neighbour neighbour(path_, "BEGIN EXCLUSIVE");
  ASSERT_TRUE(neighbour.holds());
  TestSession writer(Writer(path_));
  const absl::Duration begin = Clock::System().Steady();
  for (const absl::Status& status : {writer->Run("BEGIN IMMEDIATE"), writer.Try("DELETE FROM t")}) {
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
    EXPECT_EQ(errors::ReasonOf(status), "CONNECTION_IN_USE");
    EXPECT_TRUE(errors::IsTransient(status)) << status;
  }
  EXPECT_GE(Clock::System().Steady() - begin, absl::Milliseconds(150));
  // Readers read on.
  TestSession reader(Reader(path_));
  EXPECT_TRUE(reader.Try("SELECT * FROM t").ok());
}

TEST_F(SqliteFaults, Fault59_ALockedFileOpensLater) {
  { TestSession writer(Writer(path_)); }
  ConnectionOptions options = Writer(path_);
  {
    // Without a write-ahead log an exclusive lock keeps readers out too.
    const Neighbour neighbour(path_,
                              "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=DELETE;"
                              "BEGIN EXCLUSIVE");
    ASSERT_TRUE(neighbour.holds());
    const absl::Status status = Connection::Open(options).status();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
    EXPECT_EQ(errors::ReasonOf(status), "CONNECTION_IN_USE");
  }
  EXPECT_TRUE(Connection::Open(options).ok());
}

TEST_F(SqliteFaults, Fault60_ASnapshotThatIsBehindIsAborted) {
  TestSession first(Writer(path_));
  ASSERT_TRUE(first.Try("CREATE TABLE t(a)").ok());
  TestSession second(Writer(path_));
  ASSERT_TRUE(first->Run("BEGIN").ok());
  ASSERT_TRUE(first.Try("SELECT * FROM t").ok());
  ASSERT_TRUE(second.Try("INSERT INTO t VALUES(1)").ok());
  const absl::Status status = first.Try("INSERT INTO t VALUES(2)");
  EXPECT_EQ(status.code(), StatusCode::kAborted) << status;
  EXPECT_EQ(errors::MetadataOf(status, "sqlstate"), "40001");
}

// Everything that is in the database, as far as it can be read.
absl::Status ReadAll(TestSession& session) {
  const auto tables = session.Execute("SELECT name, sql FROM sqlite_schema");
  if (!tables.ok()) return tables.status();
  absl::Status worst;
  for (const auto& row : tables->rows()) {
    if (!row.values(0).has_string_value()) continue;
    std::string name = row.values(0).string_value();
    for (size_t at = name.find('"'); at != std::string::npos; at = name.find('"', at + 2)) {
      name.insert(at, "\"");
    }
    Watch watch;
    watch.deadline = Clock::System().Steady() + absl::Seconds(5);
    const absl::Status status =
        session.Try(absl::StrCat("SELECT * FROM \"", name, "\""), {}, &watch);
    if (!status.ok()) worst = status;
    session.Try("SELECT * FROM f WHERE f MATCH 'word OR text'", {}, &watch).IgnoreError();
  }
  return worst;
}

TEST_F(SqliteFaults, Fault64_ADamagedFileHarmsNobody) {
  {
    TestSession writer(Writer(path_));
    for (const char* const sql :
         {"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB)", "CREATE INDEX i ON t(b)",
          "CREATE TABLE w(a PRIMARY KEY, b) WITHOUT ROWID", "CREATE VIEW v AS SELECT b FROM t",
          "CREATE VIRTUAL TABLE f USING fts5(x)",
          "CREATE TRIGGER r AFTER DELETE ON t BEGIN DELETE FROM w; END",
          "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 60) "
          "INSERT INTO t SELECT n, 'text ' || n, randomblob(n * 20) FROM c",
          "INSERT INTO w SELECT b, c FROM t", "INSERT INTO f SELECT b || ' word' FROM t",
          "INSERT INTO t VALUES(1000, 'long', zeroblob(20000))"}) {
      const absl::Status status = writer.Try(sql);
      ASSERT_TRUE(status.ok()) << sql << status;
    }
  }
  std::stringstream whole;
  whole << std::ifstream(path_, std::ios::binary).rdbuf();
  const std::string intact = whole.str();
  ASSERT_GT(intact.size(), 40'000u);
  std::mt19937 random(20'240'607);  // the same damage every time
  int damaged = 0;
  for (int variant = 0; variant < 300; ++variant) {
    std::string bytes = intact;
    // Headers and the first pages are where most of the structure is.
    const size_t reach = variant % 3 == 0 ? 100 : variant % 3 == 1 ? 8192 : bytes.size();
    for (int flip = 0; flip <= variant % 7; ++flip) {
      bytes[random() % reach] ^= static_cast<char>(1u << random() % 8);
    }
    if (variant % 50 == 49) bytes.resize(bytes.size() / 2);
    const std::string path = folder_.File("damaged.db");
    for (const char* const suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix);
    std::ofstream(path, std::ios::binary) << bytes;

    absl::Status status;
    auto writer = Connection::Open(Writer(path));
    status = writer.status();
    if (status.ok()) {
      writer->reset();
      auto again = Connection::Open(Writer(path));
      status = again.status();
    }
    if (status.ok()) {
      TestSession session(Writer(path));
      status = ReadAll(session);
    }
    if (!status.ok()) ++damaged;
    const bool expected = status.ok() || status.code() == StatusCode::kDataLoss ||
                          status.code() == StatusCode::kInvalidArgument ||
                          status.code() == StatusCode::kPermissionDenied ||
                          status.code() == StatusCode::kResourceExhausted;
    EXPECT_TRUE(expected) << variant << ": " << status;
  }
  EXPECT_GT(damaged, 30);
  // Others are as they were.
  TestSession intact_session(Writer(path_));
  EXPECT_EQ(intact_session.Value("SELECT count(*) FROM t").int64_value(), 61);
}

TEST_F(SqliteFaults, Fault66_RunawayStatementsEndAtTheirDeadline) {
  TestSession session(Writer(path_));
  ASSERT_TRUE(session.Try("CREATE TABLE n(a)").ok());
  ASSERT_TRUE(session
                  .Try("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 2000) "
                       "INSERT INTO n SELECT n FROM c")
                  .ok());
  for (const char* const sql : {
           "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c",
           "WITH RECURSIVE c(n) AS (SELECT 1 UNION SELECT n + 1 FROM c) SELECT max(n) FROM c",
           "SELECT count(*) FROM n a, n b, n c, n d",
           "SELECT * FROM n a, n b, n c ORDER BY a.a * b.a * c.a",
           "SELECT sum(length(hex(randomblob(10000)))) FROM n a, n b",
           "SELECT count(DISTINCT a.a * b.a) FROM n a, n b, n c",
           "INSERT INTO n SELECT a.a FROM n a, n b, n c",
       }) {
    Watch watch;
    const absl::Duration begin = Clock::System().Steady();
    watch.deadline = begin + absl::Milliseconds(100);
    const absl::Status status = session.Try(sql, {}, &watch);
    EXPECT_EQ(status.code(), StatusCode::kCancelled) << sql << ": " << status;
    EXPECT_EQ(watch.ended, Watch::Ended::kDeadline) << sql;
    EXPECT_LT(Clock::System().Steady() - begin, absl::Seconds(1)) << sql;
  }
}

TEST_F(SqliteFaults, Fault66_ValuesDoNotGrowWithoutBound) {
  TestSession session(Writer(path_));
  sqlite3_memory_highwater(1);
  for (const char* const sql : {
           "SELECT zeroblob(1000000000)",
           "SELECT hex(zeroblob(1000000000))",
           "SELECT randomblob(1000000000)",
           "SELECT printf('%.*c', 1000000000, 'x')",
           "SELECT printf('%1000000000d', 1)",
           "SELECT format('%*s', 1000000000, 'x')",
           "SELECT hex(hex(hex(hex(hex(zeroblob(3000000))))))",
           "SELECT replace(hex(zeroblob(30000)), '0', hex(zeroblob(30000)))",
           "SELECT replace(replace(replace(hex(zeroblob(99)), '0', hex(zeroblob(99))), '0', "
           "hex(zeroblob(99))), '0', hex(zeroblob(999)))",
           "SELECT group_concat(hex(zeroblob(1000000))) FROM "
           "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 200) SELECT n "
           "FROM c)",
           "SELECT quote(zeroblob(60000000))",
           "WITH RECURSIVE c(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM c) SELECT max(s) FROM "
           "c",
       }) {
    Watch watch;
    const absl::Duration begin = Clock::System().Steady();
    watch.deadline = begin + absl::Seconds(3);
    const absl::Status status = session.Try(sql, {}, &watch);
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << sql << ": " << status;
    EXPECT_LT(Clock::System().Steady() - begin, absl::Seconds(3)) << sql;
  }
  EXPECT_LT(sqlite3_memory_highwater(0), 600 << 20);
  EXPECT_TRUE(session.Try("SELECT 1").ok());
}

}  // namespace
}  // namespace sluice::sqlite
