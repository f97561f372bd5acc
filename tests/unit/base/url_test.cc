#include "server/base/url.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

DatabaseUrl Parse(absl::string_view text) {
  const auto url = ParseDatabaseUrl(text);
  EXPECT_TRUE(url.ok()) << text << ": " << url.status().message();
  return url.ok() ? *url : DatabaseUrl();
}

std::string WhyNot(absl::string_view text) {
  const auto url = ParseDatabaseUrl(text);
  EXPECT_FALSE(url.ok()) << text;
  EXPECT_EQ(errors::ReasonOf(url.status()), "CONNECTION_INVALID_TARGET");
  return std::string(url.status().message());
}

TEST(SqliteUrl, ThreeSlashesAreRelativeAndFourAbsolute) {
  EXPECT_EQ(Parse("sqlite:///data/app.db").path, "data/app.db");
  EXPECT_EQ(Parse("sqlite:////var/lib/app.db").path, "/var/lib/app.db");
  EXPECT_EQ(Parse("sqlite:///app.db").scheme, "sqlite");
  EXPECT_FALSE(Parse("sqlite:///app.db").in_memory);
}

TEST(SqliteUrl, MemoryHasThreeSpellings) {
  for (const char* text : {"sqlite::memory:", "sqlite://", "sqlite:///:memory:",
                           "sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"}) {
    EXPECT_TRUE(Parse(text).in_memory) << text;
    EXPECT_EQ(Parse(text).path, "");
  }
}

TEST(SqliteUrl, FormsOfOrmsMeanTheSame) {
  EXPECT_EQ(Parse("sqlite+aiosqlite:///app.db"), Parse("sqlite:///app.db"));
  EXPECT_EQ(Parse("sqlite+pysqlite:////x/app.db"), Parse("sqlite:////x/app.db"));
  EXPECT_EQ(Parse("SQLite:///app.db"), Parse("sqlite:///app.db"));
}

TEST(SqliteUrl, PathsMayBePercentEncoded) {
  EXPECT_EQ(Parse("sqlite:///my%20data%3F.db").path, "my data?.db");
  EXPECT_EQ(Parse("sqlite:///a#b&c=d.db").path, "a#b&c=d.db");
  EXPECT_THAT(WhyNot("sqlite:///a%00b"), HasSubstr("percent-encoding"));
  EXPECT_THAT(WhyNot("sqlite:///a%2"), HasSubstr("percent-encoding"));
  EXPECT_THAT(WhyNot("sqlite:///a%zz"), HasSubstr("percent-encoding"));
}

TEST(SqliteUrl, OptionsAreSwitches) {
  EXPECT_TRUE(Parse("sqlite:///a.db").foreign_keys);
  EXPECT_FALSE(Parse("sqlite:///a.db").read_only);
  const DatabaseUrl url = Parse("sqlite:///a.db?foreign_keys=off&readonly=on");
  EXPECT_EQ(url.path, "a.db");
  EXPECT_FALSE(url.foreign_keys);
  EXPECT_TRUE(url.read_only);
  EXPECT_THAT(WhyNot("sqlite:///a.db?foreign_keys=maybe"), HasSubstr("'foreign_keys' must be on"));
  EXPECT_THAT(WhyNot("sqlite:///a.db?readonly"), HasSubstr("'readonly' must be on"));
  EXPECT_THAT(WhyNot("sqlite:///a.db?readonly=on&readonly=off"), HasSubstr("twice"));
}

TEST(SqliteUrl, AnUnknownOptionIsNamed) {
  EXPECT_THAT(WhyNot("sqlite:///a.db?mode=ro"), HasSubstr("'mode' is not known"));
  EXPECT_THAT(WhyNot("sqlite:///a.db?check_same_thread=false"), HasSubstr("check_same_thread"));
  EXPECT_THAT(WhyNot("sqlite:///a.db?pa$$word=1"), HasSubstr("impossible name"));
}

TEST(SqliteUrl, AHostOrNoFileIsRefused) {
  EXPECT_THAT(WhyNot("sqlite://host/app.db"), HasSubstr("names no host"));
  EXPECT_THAT(WhyNot("sqlite:app.db"), HasSubstr("sqlite:///relative"));
  EXPECT_THAT(WhyNot("sqlite:///"), HasSubstr("names no file"));
  EXPECT_THAT(WhyNot("sqlite:"), HasSubstr("sqlite:///relative"));
}

