#include "server/services/connection_service.h"

#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/core/registry_fixture.h"
#include "tests/unit/core/scripted_database.h"
#include "tests/unit/services/support.h"

namespace sluice::services {
namespace {

using ::testing::ElementsAre;

class ConnectionServiceTest : public ::testing::Test {
 protected:
  ConnectionServiceTest() {
    core::Connections::Entry entry = core::EntryOf("default", "main", database_);
    entry.read_only = true;
    EXPECT_TRUE(connections_.Add(std::move(entry)).ok());
  }

  void AddMany(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string id = absl::StrCat("c", i);
      EXPECT_TRUE(connections_.Add(core::EntryOf(id, "many", database_)).ok());
    }
  }

  absl::StatusOr<pb::ListConnectionsResponse> List(int page_size, std::string page_token) {
    pb::ListConnectionsRequest request;
    request.set_page_size(page_size);
    request.set_page_token(std::move(page_token));
    return timeline_.Run(service_.ListConnections(ctx_, request));
  }

  core::Timeline timeline_;
  std::shared_ptr<core::ScriptedDatabase> database_ = std::make_shared<core::ScriptedDatabase>();
  core::Connections connections_;
  const PageTokens tokens_{"a key"};
  const test::TempDir folder_;
  core::Life life_{folder_};
  ConnectionService service_{connections_, *life_.registrar, timeline_.clock(), tokens_};
  Context ctx_;
};

TEST_F(ConnectionServiceTest, ShowsAConnectionWithoutItsId) {
  pb::GetConnectionRequest request;
  request.set_connection_id("default");
  const auto response = timeline_.Run(service_.GetConnection(ctx_, request));
  ASSERT_TRUE(response.ok()) << response.status();
  const pb::Connection& connection = response->connection();
  EXPECT_EQ(connection.handle(), "h_default");
  EXPECT_EQ(connection.name(), "main");
  EXPECT_EQ(connection.engine(), pb::ENGINE_SQLITE);
  EXPECT_EQ(connection.target(), "/data/main");
  EXPECT_TRUE(connection.read_only());
  EXPECT_EQ(connection.create_time().seconds(), 1'700'000'000);
  EXPECT_EQ(connection.create_time().nanos(), 250'000'000);
}

TEST_F(ConnectionServiceTest, EveryMethodRefusesNoIdAndAnUnknownOne) {
  pb::GetConnectionRequest get;
  pb::TestConnectionRequest test;
  EXPECT_EQ(InvalidField(timeline_.Run(service_.GetConnection(ctx_, get)).status()),
            "connection_id");
  EXPECT_EQ(InvalidField(timeline_.Run(service_.TestConnection(ctx_, test)).status()),
            "connection_id");
  get.set_connection_id("nobody");
  test.set_connection_id("nobody");
  EXPECT_TRUE(absl::IsNotFound(timeline_.Run(service_.GetConnection(ctx_, get)).status()));
  EXPECT_TRUE(absl::IsNotFound(timeline_.Run(service_.TestConnection(ctx_, test)).status()));
}

TEST_F(ConnectionServiceTest, AShortListIsOnePage) {
  const auto response = List(0, "");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->connections_size(), 1);
  EXPECT_EQ(response->page().total_size(), 1);
  EXPECT_EQ(response->page().next_page_token(), "");
}

TEST_F(ConnectionServiceTest, PagesTogetherShowEachConnectionOnce) {
  AddMany(24);
  std::multiset<std::string> seen;
  std::string token;
  int pages = 0;
  do {
    const auto response = List(10, token);
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->page().total_size(), 25);
    for (const auto& connection : response->connections()) seen.insert(connection.handle());
    token = response->page().next_page_token();
    ++pages;
  } while (!token.empty() && pages < 10);
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(seen.size(), 25U);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 25U);
}

TEST_F(ConnectionServiceTest, APageThatEndsTheListHasNoToken) {
  AddMany(9);
  const auto response = List(10, "");
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->connections_size(), 10);
  EXPECT_EQ(response->page().next_page_token(), "");
}

TEST_F(ConnectionServiceTest, ATokenStaysGoodWhenConnectionsCome) {
  AddMany(3);  // main, many × 3
  const auto first = List(2, "");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(connections_.Add(core::EntryOf("a", "before all", database_)).ok());
  const auto second = List(10, first->page().next_page_token());
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_EQ(second->connections_size(), 2);
  EXPECT_EQ(second->connections(0).handle(), "h_c1");
  EXPECT_EQ(second->connections(1).handle(), "h_c2");
}

TEST_F(ConnectionServiceTest, APageSizeIsDefaultedCoercedOrRefused) {
  AddMany(600);
  EXPECT_EQ(List(0, "")->connections_size(), 50);
  EXPECT_EQ(List(501, "")->connections_size(), 500);
  EXPECT_EQ(InvalidField(List(-1, "").status()), "page_size");
}

TEST_F(ConnectionServiceTest, AForeignPageTokenIsRefused) {
  EXPECT_EQ(InvalidField(List(0, "made-up").status()), "page_token");
}

