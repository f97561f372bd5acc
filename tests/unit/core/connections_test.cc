#include "server/core/connections.h"

#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/core/scripted_database.h"

namespace sluice::core {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

std::shared_ptr<ScriptedDatabase> NewDatabase() {
  return std::make_shared<ScriptedDatabase>();
}

// SlowToClose: closes when the test says so.
class SlowToClose final : public ScriptedDatabase {
 public:
  void Close() override { may_close.WaitForNotification(); }

  Notification may_close;
};

TEST(Connections, AnIdLeadsToItsDatabase) {
  Connections connections;
  const auto database = NewDatabase();
  ASSERT_TRUE(connections.Add(EntryOf("default", "main", database)).ok());
  ASSERT_TRUE(connections.Add(EntryOf("other", "second", NewDatabase())).ok());

  const auto found = connections.Find(Context(), "default");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->name, "main");
  EXPECT_EQ((*found)->database, database);
}

TEST(Connections, NoIdIsAnErrorOfTheRequest) {
  const Connections connections;
  const absl::Status status = connections.Find(Context(), "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(errors::ReasonOf(status), "PARAMETER_INVALID");
  EXPECT_THAT(errors::PartsOf(status).fields, ElementsAre(Pair("connection_id", ::testing::_)));
}

TEST(Connections, AnUnknownIdIsNotFoundAndNotRepeated) {
  const Connections connections;
  const absl::Status status = connections.Find(Context(), "conn_secret").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(errors::ReasonOf(status), "CONNECTION_NOT_FOUND");
  EXPECT_EQ(errors::MetadataOf(status, "executed"), "no");
  EXPECT_EQ(status.ToString().find("conn_secret"), std::string::npos);
}

TEST(Connections, ATakenIdStaysWithItsOwner) {
  Connections connections;
  ASSERT_TRUE(connections.Add(EntryOf("default", "first", NewDatabase())).ok());
  EXPECT_FALSE(connections.Add(EntryOf("default", "second", NewDatabase())).ok());
  EXPECT_EQ((*connections.Find(Context(), "default"))->name, "first");
}

TEST(Connections, ListsAreOrderedByNameThenHandle) {
  Connections connections;
  ASSERT_TRUE(connections.Add(EntryOf("3", "beta", NewDatabase())).ok());
  ASSERT_TRUE(connections.Add(EntryOf("2", "alpha", NewDatabase())).ok());
  ASSERT_TRUE(connections.Add(EntryOf("1", "beta", NewDatabase())).ok());

  std::vector<std::string> handles;
  for (const auto& entry : connections.List()) handles.push_back(entry->handle);
  EXPECT_THAT(handles, ElementsAre("h_2", "h_1", "h_3"));
}

TEST(Connections, CloseAllClosesADatabaseOnceThoughTwoIdsLeadToIt) {
  Connections connections;
  const auto shared = NewDatabase();
  const auto own = NewDatabase();
  ASSERT_TRUE(connections.Add(EntryOf("1", "a", shared)).ok());
  ASSERT_TRUE(connections.Add(EntryOf("2", "b", shared)).ok());
  ASSERT_TRUE(connections.Add(EntryOf("3", "c", own)).ok());
  connections.CloseAll();
  EXPECT_EQ(shared->times_closed, 1);
  EXPECT_EQ(own->times_closed, 1);
  // A late call learns from the database itself that it closes.
  EXPECT_TRUE(connections.Find(Context(), "1").ok());
}

TEST(Connections, AFoundEntryOutlivesTheRegistry) {
  auto connections = std::make_unique<Connections>();
  ASSERT_TRUE(connections->Add(EntryOf("default", "main", NewDatabase())).ok());
  const auto found = connections->Find(Context(), "default");
  connections.reset();
  EXPECT_EQ((*found)->name, "main");
}

TEST(Connections, FindAndListRunBesideAdd) {
  Connections connections;
  ASSERT_TRUE(connections.Add(EntryOf("default", "main", NewDatabase())).ok());
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!connections.Find(Context(), "last").ok()) {
        EXPECT_TRUE(connections.Find(Context(), "default").ok());
        EXPECT_FALSE(connections.List().empty());
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    const std::string id = absl::StrCat("c", i);
    EXPECT_TRUE(connections.Add(EntryOf(id, "many", NewDatabase())).ok());
  }
  EXPECT_TRUE(connections.Add(EntryOf("last", "last", NewDatabase())).ok());
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(connections.List().size(), 202U);
}

// OpeningTest: connections that come without a database, and when it opens.
class OpeningTest : public ::testing::Test {
 protected:
  OpeningTest() { EXPECT_TRUE(connections_.Add(EntryOf("lazy", "lazy", nullptr)).ok()); }

  Task<absl::StatusOr<std::shared_ptr<db::Database>>> OpenScripted(const Context& /*ctx*/) {
    ++openings_;
    const Context unhurried;
    co_await SleepFor(unhurried, absl::Milliseconds(100));
    co_return failure_.ok() ? absl::StatusOr<std::shared_ptr<db::Database>>(database_) : failure_;
  }

  Task<void> OpenInto(const Context& ctx, Connections::Outcome& outcome) {
    outcome = co_await connections_.Open(ctx, std::string("lazy"));
  }

  Timeline timeline_;
  int openings_ = 0;
  absl::Status failure_;
  const std::shared_ptr<ScriptedDatabase> database_ = NewDatabase();
  Connections connections_{
      [this](const Context& ctx, const db::Target&) { return OpenScripted(ctx); }};
  Context ctx_;
};

