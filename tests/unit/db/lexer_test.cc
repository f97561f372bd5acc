#include "server/db/lexer.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace sluice::db {
namespace {

absl::string_view KindName(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd:
      return "end";
    case TokenKind::kSpace:
      return "space";
    case TokenKind::kComment:
      return "comment";
    case TokenKind::kWord:
      return "word";
    case TokenKind::kQuotedName:
      return "name";
    case TokenKind::kString:
      return "string";
    case TokenKind::kNumber:
      return "number";
    case TokenKind::kParameter:
      switch (token.form) {
        case ParameterForm::kBare:
          return "bare";
        case ParameterForm::kNumbered:
          return "numbered";
        case ParameterForm::kNamed:
          return "named";
        case ParameterForm::kUnusable:
          return "unusable";
      }
      return "parameter";
    case TokenKind::kCast:
      return "cast";
    case TokenKind::kSemicolon:
    case TokenKind::kOpen:
    case TokenKind::kClose:
    case TokenKind::kComma:
    case TokenKind::kOperator:
      return "mark";
    case TokenKind::kError:
      return "error";
  }
  return "unknown";
}

// Every token but spaces as `kind<text>`, one space between them. Checks on the way that the tokens
// cover the SQL.
std::string Tokens(absl::string_view sql, Dialect dialect) {
  std::vector<std::string> seen;
  Lexer lexer(sql, dialect);
  size_t covered = 0;
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    EXPECT_EQ(token.offset, covered) << sql;
    EXPECT_FALSE(token.text.empty()) << sql;
    covered += token.text.size();
    if (token.kind == TokenKind::kSpace) continue;
    seen.push_back(absl::StrCat(KindName(token), "<", token.text, ">"));
  }
  EXPECT_EQ(covered, sql.size()) << sql;
  return absl::StrJoin(seen, " ");
}

struct Case {
  absl::string_view sql;
  std::string tokens;
};

TEST(SqliteLexer, CutsWhereSqliteCuts) {
  const Case cases[] = {
      {"", ""},
      {" \t\n\f\r \v", ""},
      {"select a_1 from t$x", "word<select> word<a_1> word<from> word<t$x>"},
      {"été", "word<été>"},
      {"\xEF\xBB\xBFselect", "word<select>"},              // a byte order mark is a space
      {"select\xEF\xBB\xBF", "word<select\xEF\xBB\xBF>"},  // but not within a name
      {"\v", "error<\v>"},
      // Literals and quoted names.
      {"'a''b' 'c\\'", "string<'a''b'> string<'c\\'>"},
      {"'open", "error<'open>"},
      {"\"a\"\"b\" `c``d` [e\"]", "name<\"a\"\"b\"> name<`c``d`> name<[e\"]>"},
      {"\"open", "error<\"open>"},
      {"[open", "error<[open>"},
      {"x'00fF' X''", "string<x'00fF'> string<X''>"},
      {"x'0' x'zz' x'0", "error<x'0'> error<x'zz'> error<x'0>"},
      {"e'a'", "word<e> string<'a'>"},
      // Comments.
      {"a--b;'\nc", "word<a> comment<--b;'> word<c>"},
      {"a--b\rc", "word<a> comment<--b\rc>"},  // only a line feed ends it
      {"a/*b;*/c/**/d", "word<a> comment</*b;*/> word<c> comment</**/> word<d>"},
      {"/*a/*b*/c", "comment</*a/*b*/> word<c>"},  // no nesting
      {"/*/ a */b", "comment</*/ a */> word<b>"},
      {"a /* open", "word<a> comment</* open>"},
      {"a /*", "word<a> mark</> mark<*>"},  // two operators at the very end
      // Numbers.
      {"1 1.5 .5 1. 1e5 1.5E-3 0x1F",
       "number<1> number<1.5> number<.5> number<1.> number<1e5> "
       "number<1.5E-3> number<0x1F>"},
      {"1a 0x", "error<1a> error<0x>"},
      {"1e", "error<1e>"},
      {"t.a", "word<t> mark<.> word<a>"},
      // Operators.
      {"a->>b", "word<a> mark<-> mark<>> mark<>> word<b>"},
      {"a!=b!", "word<a> mark<!> mark<=> word<b> error<!>"},
      {"(;,)", "mark<(> mark<;> mark<,> mark<)>"},
      {"\\^{", "error<\\> error<^> error<{>"},
      // Parameters.
      {"? ?1 ?007", "bare<?> numbered<?1> numbered<?007>"},
      {"?a", "bare<?> word<a>"},
      {":a @b $c :1 $1 $1a", "named<:a> named<@b> named<$c> named<:1> numbered<$1> named<$1a>"},
      {":été", "named<:été>"},
      {"':a' \":b\" --:c", "string<':a'> name<\":b\"> comment<--:c>"},
      {"a[1:2]", "word<a> name<[1:2]>"},
      {": @ $ #", "error<:> error<@> error<$> error<#>"},
      // What Tcl programs wanted, and everyone else gets too.
      {"$1::int", "unusable<$1::int>"},
      {":a::b(c d)", "error<:a::b(c> word<d> mark<)>"},
      {"$a(b)c", "unusable<$a(b)> word<c>"},
      {"@a::b, :::c", "unusable<@a::b> mark<,> unusable<:::c>"},
      {"#a #1", "unusable<#a> unusable<#1>"},
      {"?1::int", "numbered<?1> error<:> named<:int>"},
      {"a::int", "word<a> error<:> named<:int>"},
  };
  for (const Case& c : cases) EXPECT_EQ(Tokens(c.sql, Dialect::kSqlite), c.tokens) << c.sql;
}