TEST_F(ConnectionServiceTest, ADatabaseIsMadeToKeepRequestsUnlessItsConnectionIsReadOnly) {
  AddMany(1);
  const auto keep = [&](const char* id) {
    pb::KeepRequestsRequest request;
    request.set_connection_id(id);
    return timeline_.Run(service_.KeepRequests(ctx_, request)).status();
  };
  EXPECT_TRUE(keep("c0").ok());
  EXPECT_EQ(database_->times_made_to_keep, 1);
  database_->keep_requests = errors::DatabaseCorrupt("The file is damaged.");
  EXPECT_EQ(errors::ReasonOf(keep("c0")), "DATABASE_CORRUPT");
  EXPECT_EQ(errors::ReasonOf(keep("default")), "READ_ONLY_VIOLATION");
  EXPECT_EQ(errors::ReasonOf(keep("nobody")), "CONNECTION_NOT_FOUND");
  EXPECT_EQ(InvalidField(keep("")), "connection_id");
  EXPECT_EQ(database_->times_made_to_keep, 2);
}

TEST_F(ConnectionServiceTest, ATestTellsWhatTheDatabaseSaysAndHowLongItTook) {
  database_->inspect_delay = absl::Milliseconds(1250);
  pb::TestConnectionRequest request;
  request.set_connection_id("default");
  const auto response = timeline_.Run(service_.TestConnection(ctx_, request));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->response_time().seconds(), 1);
  EXPECT_EQ(response->response_time().nanos(), 250'000'000);
  EXPECT_EQ(response->engine(), pb::ENGINE_SQLITE);
  EXPECT_EQ(response->server_version(), "3.40.1");
  EXPECT_EQ(response->database_name(), "test.db");
  EXPECT_EQ(response->size_bytes(), 4096);
}

TEST_F(ConnectionServiceTest, ATestAnswersTheDatabasesOwnError) {
  database_->info = errors::DatabaseCorrupt("The file is damaged.");
  pb::TestConnectionRequest request;
  request.set_connection_id("default");
  const absl::Status status = timeline_.Run(service_.TestConnection(ctx_, request)).status();
  EXPECT_EQ(errors::ReasonOf(status), "DATABASE_CORRUPT");
}

// RegisterTest: the same service on real files.
class RegisterTest : public ::testing::Test {
 protected:
  absl::StatusOr<pb::RegisterConnectionResponse> Register(const std::string& url,
                                                          const std::string& name = "") {
    pb::RegisterConnectionRequest request;
    request.set_url(url);
    request.set_name(name);
    return life_.executor.Run(service_.RegisterConnection(ctx_, request));
  }

  absl::StatusOr<pb::CloseConnectionResponse> Close(const std::string& id, int64_t seconds = 10) {
    pb::CloseConnectionRequest request;
    request.set_connection_id(id);
    request.mutable_drain_timeout()->set_seconds(seconds);
    return life_.executor.Run(service_.CloseConnection(ctx_, request));
  }

  const test::TempDir folder_;
  core::Life life_{folder_};
  const PageTokens tokens_{"a key"};
  ConnectionService service_{life_.connections, *life_.registrar, Clock::System(), tokens_};
  Context ctx_;
};

TEST_F(RegisterTest, AnswersTheIdOnceAndShowsTheConnection) {
  const auto response = Register("sqlite:///shop.db?readonly=off", "shop");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->handle(), response->connection().handle());
  EXPECT_EQ(response->connection().name(), "shop");
  EXPECT_EQ(response->connection().engine(), pb::ENGINE_SQLITE);
  EXPECT_EQ(response->connection().target(), life_.root() + "/shop.db");
  EXPECT_FALSE(response->connection().read_only());
  EXPECT_GT(response->connection().create_time().seconds(), 0);
  pb::ListConnectionsRequest list;
  const auto listed = life_.executor.Run(service_.ListConnections(ctx_, list));
  ASSERT_EQ(listed->connections_size(), 1);
  EXPECT_EQ(listed->DebugString().find(response->connection_id()), std::string::npos);
}

TEST_F(RegisterTest, RefusesWhatIsNoUrlWithoutRepeatingIt) {
  for (const char* url :
       {"", "S3cr3t", "mysql://S3cr3t@host/x", "sqlite://S3cr3t/x", "sqlite:///%00S3cr3t",
        "sqlite:///S3cr3t%0a", "sqlite:///S3cr3t%ff", "postgresql://u:S3cr3t@host:port/db"}) {
    const absl::Status status = Register(url).status();
    EXPECT_EQ(InvalidField(status), "url") << url;
    EXPECT_EQ(status.ToString().find("S3cr3t"), std::string::npos) << status;
  }
}

TEST_F(RegisterTest, RefusesAnOptionThatDoesNotExist) {
  const absl::Status status = Register("sqlite:///a.db?cache=shared").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(errors::ReasonOf(status), "CONNECTION_INVALID_TARGET");
}

