// Backup as a caller sees it: the pieces, and what they add up to.
#include "server/services/backup_service.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/async/manual_executor.h"
#include "server/base/sha256.h"
#include "server/core/connections.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/support.h"

namespace sluice::services {
namespace {

using absl::StatusCode;
using test::Fails;
using test::IsOk;

// Keeps what is sent, and is gone after `limit` messages.
class Pieces final : public Sink<pb::BackupResponse> {
 public:
  explicit Pieces(size_t limit = SIZE_MAX) : limit_(limit) {}

  Task<bool> Write(pb::BackupResponse message) override {
    if (messages.size() == limit_) co_return false;
    messages.push_back(std::move(message));
    co_return true;
  }

  std::string Joined() const {
    std::string bytes;
    for (const pb::BackupResponse& message : messages) bytes += message.data();
    return bytes;
  }

  std::vector<pb::BackupResponse> messages;

 private:
  const size_t limit_;
};

class BackupServiceTest : public ::testing::Test {
 protected:
  BackupServiceTest() {
    std::filesystem::create_directory(scratch_);
    db::SqliteSettings settings;
    settings.scratch = scratch_;
    auto database = test::OpenSqlite(executor_, folder_.File("shop.db"), settings);
    EXPECT_THAT(database, IsOk());
    if (!database.ok()) return;
    database_ = *std::move(database);
    core::Connections::Entry entry;
    entry.key = ids::HashOf("default");
    entry.handle = "h_1";
    entry.name = "shop";
    entry.database = database_;
    EXPECT_THAT(connections_.Add(entry), IsOk());
    EXPECT_THAT(test::Execute(executor_, *database_, "CREATE TABLE item (name)"), IsOk());
    EXPECT_THAT(
        test::Execute(executor_, *database_,
                      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                      "WHERE i < 200) INSERT INTO item SELECT hex(randomblob(2000)) FROM n"),
        IsOk());
  }

  ~BackupServiceTest() override { connections_.CloseAll(); }

  absl::Status Backup(Pieces& pieces, const std::string& id = "default") {
    pb::BackupRequest request;
    request.set_connection_id(id);
    return executor_.Run(service_.Backup(Context(), request, pieces));
  }

  test::TempDir folder_;
  const std::string scratch_ = folder_.File("scratch");
  ManualExecutor executor_;
  core::Connections connections_;
  std::shared_ptr<db::Database> database_;
  BackupService service_{connections_};
};

TEST(Sha256, IsTheKnownDigestHoweverTheBytesCome) {
  Sha256 whole;
  whole.Update("abc");
  Sha256 pieces;
  for (const char* const piece : {"a", "", "bc"}) pieces.Update(piece);
  const std::string digest = whole.Finish();
  EXPECT_EQ(absl::BytesToHexString(digest),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(pieces.Finish(), digest);
}

TEST_F(BackupServiceTest, ThePiecesJoinToADatabase) {
  Pieces pieces;
  ASSERT_THAT(Backup(pieces), IsOk());
  const std::string bytes = pieces.Joined();
  ASSERT_GT(pieces.messages.size(), 3u);
  for (const pb::BackupResponse& message : pieces.messages) {
    const bool last = &message == &pieces.messages.back();
    EXPECT_EQ(message.last(), last);
    EXPECT_EQ(message.data().empty(), last);
    EXPECT_EQ(message.sha256().empty(), !last);
    EXPECT_LE(message.data().size(), 256u << 10);
    EXPECT_EQ(message.total_bytes(), static_cast<int64_t>(bytes.size()));
  }
  Sha256 digest;
  digest.Update(bytes);
  EXPECT_EQ(pieces.messages.back().sha256(), digest.Finish());

  const std::string path = folder_.File("copy.db");
  std::ofstream(path, std::ios::binary) << bytes;
  const auto copy = test::OpenSqlite(executor_, path);
  ASSERT_THAT(copy, IsOk());
  const auto count = test::Execute(executor_, **copy, "SELECT count(*) FROM item");
  ASSERT_THAT(count, IsOk());
  EXPECT_EQ(count->rows(0).values(0).int64_value(), 200);
  (*copy)->Close();
}

TEST_F(BackupServiceTest, APeerThatGoesLeavesNothing) {
  Pieces pieces(2);
  EXPECT_EQ(errors::ReasonOf(Backup(pieces)), errors::ReasonOf(errors::PeerGone()));
  EXPECT_EQ(pieces.messages.size(), 2u);
  EXPECT_TRUE(std::filesystem::is_empty(scratch_));
}

TEST_F(BackupServiceTest, AConnectionThatIsNotThereIsTold) {
  Pieces pieces;
  EXPECT_EQ(InvalidField(Backup(pieces, "")), "connection_id");
  EXPECT_THAT(Backup(pieces, "nobody"), Fails(StatusCode::kNotFound, "CONNECTION_NOT_FOUND"));
  EXPECT_TRUE(pieces.messages.empty());
}

}  // namespace
}  // namespace sluice::services