TEST(PostgresUrl, HasItsParts) {
  const DatabaseUrl url = Parse("postgresql://me:secret@db.example:6432/shop?sslmode=require");
  EXPECT_EQ(url.scheme, "postgresql");
  EXPECT_EQ(url.user, "me");
  EXPECT_EQ(url.password, "secret");
  EXPECT_THAT(url.hosts, ElementsAre(DatabaseHost{"db.example", 6432}));
  EXPECT_EQ(url.database, "shop");
  EXPECT_EQ(url.options.at("sslmode"), "require");
}

TEST(PostgresUrl, FormsOfOrmsMeanTheSame) {
  const DatabaseUrl url = Parse("postgresql://me:pw@h/d");
  EXPECT_THAT(url.hosts, ElementsAre(DatabaseHost{"h", 5432}));
  for (const char* scheme : {"postgres", "postgresql+asyncpg", "postgresql+psycopg2",
                             "postgresql+psycopg", "postgres+asyncpg", "PostgreSQL"}) {
    EXPECT_EQ(Parse(std::string(scheme) + "://me:pw@h:5432/d"), url) << scheme;
  }
}

TEST(PostgresUrl, PartsAreDecodedOnce) {
  const DatabaseUrl url = Parse("postgres://a%40b:p%2Fw%3A%2525@h/d%20b");
  EXPECT_EQ(url.user, "a@b");
  EXPECT_EQ(url.password, "p/w:%25");
  EXPECT_EQ(url.database, "d b");
}

TEST(PostgresUrl, LoginAndDatabaseAreOptional) {
  EXPECT_THAT(Parse("postgresql://h").hosts, ElementsAre(DatabaseHost{"h", 5432}));
  EXPECT_EQ(Parse("postgresql://h").user, "");
  EXPECT_EQ(Parse("postgresql://u@h/").user, "u");
  EXPECT_THAT(Parse("postgresql://[::1]:7/d").hosts, ElementsAre(DatabaseHost{"::1", 7}));
  EXPECT_EQ(Parse("postgresql://u:p:q@h/d").password, "p:q");
}

TEST(PostgresUrl, MayNameSeveralHosts) {
  const DatabaseUrl url =
      Parse("postgresql://user:pw@h1:5432,h2:5433,[::1]/db?target_session_attrs=read-write");
  EXPECT_THAT(url.hosts, ElementsAre(DatabaseHost{"h1", 5432}, DatabaseHost{"h2", 5433},
                                     DatabaseHost{"::1", 5432}));
  EXPECT_EQ(url.options.at("target_session_attrs"), "read-write");
  EXPECT_THAT(WhyNot("postgresql://h1,/db"), HasSubstr("no host"));
  EXPECT_THAT(WhyNot("postgresql://,h1/db"), HasSubstr("no host"));
}

TEST(PostgresUrl, MayNameTheFolderOfASocket) {
  for (const char* text : {"postgresql://%2Frun%2Fpostgresql:5433/db",
                           "postgresql:///db?host=/run/postgresql&port=5433",
                           "postgresql:///db?host=%2Frun%2Fpostgresql&port=5433"}) {
    const DatabaseUrl url = Parse(text);
    EXPECT_THAT(url.hosts, ElementsAre(DatabaseHost{"/run/postgresql", 5433})) << text;
    EXPECT_EQ(url.database, "db");
    EXPECT_TRUE(url.options.empty());
  }
  EXPECT_EQ(Parse("postgresql:///db?host=/run/pg").hosts[0].port, 5432);
}

