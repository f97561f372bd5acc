#include "server/db/shape.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"

namespace sluice::db {
namespace {

constexpr Dialect kDialects[] = {Dialect::kSqlite, Dialect::kPostgres};

std::string Reason(absl::string_view sql, Dialect dialect) {
  return errors::ReasonOf(CheckAllowed(Inspect(sql, dialect), dialect));
}

std::string Use(absl::string_view sql, Dialect dialect) {
  return errors::MetadataOf(CheckAllowed(Inspect(sql, dialect), dialect), "use");
}

TEST(Shape, FirstWordsAreFoundBehindWhatMayStandBeforeThem) {
  struct Case {
    absl::string_view sql;
    absl::string_view keyword;
    absl::string_view second;
    absl::string_view verb;
  };

  const Case cases[] = {
      {"select 1", "SELECT", "", "SELECT"},
      {" -- x\n/* y */ SeLeCt a", "SELECT", "A", "SELECT"},
      {"((select 1))", "SELECT", "", "SELECT"},
      {";; insert into t values (1)", "INSERT", "INTO", "INSERT"},
      {"'select' 1", "", "", ""},
      {"\"select\" 1", "", "", ""},
      {"create temp trigger x", "CREATE", "TRIGGER", "CREATE"},
      {"create or replace function f()", "CREATE", "FUNCTION", "CREATE"},
      {"rollback transaction to a", "ROLLBACK", "TO", "ROLLBACK"},
      {"with a as (select 1) insert into t select * from a", "WITH", "A", "INSERT"},
      {"with a(n) as (select (1)), b as (delete from t) select 1", "WITH", "A", "SELECT"},
      {"(with recursive a as (select 1) select 1)", "WITH", "RECURSIVE", "SELECT"},
      {"with", "WITH", "", "WITH"},
      {"a_word_that_is_longer_than_any_keyword of these", "", "", ""},
  };
  for (const Case& c : cases) {
    for (const Dialect dialect : kDialects) {
      const StatementShape shape = Inspect(c.sql, dialect);
      EXPECT_EQ(shape.keyword, c.keyword) << c.sql;
      EXPECT_EQ(shape.second, c.second) << c.sql;
      EXPECT_EQ(shape.verb, c.verb) << c.sql;
      EXPECT_FALSE(shape.explain) << c.sql;
      EXPECT_FALSE(shape.empty) << c.sql;
    }
  }
}

TEST(Shape, ExplainIsSeenThrough) {
  for (const absl::string_view sql : {"explain delete from t", "explain query plan delete from t",
                                      "/**/ explain explain (delete from t)"}) {
    const StatementShape shape = Inspect(sql, Dialect::kSqlite);
    EXPECT_TRUE(shape.explain) << sql;
    EXPECT_EQ(shape.keyword, "DELETE") << sql;
  }
  EXPECT_EQ(Inspect("explain analyze t", Dialect::kSqlite).keyword, "ANALYZE");
  for (const absl::string_view sql :
       {"explain select 1", "explain analyze verbose select 1", "explain (select 1)",
        "explain ((select 1))", "explain (analyze, format json) select 1",
        "explain (costs off, settings (on)) (select 1)"}) {
    const StatementShape shape = Inspect(sql, Dialect::kPostgres);
    EXPECT_TRUE(shape.explain) << sql;
    EXPECT_EQ(shape.keyword, "SELECT") << sql;
  }
}

TEST(Shape, TextWithoutAStatementIsEmptyAndRefused) {
  for (const Dialect dialect : kDialects) {
    for (const absl::string_view sql :
         {"", " \n\t", ";", " ; ;; ", "-- select 1", "/* select 1 */;"}) {
      EXPECT_TRUE(Inspect(sql, dialect).empty) << sql;
      EXPECT_EQ(Reason(sql, dialect), "STATEMENT_REFUSED") << sql;
    }
  }
  EXPECT_TRUE(Inspect("/* open", Dialect::kSqlite).empty);
  EXPECT_FALSE(Inspect("/* open", Dialect::kPostgres).empty);
  EXPECT_TRUE(Inspect("\uFEFF", Dialect::kSqlite).empty);
}

TEST(Shape, NulIsRefusedSinceEnginesStopThere) {
  const absl::string_view sql("select 'é\0'; drop table t", 26);
  for (const Dialect dialect : kDialects) {
    const StatementShape shape = Inspect(sql, dialect);
    EXPECT_EQ(shape.nul.offset, 10u);
    EXPECT_EQ(shape.nul.position, 10);
    const absl::Status status = CheckAllowed(shape, dialect);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(errors::ReasonOf(status), "STATEMENT_REFUSED");
  }
}

TEST(Shape, UnreadableTextIsNotedAndLeftToTheEngine) {
  const StatementShape shape = Inspect("select 'é', 'open", Dialect::kSqlite);
  EXPECT_EQ(shape.error.offset, 13u);
  EXPECT_EQ(shape.error.position, 13);
  EXPECT_TRUE(CheckAllowed(shape, Dialect::kSqlite).ok());
  EXPECT_FALSE(Inspect("select 'closed'", Dialect::kSqlite).error);
}

// Transaction control in every disguise that an engine would see through.
TEST(Shape, Fault44_TransactionControlIsRefusedInAnySpelling) {
  struct Verb {
    absl::string_view sql;
    absl::string_view use;
  };

  const Verb verbs[] = {
      {"begin", "BeginTransaction"},
      {"begin transaction", "BeginTransaction"},
      {"begin immediate", "BeginTransaction"},
      {"begin exclusive transaction", "BeginTransaction"},
      {"begin isolation level serializable", "BeginTransaction"},
      {"start transaction", "BeginTransaction"},
      {"start transaction read only", "BeginTransaction"},
      {"commit", "CommitTransaction"},
      {"commit work", "CommitTransaction"},
      {"commit and chain", "CommitTransaction"},
      {"commit prepared 'x'", "CommitTransaction"},
      {"end", "CommitTransaction"},
      {"end transaction", "CommitTransaction"},
      {"prepare transaction 'x'", "CommitTransaction"},
      {"rollback", "RollbackTransaction"},
      {"rollback transaction", "RollbackTransaction"},
      {"rollback prepared 'x'", "RollbackTransaction"},
      {"abort", "RollbackTransaction"},
      {"rollback to a", "RollbackToSavepoint"},
      {"rollback to savepoint a", "RollbackToSavepoint"},
      {"rollback work to savepoint a", "RollbackToSavepoint"},
      {"rollback transaction to a", "RollbackToSavepoint"},
      {"savepoint a", "Savepoint"},
      {"savepoint \"a\"", "Savepoint"},
      {"release a", "ReleaseSavepoint"},
      {"release savepoint a", "ReleaseSavepoint"},
  };
  const absl::string_view prefixes[] = {
      "",
      " ",
      "\n\t\r\f",
      ";",
      " ; ;",
      "-- x\n",
      "/* x */",
      "/**/",
      "(",
      "( (",
      "explain ",
      "EXPLAIN/**/",
      "-- a\n-- b\n/* c */ ; ",
      "/*;--*/",
      "--/*\n",
      "/* 'x */",
      "/* \xF0\x9F\xA6\xA5 */",
  };
  const absl::string_view suffixes[] = {"", ";", " ;", "-- x", "/* x */", "; select 1", "\n"};
  for (const Dialect dialect : kDialects) {
    for (const Verb& verb : verbs) {
      for (const absl::string_view prefix : prefixes) {
        for (const absl::string_view suffix : suffixes) {
          for (const std::string& body : {std::string(verb.sql), absl::AsciiStrToUpper(verb.sql)}) {
            const std::string sql = absl::StrCat(prefix, body, suffix);
            const StatementShape shape = Inspect(sql, dialect);
            const absl::Status status = CheckAllowed(shape, dialect);
            ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << sql;
            ASSERT_EQ(errors::ReasonOf(status), "TRANSACTION_CONTROL_REFUSED") << sql;
            ASSERT_EQ(errors::MetadataOf(status, "use"), verb.use) << sql;
            ASSERT_EQ(errors::MetadataOf(status, "executed"), "no") << sql;
          }
        }
      }
    }
  }
}

TEST(Shape, Fault44_EachDialectsOwnDisguises) {
  for (const absl::string_view sql : {"\uFEFFCOMMIT", "\uFEFF;\uFEFF COMMIT", "/* /* */ COMMIT",
                                      "explain query plan COMMIT", "CoMmIt", "COMMIT--\r"}) {
    EXPECT_EQ(Reason(sql, Dialect::kSqlite), "TRANSACTION_CONTROL_REFUSED") << sql;
  }
  for (const absl::string_view sql :
       {"/* /* */ */ COMMIT", "-- x\rCOMMIT", "explain (analyze) COMMIT",
        "explain analyze verbose COMMIT", "set transaction read write", "\vCOMMIT"}) {
    EXPECT_EQ(Reason(sql, Dialect::kPostgres), "TRANSACTION_CONTROL_REFUSED") << sql;
  }
}

TEST(Shape, Fault44_WhatOnlyLooksLikeTransactionControlPasses) {
  for (const absl::string_view sql :
       {"select 'commit'", "select \"commit\" from t", "-- commit\nselect 1",
        "/* begin */ select 1", "insert into commits values (1)", "select a as rollback from t",
        "update t set release = 1", "create table savepoints(a)", "select case when 1 then 2 end",
        // Garbage before the word: the engines refuse it as SQL that does not parse.
        "x commit", "'' commit", "? commit", "commit_ 1", "\"commit\""}) {
    for (const Dialect dialect : kDialects) EXPECT_EQ(Reason(sql, dialect), "") << sql;
  }
  // On SQLite the first is still in the comment, and on PostgreSQL the mark belongs to a name.
  EXPECT_EQ(Reason("-- x\rCOMMIT\nselect 1", Dialect::kSqlite), "");
  EXPECT_EQ(Reason("\uFEFFCOMMIT", Dialect::kPostgres), "");
}

TEST(Shape, Fault50_WhatChangesASharedSessionIsRefusedOnPostgres) {
  EXPECT_EQ(Use("copy t to stdout", Dialect::kPostgres), "BulkInsert or StreamQuery");
  EXPECT_EQ(Use("listen x", Dialect::kPostgres), "Subscribe");
  for (const absl::string_view sql :
       {"copy t from program 'x'", "COPY (select 1) TO STDOUT", "set search_path = a", "reset all",
        "discard all", "prepare p as select 1", "execute p", "deallocate all", "listen x",
        "unlisten *", "load 'x'", "/* x */ (copy t to stdout)"}) {
    const absl::Status status = CheckAllowed(Inspect(sql, Dialect::kPostgres), Dialect::kPostgres);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << sql;
    EXPECT_EQ(errors::ReasonOf(status), "STATEMENT_REFUSED") << sql;
    EXPECT_EQ(Reason(sql, Dialect::kSqlite), "") << sql;
  }
}

TEST(Shape, Fault51_StackedStatementsAreRefused) {
  struct Case {
    absl::string_view sql;
    size_t offset = 0;
  };

  const Case cases[] = {
      {"select 1; drop table t", 10},
      {"select 1;select 2;", 9},
      {"select ';'; select 2", 12},
      {"select 1 /* ; */ ; -- ;\n x", 25},
      {";; select 1;; ; select 2", 16},
      {"select 1; 'open", 10},
      {"select 1;)", 9},
      {"create table t(a); insert into t values (1)", 19},
      {"select 1; ?", 10},
  };
  for (const Case& c : cases) {
    for (const Dialect dialect : kDialects) {
      const StatementShape shape = Inspect(c.sql, dialect);
      ASSERT_TRUE(shape.stacked) << c.sql;
      EXPECT_EQ(shape.stacked.offset, c.offset) << c.sql;
      EXPECT_TRUE(shape.parameters.all.empty()) << c.sql;
      const absl::Status status = CheckAllowed(shape, dialect);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.sql;
      EXPECT_EQ(errors::ReasonOf(status), "STATEMENT_REFUSED") << c.sql;
      EXPECT_EQ(errors::MetadataOf(status, "use"), "ExecuteBatch") << c.sql;
      EXPECT_EQ(errors::MetadataOf(status, "sqlstate"), "42601") << c.sql;
      EXPECT_EQ(errors::MetadataOf(status, "position"), absl::StrCat(c.offset + 1)) << c.sql;
    }
  }
}

TEST(Shape, Fault51_OneStatementWithATailOfNothingPasses) {
  for (const absl::string_view sql :
       {"select 1", "select 1;", "select 1 ;; ; ", "select 1; -- select 2", "select 1; /* x */\n",
        ";select 1;", "select ';' || \";\" from t;"}) {
    for (const Dialect dialect : kDialects) EXPECT_EQ(Reason(sql, dialect), "") << sql;
  }
  EXPECT_EQ(Reason("select 1; /* open", Dialect::kSqlite), "");
  EXPECT_EQ(Reason("select 1; /* open", Dialect::kPostgres), "STATEMENT_REFUSED");
  EXPECT_EQ(Reason("select 1; /*", Dialect::kSqlite), "STATEMENT_REFUSED");
}

TEST(Shape, Fault51_PositionCountsCharactersAndNotBytes) {
  const StatementShape shape = Inspect("select 'é🦥'; select 2", Dialect::kSqlite);
  EXPECT_EQ(shape.stacked.offset, 17u);
  EXPECT_EQ(shape.stacked.position, 14);
}

TEST(Shape, Fault51_ASqliteTriggerIsOneStatement) {
  const std::string trigger =
      "create trigger r after insert on t begin select case a when 1 then 2 end from t; end_ ; "
      "delete from t; end";
  for (const absl::string_view prefix : {"", "/* x */", "explain ", "explain query plan "}) {
    for (const absl::string_view suffix : {"", ";", "; -- x"}) {
      EXPECT_EQ(Reason(absl::StrCat(prefix, trigger, suffix), Dialect::kSqlite), "") << suffix;
    }
    EXPECT_EQ(Reason(absl::StrCat(prefix, trigger, "; drop table t"), Dialect::kSqlite),
              "STATEMENT_REFUSED");
  }
  EXPECT_EQ(Reason("CREATE TEMPORARY TRIGGER r BEGIN select 1; END; x", Dialect::kSqlite),
            "STATEMENT_REFUSED");
  EXPECT_EQ(Reason("CREATE TABLE trigger(a); x", Dialect::kSqlite), "STATEMENT_REFUSED");
  EXPECT_EQ(Reason("select 'create trigger'; select 1; end; x", Dialect::kSqlite),
            "STATEMENT_REFUSED");
  // Only SQLite has statements in a trigger.
  EXPECT_EQ(Reason(trigger, Dialect::kPostgres), "STATEMENT_REFUSED");
}

TEST(Shape, Fault51_ModuleArgumentsOfAVirtualTableAreText) {
  const StatementShape shape =
      Inspect("create virtual table x using m(a; b, tokenize = :c (?1));", Dialect::kSqlite);
  EXPECT_FALSE(shape.stacked);
  EXPECT_TRUE(shape.parameters.all.empty());
  EXPECT_TRUE(Inspect("create virtual table x using m(a); b", Dialect::kSqlite).stacked);
}

TEST(Shape, Fault51_APostgresRoutineIsOneStatement) {
  for (const absl::string_view sql :
       {"create function f() returns int begin atomic select 1; select case when a then 1 end; end",
        "create or replace procedure p() begin atomic delete from t; end;",
        "create rule r as on insert to t do (delete from u; delete from v)",
        "do $$ begin delete from t; commit; end $$"}) {
    EXPECT_EQ(Reason(sql, Dialect::kPostgres), "") << sql;
    EXPECT_EQ(Reason(absl::StrCat(sql, "; select 1"), Dialect::kPostgres), "STATEMENT_REFUSED")
        << sql;
  }
}

}  // namespace
}  // namespace sluice::db