TEST(PostgresLexer, CutsWherePostgresCuts) {
  const Case cases[] = {
      {"", ""},
      {"select a_1 from t$x", "word<select> word<a_1> word<from> word<t$x>"},
      // Literals and quoted names.
      {"'a''b' 'c\\' d", "string<'a''b'> string<'c\\'> word<d>"},
      {"'open", "error<'open>"},
      {"E'a\\'b' e'''' type'a'", "string<E'a\\'b'> string<e''''> word<type> string<'a'>"},
      {"E'open\\", "error<E'open\\>"},
      {"E'a'\n'b\\'c'", "string<E'a'\n'b\\'c'>"},  // goes on in the next line
      {"E'a' -- x\n 'b\\'c'", "string<E'a' -- x\n 'b\\'c'>"},
      {"E'a' 'b\\'", "string<E'a'> string<'b\\'>"},
      {"'a'\n'b\\'", "string<'a'> string<'b\\'>"},
      {"x'0f' b'1' N'n' U&'\\0041'", "string<x'0f'> string<b'1'> string<N'n'> string<U&'\\0041'>"},
      {"\"a\"\"b\" U&\"c\"", "name<\"a\"\"b\"> name<U&\"c\">"},
      {"$$a'$b$$ $t$ $$ $u$ $t$", "string<$$a'$b$$> string<$t$ $$ $u$ $t$>"},
      {"$t$a$T$", "error<$t$a$T$>"},
      {"a$$b$$", "word<a$$b$$>"},
      {"$", "error<$>"},
      // Comments.
      {"a--b\rc--d\ne", "word<a> comment<--b> word<c> comment<--d> word<e>"},
      {"/*a/*b*/c*/d", "comment</*a/*b*/c*/> word<d>"},
      {"/*a/*b*/c", "error</*a/*b*/c>"},
      {"/*/*/", "error</*/*/>"},
      {"1+--2\n3", "number<1> mark<+> comment<--2> number<3>"},
      {"1*/*2*/3", "number<1> mark<*> comment</*2*/> number<3>"},
      // Numbers.
      {"1 1.5 .5 1. 1e-5 0x1F 1_000",
       "number<1> number<1.5> number<.5> number<1.> number<1e-5> number<0x1F> number<1_000>"},
      {"1..2", "number<1> mark<..> number<2>"},
      // Parameters and what looks like them.
      {"$1 $23::int", "numbered<$1> numbered<$23> cast<::> word<int>"},
      {"$1and", "numbered<$1> word<and>"},
      {"a ? b ?| c", "word<a> mark<?> word<b> mark<?> mark<|> word<c>"},
      {"@a", "mark<@> word<a>"},
      {":a::int", "named<:a> cast<::> word<int>"},
      {"(:a,:b)=:c", "mark<(> named<:a> mark<,> named<:b> mark<)> mark<=> named<:c>"},
      {"x::int", "word<x> cast<::> word<int>"},
      {"limit :n", "word<limit> named<:n>"},
      {"f(a := 1)", "word<f> mark<(> word<a> mark<:> mark<=> number<1> mark<)>"},
      {"array[:a, :b]", "word<array> mark<[> named<:a> mark<,> named<:b> mark<]>"},
      {"a[1:2]", "word<a> mark<[> number<1> mark<:> number<2> mark<]>"},
      {"a[1:n]", "word<a> mark<[> number<1> mark<:> word<n> mark<]>"},
      {"a[1 :n]", "word<a> mark<[> number<1> mark<:> word<n> mark<]>"},
      {"a[i:j]", "word<a> mark<[> word<i> mark<:> word<j> mark<]>"},
      {"a[(i):j]", "word<a> mark<[> mark<(> word<i> mark<)> mark<:> word<j> mark<]>"},
      {"a[$1:n]", "word<a> mark<[> numbered<$1> mark<:> word<n> mark<]>"},
      {"a[:lo::int : :hi]",
       "word<a> mark<[> named<:lo> cast<::> word<int> mark<:> named<:hi> mark<]>"},
      {"a[:i]", "word<a> mark<[> named<:i> mark<]>"},
      {"json_object('k':v)", "word<json_object> mark<(> string<'k'> mark<:> word<v> mark<)>"},
      {"':a' \":b\" --:c", "string<':a'> name<\":b\"> comment<--:c>"},
      {"a[b[1]:c]", "word<a> mark<[> word<b> mark<[> number<1> mark<]> mark<:> word<c> mark<]>"},
  };
  for (const Case& c : cases) EXPECT_EQ(Tokens(c.sql, Dialect::kPostgres), c.tokens) << c.sql;
}

TEST(Lexer, StaysAtTheEnd) {
  Lexer lexer("a", Dialect::kSqlite);
  EXPECT_EQ(lexer.Next().kind, TokenKind::kWord);
  EXPECT_EQ(lexer.Next().kind, TokenKind::kEnd);
  const Token end = lexer.Next();
  EXPECT_EQ(end.kind, TokenKind::kEnd);
  EXPECT_EQ(end.offset, 1u);
}

TEST(Lexer, EveryByteAloneIsOneToken) {
  for (const Dialect dialect : {Dialect::kSqlite, Dialect::kPostgres}) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string sql(1, static_cast<char>(byte));
      Lexer lexer(sql, dialect);
      EXPECT_EQ(lexer.Next().text, sql) << byte;
      EXPECT_EQ(lexer.Next().kind, TokenKind::kEnd) << byte;
    }
  }
}

}  // namespace
}  // namespace sluice::db