TEST(PostgresUrl, OptionsMayStandForItsParts) {
  EXPECT_EQ(Parse("postgresql:///?host=h1,h2&port=5433&user=me&password=pw&dbname=d"),
            Parse("postgresql://me:pw@h1:5433,h2:5433/d"));
  EXPECT_EQ(Parse("postgresql:///d?host=h1,h2&port=7,8"), Parse("postgresql://h1:7,h2:8/d"));
  EXPECT_EQ(Parse("postgresql://u@h/d?password=pw"), Parse("postgresql://u:pw@h/d"));
  for (const char* part : {"user", "password", "dbname"}) {
    EXPECT_THAT(WhyNot(absl::StrCat("postgresql://u:p@h/d?", part, "=hunter2")),
                AllOf(HasSubstr(absl::StrCat("its ", part)), Not(HasSubstr("hunter"))));
  }
  for (const char* text : {"postgresql://h/d?host=h", "postgresql://h/d?port=7",
                           "postgresql:///d?port=7", "postgresql:///d?host=h1,&port=7"}) {
    EXPECT_THAT(WhyNot(text), HasSubstr("host")) << text;
  }
  EXPECT_THAT(WhyNot("postgresql:///d?host=h1,h2&port=7,8,9"), HasSubstr("one for each"));
  EXPECT_THAT(WhyNot("postgresql:///d?host=h1&port=0"), HasSubstr("port"));
}

TEST(PostgresUrl, RefusesWhatCannotBe) {
  EXPECT_THAT(WhyNot("postgresql:///db"), HasSubstr("no host"));
  EXPECT_THAT(WhyNot("postgresql:h/db"), HasSubstr("//"));
  EXPECT_THAT(WhyNot("postgresql://h:0/db"), HasSubstr("port"));
  EXPECT_THAT(WhyNot("postgresql://h:65536/db"), HasSubstr("port"));
  EXPECT_THAT(WhyNot("postgresql://[::1/db"), HasSubstr("bracket"));
  EXPECT_THAT(WhyNot("postgresql://[::1]7/db"), HasSubstr("port"));
}

TEST(DatabaseUrl, UnknownSchemesAreRefusedWithTheFormsThatWork) {
  for (const char* text : {"", "app.db", "mysql://h/d", "sqlite+sqlcipher:///x", "://", "file:x"}) {
    EXPECT_THAT(WhyNot(text), HasSubstr("sqlite:///file")) << text;
  }
}

TEST(DatabaseUrl, MessagesNeverRepeatTheUrl) {
  for (const char* text :
       {"hunter2", "hunter2:x", "postgres://u:hunter2/x@h/d", "postgres://u:hunter2%zz@h/d",
        "postgres:u:hunter2@h/d", "postgres://u:hunter2@h:hunter2/d", "postgres://u:hunter2@:1/d",
        "postgres://u:p@h/d?hunter2=1", "postgres://u:p@h/d?a=hunter2%", "sqlite://hunter2@x",
        "sqlite:///a?readonly=hunter2", "mysql://u:hunter2@h/d", "postgres://hunter2%0/d"}) {
    EXPECT_THAT(WhyNot(text), Not(HasSubstr("hunter"))) << text;
  }
}

TEST(DatabaseUrl, RedactedShowsEverythingButSecrets) {
  EXPECT_EQ(Parse("postgres://me:hunter2@h/d?sslmode=require").Redacted(),
            "postgresql://me:***@h:5432/d?sslmode=require");
  EXPECT_EQ(Parse("postgres://me@[::1]/d").Redacted(), "postgresql://me@[::1]:5432/d");
  EXPECT_EQ(Parse("postgres://h/d?password=hunter2&sslpassword=hunter2").Redacted(),
            "postgresql://:***@h:5432/d?sslpassword=***");
  EXPECT_EQ(Parse("postgres://me@h1,[::1]:7/d").Redacted(), "postgresql://me@h1:5432,[::1]:7/d");
  EXPECT_EQ(Parse("postgres:///d?host=/run/pg&password=hunter2").Redacted(),
            "postgresql://:***@%2Frun%2Fpg:5432/d");
  EXPECT_EQ(Parse("postgres://:hunter2@h/d").Redacted(), "postgresql://:***@h:5432/d");
  EXPECT_EQ(Parse("sqlite:////a/b c.db?readonly=on&foreign_keys=off").Redacted(),
            "sqlite:////a/b%20c.db?foreign_keys=off&readonly=on");
  EXPECT_EQ(Parse("sqlite://").Redacted(), "sqlite::memory:");
}

TEST(DatabaseUrl, RedactedSqliteReadsBackTheSame) {
  for (const char* text : {"sqlite:///a%3Fb%25.db", "sqlite:////a/b.db?readonly=on",
                           "sqlite::memory:", "sqlite:///Grüße.db?foreign_keys=off"}) {
    EXPECT_EQ(Parse(Parse(text).Redacted()), Parse(text)) << text;
  }
}

}  // namespace
}  // namespace sluice
