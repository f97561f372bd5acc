#include "server/db/fingerprint.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/base/utf8.h"

namespace sluice::db {
namespace {

std::string Text(absl::string_view sql, Dialect dialect = Dialect::kSqlite) {
  return MakeFingerprint(sql, dialect).text;
}

TEST(Fingerprint, ShowsTheStatementWithoutItsValues) {
  struct Case {
    absl::string_view sql;
    std::string text;
  };

  const Case cases[] = {
      {"", ""},
      {" ; ", ""},
      {"SELECT Name FROM Track WHERE Id=7;", "select name from track where id = ?"},
      {"select  a\n,b -- secret\nfrom/* secret */t", "select a, b from t"},
      {"select 'secret', x'00', 1.5e3, \"Col\", t.b", "select ?, ?, ?, \"Col\", t.b"},
      {"select ?, ?1, :a, @a, $a", "select ?, ?, ?, ?, ?"},
      {"select * from t where a>=1 and b<>-2", "select * from t where a >= ? and b <> ?"},
      {"select count(*)", "select count (*)"},
      {"select a||'x'", "select a || ?"},
      {"select a - 1, (-1), (+ 1), a-(-1)", "select a - ?, (?), (?), a - (?)"},
      {"select 'open secret", "select ?"},
      {"select \"open secret", "select ?"},
      // Lists.
      {"where a IN (1, 2, 3)", "where a in (?)"},
      {"where a in (-1, 'x', :b) and c in (1)", "where a in (?) and c in (?)"},
      {"where a in (1, b)", "where a in (?, b)"},
      {"where a in ()", "where a in ()"},
      {"where a in (select 1)", "where a in (select ?)"},
      {"where a in (1, f(2))", "where a in (?, f (?))"},
      {"where (a, b) in ((1, 2), (3, 4))", "where (a, b) in ((?, ?), (?, ?))"},
      {"select f(1, 2)", "select f (?, ?)"},
      {"insert into t values (1, 2), (3, 4), (5, 6)", "insert into t values (?, ?)"},
      {"insert into t values (1), (null), (2), (3) on conflict do nothing",
       "insert into t values (?), (null), (?) on conflict do nothing"},
      {"insert into t values (f(1)), (f(2))", "insert into t values (f (?))"},
      {"values (1), (2) union values (3), (4)", "values (?) union values (?)"},
  };
  for (const Case& c : cases) EXPECT_EQ(Text(c.sql), c.text) << c.sql;
}

TEST(Fingerprint, ReadsPostgresByItsOwnRules) {
  struct Case {
    absl::string_view sql;
    std::string text;
  };

  const Case cases[] = {
      {"select $1::int, E'secret\\' secret', $$secret$$", "select ?::int, ?, ?"},
      {"select a[1:2], b -> 'secret' ->> $1", "select a[? : ?], b -> ? ->> ?"},
      {"select /* a /* b */ secret */ 1", "select ?"},
      {"select * from t where a @> :b and c ? 'secret'", "select * from t where a @> ? and c ? ?"},
  };
  for (const Case& c : cases) EXPECT_EQ(Text(c.sql, Dialect::kPostgres), c.text) << c.sql;
}

TEST(Fingerprint, IsOneForStatementsThatDifferInValuesAndLayoutOnly) {
  const std::string hash =
      MakeFingerprint("select a from t where b in (1, 2)", Dialect::kSqlite).hash;
  for (const absl::string_view sql :
       {"SELECT a FROM t WHERE b IN ('x')", "select a from t -- x\n where b in(?,?,?);",
        "select a from t where b in (-5)"}) {
    EXPECT_EQ(MakeFingerprint(sql, Dialect::kSqlite).hash, hash) << sql;
  }
  for (const absl::string_view sql :
       {"select a from t where b not in (1)", "select a from u where b in (1)",
        "select \"A\" from t where b in (1)"}) {
    EXPECT_NE(MakeFingerprint(sql, Dialect::kSqlite).hash, hash) << sql;
  }
}

// Dashboards and logs of different versions are compared by it.
TEST(Fingerprint, HashNeverChanges) {
  EXPECT_EQ(MakeFingerprint("", Dialect::kSqlite).hash, "cbf29ce484222325");
  EXPECT_EQ(MakeFingerprint("SELECT 1", Dialect::kSqlite).hash,
            MakeFingerprint("select ?", Dialect::kSqlite).hash);
  EXPECT_EQ(MakeFingerprint("SELECT 1", Dialect::kSqlite).hash, "02fb7a5a1a5a9a58");
}

TEST(Fingerprint, TextIsOneShortLineAndTheHashCoversAll) {
  std::string columns = "a";
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&columns, ", é", i);
  const Fingerprint one =
      MakeFingerprint(absl::StrCat("select ", columns, " from t"), Dialect::kSqlite);
  const Fingerprint other =
      MakeFingerprint(absl::StrCat("select ", columns, " from u"), Dialect::kSqlite);
  EXPECT_LE(one.text.size(), kMaxFingerprintText);
  EXPECT_TRUE(IsValidUtf8(one.text));
  EXPECT_EQ(one.text, other.text);
  EXPECT_NE(one.hash, other.hash);
  EXPECT_EQ(Text("select \"a\nb\""), "select \"a b\"");
}

}  // namespace
}  // namespace sluice::db
