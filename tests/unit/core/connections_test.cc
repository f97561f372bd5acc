#include "server/core/connections.h"

#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
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

}  // namespace
}  // namespace sluice::core