TEST_F(RegisterTest, SaysWhetherTheIdOutlivesTheServer) {
  EXPECT_TRUE(Register("sqlite:///a.db")->persistent());
  EXPECT_FALSE(Register("sqlite:///:memory:")->persistent());
}

TEST_F(RegisterTest, TakesAUrlOrThePartsOfOne) {
  pb::RegisterConnectionRequest request;
  request.set_url("sqlite:///a.db");
  pb::PostgresTarget& target = *request.mutable_postgres();
  const auto answer = [&] {
    return life_.executor.Run(service_.RegisterConnection(ctx_, request)).status();
  };
  EXPECT_EQ(InvalidField(answer()), "postgres");
  request.clear_url();
  EXPECT_EQ(InvalidField(answer()), "postgres.hosts");
  pb::PostgresHost& host = *target.add_hosts();
  EXPECT_EQ(InvalidField(answer()), "postgres.hosts");
  host.set_host("S3cr3t.example");
  host.set_port(-1);
  EXPECT_EQ(InvalidField(answer()), "postgres.hosts");
  host.set_port(65536);
  EXPECT_EQ(InvalidField(answer()), "postgres.hosts");
  host.set_port(0);
  target.set_database("a\nb");
  EXPECT_EQ(InvalidField(answer()), "postgres.database");
  target.set_database("shop");
  target.set_user("S3cr3t");
  target.set_password("S3cr3t");
  (*target.mutable_options())["sslmode"] = "S3cr3t";
  // As far as it goes without a driver.
  EXPECT_EQ(errors::ReasonOf(answer()), "ENGINE_NOT_BUILT");
  EXPECT_EQ(answer().ToString().find("S3cr3t"), std::string::npos) << answer();
  EXPECT_TRUE(life_.connections.List().empty());
}

TEST_F(RegisterTest, ShowsAPostgresConnectionWithoutItsLogin) {
  core::Connections connections(
      [](const Context&, db::Target target) -> Task<absl::StatusOr<std::shared_ptr<db::Database>>> {
        EXPECT_EQ(target.password, "S3cr3t");
        EXPECT_EQ(target.options.at("sslmode"), "require");
        co_return std::make_shared<core::ScriptedDatabase>();
      });
  core::Registrar registrar(connections, *life_.registry, core::RegistrarOptions(),
                            Clock::System());
  ConnectionService service(connections, registrar, Clock::System(), tokens_);
  pb::RegisterConnectionRequest request;
  pb::PostgresTarget& target = *request.mutable_postgres();
  target.add_hosts()->set_host("h1");
  target.add_hosts()->set_host("::1");
  target.mutable_hosts(1)->set_port(5433);
  target.set_database("shop");
  target.set_user("S3cr3tUser");
  target.set_password("S3cr3t");
  (*target.mutable_options())["sslmode"] = "require";
  const auto response = life_.executor.Run(service.RegisterConnection(ctx_, request));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->connection().engine(), pb::ENGINE_POSTGRESQL);
  EXPECT_EQ(response->connection().target(), "h1:5432,[::1]:5433/shop");
  EXPECT_FALSE(response->persistent());
  pb::ListConnectionsRequest list;
  const auto listed = life_.executor.Run(service.ListConnections(ctx_, list));
  ASSERT_EQ(listed->connections_size(), 1);
  for (const char* hidden : {"S3cr3t", "sslmode"}) {
    EXPECT_EQ(listed->DebugString().find(hidden), std::string::npos);
    EXPECT_EQ(response->DebugString().find(hidden), std::string::npos);
  }
  connections.CloseAll();
}

TEST_F(RegisterTest, ANameHasSixtyFourPlainLettersAtMost) {
  for (const std::string& name :
       {std::string("a b"), std::string("é"), std::string("a/b"), std::string(65, 'a')}) {
    EXPECT_EQ(InvalidField(Register("sqlite:///a.db", name).status()), "name") << name;
  }
  EXPECT_TRUE(Register("sqlite:///a.db", std::string(64, 'a')).ok());
  EXPECT_TRUE(Register("sqlite:///a.db", "A-z_0.9").ok());
}

TEST_F(RegisterTest, CloseChecksWhatItIsAsked) {
  EXPECT_EQ(InvalidField(Close("").status()), "connection_id");
  EXPECT_EQ(InvalidField(Close("x", -1).status()), "drain_timeout");
  EXPECT_EQ(InvalidField(Close("x", 61).status()), "drain_timeout");
  EXPECT_TRUE(absl::IsNotFound(Close("x", 60).status()));
  EXPECT_EQ(errors::ReasonOf(Close("default").status()), "CONNECTION_PERMANENT");
}

TEST_F(RegisterTest, CloseSaysHowItWent) {
  const auto response = Register("sqlite:///shop.db");
  const auto closed = Close(response->connection_id(), 0);
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_TRUE(closed->drained());
  EXPECT_TRUE(closed->database_closed());
}

}  // namespace
}  // namespace sluice::services
