#include "server/core/registrar.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/async/join.h"
#include "server/async/sleep.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/unit/core/registry_fixture.h"
#include "tests/unit/core/scripted_database.h"

namespace sluice::core {
namespace {

using test::Fails;
using test::IsOk;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

Task<absl::StatusOr<std::shared_ptr<db::Database>>> OpenScripted() {
  co_return std::make_shared<ScriptedDatabase>();
}

class RegistrarTest : public ::testing::Test {
 protected:
  RegistrarTest() { life_.emplace(folder_); }

  // Ends the server and starts another on the same folder.
  void Restart() {
    life_.reset();
    life_.emplace(folder_);
  }

  const test::TempDir folder_;
  std::optional<Life> life_;
};

TEST_F(RegistrarTest, TheIdOpensWhatWasRegisteredAndNothingElseDoes) {
  const auto registered = life_->Register("sqlite:///a.db", "mine");
  ASSERT_THAT(registered, IsOk());
  EXPECT_TRUE(ids::IsConnectionId(registered->id));
  EXPECT_EQ(registered->entry->name, "mine");
  EXPECT_EQ(registered->entry->target, life_->root() + "/a.db");

  const auto found = life_->Open(registered->id);
  ASSERT_THAT(found, IsOk());
  EXPECT_THAT(test::Execute(life_->executor, *(*found)->database, "CREATE TABLE t(a)"), IsOk());
  for (const std::string& wrong : {registered->entry->handle, std::string("mine")}) {
    EXPECT_THAT(life_->Open(wrong), Fails(kNotFound, "CONNECTION_NOT_FOUND"));
  }
  EXPECT_THAT(life_->opened_names, ElementsAre("mine"));
}

TEST_F(RegistrarTest, TheFolderIsMadeForTheServerAlone) {
  ASSERT_THAT(life_->Register("sqlite:///a.db"), IsOk());

  struct stat folder {};

  ASSERT_EQ(stat(life_->root().c_str(), &folder), 0);
  EXPECT_EQ(folder.st_mode & 0777, 0700U);
}

TEST_F(RegistrarTest, WithoutANameTheHandleIsTheName) {
  const auto registered = life_->Register("sqlite:///a.db");
  ASSERT_THAT(registered, IsOk());
  EXPECT_EQ(registered->entry->name, registered->entry->handle);
}

TEST_F(RegistrarTest, ANameIsGivenOnceUntilItsConnectionIsClosed) {
  auto first = life_->Register("sqlite:///a.db", "one");
  ASSERT_THAT(first, IsOk());
  first->entry.reset();
  EXPECT_THAT(life_->Register("sqlite:///b.db", "one"),
              Fails(absl::StatusCode::kAlreadyExists, "CONNECTION_EXISTS"));
  EXPECT_FALSE(std::filesystem::exists(life_->root() + "/b.db"));
  ASSERT_THAT(life_->Close(first->id), IsOk());
  EXPECT_THAT(life_->Register("sqlite:///b.db", "one"), IsOk());
}

TEST_F(RegistrarTest, ANameThatCouldNotBeUsedIsFree) {
  ASSERT_THAT(life_->Register("sqlite:////etc/passwd", "one"), Not(IsOk()));
  EXPECT_THAT(life_->Register("sqlite:///a.db", "one"), IsOk());
}

TEST_F(RegistrarTest, TheLimitCountsWhatIsOpenNow) {
  life_.reset();
  life_.emplace(folder_, 2);
  auto first = life_->Register("sqlite:///a.db");
  first->entry.reset();
  ASSERT_THAT(life_->Register("sqlite:///b.db"), IsOk());
  EXPECT_THAT(life_->Register("sqlite:///c.db"),
              Fails(absl::StatusCode::kResourceExhausted, "CONNECTION_LIMIT"));
  ASSERT_THAT(life_->Close(first->id), IsOk());
  EXPECT_THAT(life_->Register("sqlite:///c.db"), IsOk());
}

TEST_F(RegistrarTest, AConnectionOutlivesTheServer) {
  const auto registered = life_->Register("sqlite:///a.db?foreign_keys=off&readonly=off", "mine");
  ASSERT_THAT(registered, IsOk());
  const std::string id = registered->id;
  Restart();
  const auto unopened = life_->connections.Find(Context(), id);
  ASSERT_THAT(unopened, IsOk());
  EXPECT_EQ((*unopened)->database, nullptr);
  const auto opened = life_->Open(id);
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ((*opened)->name, "mine");
  EXPECT_NE((*opened)->database, nullptr);
  EXPECT_THAT(test::Execute(life_->executor, *(*opened)->database, "SELECT 1"), IsOk());
}

TEST_F(RegistrarTest, AFileThatIsGoneAfterARestartIsNotMadeAnew) {
  const auto registered = life_->Register("sqlite:///a.db");
  const std::string id = registered->id;
  Restart();
  std::filesystem::remove(life_->root() + "/a.db");
  EXPECT_THAT(life_->Open(id), Fails(kPrecondition, "CONNECTION_INVALID_TARGET"));
  EXPECT_FALSE(std::filesystem::exists(life_->root() + "/a.db"));
  std::ofstream(life_->root() + "/a.db");  // a failure is no last word
  EXPECT_THAT(life_->Open(id), IsOk());
}

TEST_F(RegistrarTest, AClosedConnectionStaysClosedAfterARestart) {
  auto registered = life_->Register("sqlite:///a.db", "mine");
  registered->entry.reset();
  const std::string id = registered->id;
  const auto closed = life_->Close(id);
  ASSERT_THAT(closed, IsOk());
  EXPECT_THAT(life_->Open(id), Fails(kNotFound, "CONNECTION_NOT_FOUND"));
  EXPECT_THAT(life_->Close(id), Fails(kNotFound, "CONNECTION_NOT_FOUND"));
  EXPECT_THAT(life_->closed_names, ElementsAre("mine"));
  Restart();
  EXPECT_THAT(life_->Open(id), Fails(kNotFound, "CONNECTION_NOT_FOUND"));
  EXPECT_TRUE(std::filesystem::exists(life_->root() + "/a.db"));
}

TEST_F(RegistrarTest, APrivateDatabaseEndsWithTheServer) {
  const auto registered = life_->Register("sqlite:///:memory:", "scratch");
  ASSERT_THAT(registered, IsOk());
  const auto other = life_->Register("sqlite:///:memory:", "other");
  ASSERT_THAT(other, IsOk());
  EXPECT_NE(registered->entry->database, other->entry->database);
  const std::string id = registered->id;
  Restart();
  EXPECT_THAT(life_->Open(id), Fails(kNotFound, "CONNECTION_NOT_FOUND"));
  EXPECT_THAT(life_->connections.List(), IsEmpty());
}

TEST_F(RegistrarTest, NeitherIdNorSecretIsOnDisk) {
  const auto registered = life_->Register("sqlite:///a.db");
  ASSERT_THAT(registered, IsOk());
  EXPECT_THAT(life_->Register("postgresql://user:S3cr3t@host/db"), Not(IsOk()));
  life_->registry->Close();
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder_.path())) {
    if (!file.is_regular_file()) continue;
    std::ifstream in(file.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    EXPECT_FALSE(absl::StrContains(bytes, registered->id)) << file.path();
    EXPECT_FALSE(absl::StrContains(bytes, registered->id.substr(5))) << file.path();
    EXPECT_FALSE(absl::StrContains(bytes, "S3cr3t")) << file.path();
  }
}

TEST_F(RegistrarTest, AnEngineThatIsNotBuiltIsSaidWithoutTheUrl) {
  const absl::Status status = life_->Register("postgresql://user:S3cr3t@host.example/db").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  for (const char* part : {"S3cr3t", "host.example", "user"}) {
    EXPECT_FALSE(absl::StrContains(status.ToString(), part)) << status;
  }
}

TEST_F(RegistrarTest, APostgresTargetHasItsPartsAndTheRulesOfTheOperator) {
  RegistrarOptions options;
  options.egress.loopback = false;
  options.egress.ports = {5433};
  db::Target opened;
  Connections connections([&opened](const Context&, db::Target target) {
    opened = std::move(target);
    return OpenScripted();
  });
  Registrar registrar(connections, *life_->registry, options, Clock::System());
  Registrar::Request request;
  request.url = *ParseDatabaseUrl("postgresql://me:S3cr3t@h1:5433,[::1]/shop?sslmode=require");
  request.name = "shop";
  const auto registered = life_->executor.Run(registrar.Register(Context(), request));
  ASSERT_THAT(registered, IsOk());
  EXPECT_EQ(opened.engine, db::EngineKind::kPostgresql);
  EXPECT_THAT(opened.hosts, ElementsAre(DatabaseHost{"h1", 5433}, DatabaseHost{"::1", 5432}));
  EXPECT_EQ(opened.database, "shop");
  EXPECT_EQ(opened.user, "me");
  EXPECT_EQ(opened.password, "S3cr3t");
  EXPECT_EQ(opened.options.at("sslmode"), "require");
  EXPECT_FALSE(opened.trusted);
  EXPECT_FALSE(opened.egress.loopback);
  EXPECT_THAT(opened.egress.ports, ElementsAre(5433));
  EXPECT_EQ(registered->entry->target, "h1:5433,[::1]:5432/shop");
  EXPECT_EQ(registered->entry->engine, db::EngineKind::kPostgresql);

  // In memory only.
  const auto rows = life_->executor.Run(life_->registry->Load());
  ASSERT_THAT(rows, IsOk());
  EXPECT_THAT(*rows, IsEmpty());
  const auto closed =
      life_->executor.Run(registrar.Close(Context(), registered->id, absl::ZeroDuration()));
  EXPECT_THAT(closed, IsOk());
  connections.CloseAll();
}

TEST_F(RegistrarTest, OnlyWhatTheRegistryMayHoldIsKept) {
  db::Target target;
  target.path = "/a.db";
  EXPECT_TRUE(IsKept(target));
  target.path = ":memory:";
  EXPECT_FALSE(IsKept(target));
  EXPECT_FALSE(IsKept(PostgresTarget(*ParseDatabaseUrl("postgresql://me@h/d"))));
}

TEST_F(RegistrarTest, MustExistMakesNothing) {
  Registrar::Request request;
  request.url = *ParseDatabaseUrl("sqlite:///a.db");
  request.must_exist = true;
  EXPECT_THAT(life_->executor.Run(life_->registrar->Register(Context(), request)),
              Fails(kPrecondition, "CONNECTION_INVALID_TARGET"));
  EXPECT_FALSE(std::filesystem::exists(life_->root() + "/a.db"));
  ASSERT_THAT(life_->Register("sqlite:///a.db"), IsOk());
  EXPECT_THAT(life_->executor.Run(life_->registrar->Register(Context(), request)), IsOk());
}

TEST_F(RegistrarTest, TwoConnectionsToOneFileShareItAndTheLastClosesIt) {
  auto one = life_->Register("sqlite:///a.db");
  auto two = life_->Register(absl::StrCat("sqlite:///", life_->root(), "//./a.db"));
  ASSERT_THAT(two, IsOk());
  EXPECT_EQ(one->entry->database, two->entry->database);
  EXPECT_EQ(one->entry->target, two->entry->target);
  one->entry.reset();
  two->entry.reset();
  const auto first = life_->Close(one->id);
  ASSERT_THAT(first, IsOk());
  EXPECT_TRUE(first->drained);
  EXPECT_FALSE(first->database_closed);
  EXPECT_THAT(life_->Open(two->id), IsOk());
  const auto second = life_->Close(two->id);
  ASSERT_THAT(second, IsOk());
  EXPECT_TRUE(second->database_closed);
  EXPECT_THAT(life_->Register("sqlite:///a.db?foreign_keys=off"), IsOk());  // nothing holds it
}

TEST_F(RegistrarTest, TwoConnectionsToOneFileMayDifferInReadOnlyButNotInOptions) {
  ASSERT_THAT(life_->Register("sqlite:///a.db"), IsOk());
  Registrar::Request request;
  request.url = *ParseDatabaseUrl("sqlite:///a.db");
  request.read_only = true;
  const auto reading = life_->executor.Run(life_->registrar->Register(Context(), request));
  ASSERT_THAT(reading, IsOk());
  EXPECT_TRUE(reading->entry->read_only);
  EXPECT_THAT(life_->Register("sqlite:///a.db?foreign_keys=off"),
              Fails(kPrecondition, "CONNECTION_INVALID_TARGET"));
}

TEST_F(RegistrarTest, ACloseWaitsForTheCallsThatHaveTheConnection) {
  auto registered = life_->Register("sqlite:///a.db");
  registered->entry.reset();
  auto call = life_->Open(registered->id);
  const auto late = life_->Close(registered->id, absl::Milliseconds(20));
  ASSERT_THAT(late, IsOk());
  EXPECT_FALSE(late->drained);
  EXPECT_FALSE(late->database_closed);
  // The call goes on to its own end, and the database closes behind it.
  const auto database = (*call)->database;
  EXPECT_THAT(test::Execute(life_->executor, *database, "CREATE TABLE t(a)"), IsOk());
  call = absl::CancelledError("over");
  EXPECT_TRUE(test::RunUntil(life_->executor, [&] {
    return absl::IsUnavailable(test::Execute(life_->executor, *database, "SELECT 1").status());
  }));
}

Task<absl::StatusOr<Registrar::Closed>> CloseAndStop(Registrar& registrar, std::string id) {
  const Context ctx;
  auto closed = co_await registrar.Close(ctx, std::move(id), absl::Seconds(60));
  co_return closed;
}

Task<absl::Status> LetGoOf(Connections::EntryPtr entry) {
  const Context ctx;
  const bool elapsed = co_await SleepFor(ctx, absl::Milliseconds(20));
  EXPECT_EQ(entry.use_count(), 1) << "the close lets go of it first";
  entry.reset();
  co_return elapsed ? absl::OkStatus() : absl::InternalError("no time passed");
}

TEST_F(RegistrarTest, ACloseEndsWithTheLastCall) {
  auto registered = life_->Register("sqlite:///a.db");
  const auto begun = absl::Now();
  const auto [closed, let_go] = life_->executor.Run(
      Join(CloseAndStop(*life_->registrar, registered->id), LetGoOf(std::move(registered->entry))));
  ASSERT_THAT(closed, IsOk());
  EXPECT_THAT(let_go, IsOk());
  EXPECT_TRUE(closed->drained);
  EXPECT_TRUE(closed->database_closed);
  EXPECT_LT(absl::Now() - begun, absl::Seconds(30));
}

TEST_F(RegistrarTest, OfTwoClosesOneFindsNothing) {
  auto registered = life_->Register("sqlite:///a.db");
  registered->entry.reset();
  const auto [one, two] =
      life_->executor.Run(Join(CloseAndStop(*life_->registrar, registered->id),
                               CloseAndStop(*life_->registrar, registered->id)));
  EXPECT_NE(one.ok(), two.ok());
  EXPECT_THAT(one.ok() ? two : one, Fails(kNotFound, "CONNECTION_NOT_FOUND"));
}

TEST_F(RegistrarTest, TheDefaultConnectionStays) {
  EXPECT_THAT(life_->Close("default"), Fails(kPrecondition, "CONNECTION_PERMANENT"));
}

TEST_F(RegistrarTest, ACallThatNobodyWaitsForLeavesNothing) {
  CallScope scope;
  const Context ctx = scope.MakeContext(absl::InfiniteFuture(), "");
  scope.Stop(StopCause::kCancelled);
  EXPECT_FALSE(life_->Register("sqlite:///a.db", "mine", ctx).ok());
  EXPECT_THAT(*life_->executor.Run(life_->registry->Load()), IsEmpty());
  // The name is free, and so is the file, once it is closed again.
  EXPECT_TRUE(test::RunUntil(life_->executor,
                             [&] { return life_->Register("sqlite:///a.db", "mine").ok(); }));
}

}  // namespace
}  // namespace sluice::core