TEST_F(OpeningTest, ADatabaseIsOpenedOnceForAllWhoAskMeanwhile) {
  EXPECT_EQ((*connections_.Find(ctx_, "lazy"))->database, nullptr);
  Connections::Outcome one = absl::UnknownError("");
  Connections::Outcome two = absl::UnknownError("");
  timeline_.executor().Start(OpenInto(ctx_, one));
  timeline_.executor().Start(OpenInto(ctx_, two));
  timeline_.Pass(absl::Milliseconds(150));
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(*one, *two);
  EXPECT_EQ((*one)->database, database_);
  EXPECT_EQ((*connections_.Find(ctx_, "lazy"))->database, database_);
  EXPECT_EQ(openings_, 1);
  EXPECT_TRUE(timeline_.Run(connections_.Open(ctx_, std::string("lazy"))).ok());
  EXPECT_EQ(openings_, 1);
}

TEST_F(OpeningTest, AFailureIsToldAndTriedAgainByTheNextCall) {
  failure_ = errors::DatabaseCorrupt("torn");
  EXPECT_TRUE(
      absl::IsDataLoss(timeline_.Run(connections_.Open(ctx_, std::string("lazy"))).status()));
  failure_ = absl::OkStatus();
  EXPECT_TRUE(timeline_.Run(connections_.Open(ctx_, std::string("lazy"))).ok());
  EXPECT_EQ(openings_, 2);
}

TEST_F(OpeningTest, AServerThatFailsIsNotAskedByEveryCall) {
  Connections::Entry server = EntryOf("server", "server", nullptr);
  server.engine = db::EngineKind::kPostgresql;
  ASSERT_TRUE(connections_.Add(std::move(server)).ok());
  failure_ = errors::BackendUnreachable(absl::ZeroDuration());
  for (int call = 0; call < 500; ++call) {
    const auto outcome = timeline_.Run(connections_.Open(ctx_, std::string("server")));
    ASSERT_EQ(errors::ReasonOf(outcome.status()), "BACKEND_LOST") << call;
  }
  EXPECT_LT(openings_, 50);
}

TEST_F(OpeningTest, AServerThatFailedIsAskedAgainAfterItsRest) {
  Connections::Entry server = EntryOf("server", "server", nullptr);
  server.engine = db::EngineKind::kPostgresql;
  ASSERT_TRUE(connections_.Add(std::move(server)).ok());
  failure_ = errors::BackendUnreachable(absl::ZeroDuration());
  EXPECT_FALSE(timeline_.Run(connections_.Open(ctx_, std::string("server"))).ok());
  failure_ = absl::OkStatus();
  const absl::Time limit = absl::Now() + absl::Seconds(10);
  bool opened = false;
  while (!opened && absl::Now() < limit) {
    opened = timeline_.Run(connections_.Open(ctx_, std::string("server"))).ok();
    std::this_thread::yield();
  }
  EXPECT_TRUE(opened);
  EXPECT_EQ(openings_, 2);
}

TEST_F(OpeningTest, OneWhoIsStoppedLeavesTheOthersWaiting) {
  CallScope scope;
  const Context stopped = scope.MakeContext(absl::InfiniteFuture(), "");
  Connections::Outcome one = absl::UnknownError("");
  Connections::Outcome two = absl::UnknownError("");
  timeline_.executor().Start(OpenInto(stopped, one));
  timeline_.executor().Start(OpenInto(ctx_, two));
  scope.Stop(StopCause::kCancelled);
  timeline_.executor().RunUntilIdle();
  EXPECT_TRUE(absl::IsCancelled(one.status())) << one.status();
  timeline_.Pass(absl::Milliseconds(150));
  EXPECT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(openings_, 1);
}

TEST_F(OpeningTest, AConnectionThatIsRemovedWhileItOpensIsNotFoundAndItsDatabaseCloses) {
  Connections::Outcome outcome = absl::UnknownError("");
  timeline_.executor().Start(OpenInto(ctx_, outcome));
  const ids::Hash key = (*connections_.Find(ctx_, "lazy"))->key;
  ASSERT_TRUE(connections_.Remove(key).ok());
  timeline_.Pass(absl::Milliseconds(150));
  EXPECT_TRUE(absl::IsNotFound(outcome.status())) << outcome.status();
  connections_.CloseAll();  // joins the thread that closes
  EXPECT_EQ(database_->times_closed, 1);
}

TEST(Connections, ADatabaseClosesBehindTheLastWhoHasIt) {
  Connections connections;
  const auto database = NewDatabase();
  ASSERT_TRUE(connections.Add(EntryOf("1", "a", database)).ok());
  ASSERT_TRUE(connections.Add(EntryOf("2", "b", database)).ok());
  Connections::EntryPtr call = *connections.Find(Context(), "1");
  const auto one = connections.Remove(ids::HashOf("1"));
  const auto two = connections.Remove(ids::HashOf("2"));
  EXPECT_FALSE(one->drained->came());
  EXPECT_TRUE(two->drained->came());
  EXPECT_FALSE(two->use.expired());  // the call on the other connection has it still
  call.reset();
  EXPECT_TRUE(one->drained->came());
  ManualExecutor executor;
  EXPECT_TRUE(executor.Run(one->closed->Within(Context(), absl::Minutes(1))));
  EXPECT_EQ(database->times_closed, 1);
}

TEST(Connections, ADatabaseThatIsBeingClosedIsNotTakenAgain) {
  Connections connections;
  const auto database = std::make_shared<SlowToClose>();
  ASSERT_TRUE(connections.Add(EntryOf("1", "a", database)).ok());
  ASSERT_TRUE(connections.Remove(ids::HashOf("1")).ok());
  EXPECT_EQ(errors::ReasonOf(connections.Add(EntryOf("2", "b", database))), "CONNECTION_IN_USE");
  database->may_close.Notify();
}

}  // namespace
}  // namespace sluice::core
