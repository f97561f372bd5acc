#include "server/db/shape.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"

namespace sluice::db {
namespace {

// No keyword of either engine is longer.
constexpr size_t kLongestKeyword = 24;

// Words that may stand between a keyword and the one that says more.
constexpr std::pair<absl::string_view, absl::string_view> kPassedOver[] = {
    {"CREATE", "TEMP"},    {"CREATE", "TEMPORARY"}, {"CREATE", "OR"},
    {"CREATE", "REPLACE"}, {"ROLLBACK", "WORK"},    {"ROLLBACK", "TRANSACTION"},
};
constexpr absl::string_view kSqliteExplain[] = {"EXPLAIN", "QUERY", "PLAN"};
constexpr absl::string_view kPostgresExplain[] = {"EXPLAIN", "ANALYZE", "ANALYSE", "VERBOSE"};

constexpr absl::string_view kQueries[] = {"SELECT", "WITH", "VALUES", "TABLE"};
constexpr absl::string_view kVerbs[] = {"SELECT", "INSERT", "UPDATE", "DELETE",
                                        "MERGE",  "VALUES", "REPLACE"};

enum class Refusal { kTransaction, kStatement };

// What is not run, by its first words; the first rule that fits decides.
struct Rule {
  absl::string_view keyword;
  absl::string_view second;  // empty: whatever follows
  bool postgres_only = false;
  Refusal refusal = Refusal::kStatement;
  absl::string_view use;
};

constexpr Rule kRules[] = {
    {"BEGIN", "", false, Refusal::kTransaction, "BeginTransaction"},
    {"START", "TRANSACTION", false, Refusal::kTransaction, "BeginTransaction"},
    {"COMMIT", "", false, Refusal::kTransaction, "CommitTransaction"},
    {"END", "", false, Refusal::kTransaction, "CommitTransaction"},
    {"PREPARE", "TRANSACTION", false, Refusal::kTransaction, "CommitTransaction"},
    {"ROLLBACK", "TO", false, Refusal::kTransaction, "RollbackToSavepoint"},
    {"ROLLBACK", "", false, Refusal::kTransaction, "RollbackTransaction"},
    {"ABORT", "", false, Refusal::kTransaction, "RollbackTransaction"},
    {"SAVEPOINT", "", false, Refusal::kTransaction, "Savepoint"},
    {"RELEASE", "", false, Refusal::kTransaction, "ReleaseSavepoint"},
    {"SET", "TRANSACTION", true, Refusal::kTransaction, "the options of BeginTransaction"},
    {"SET", "", true, Refusal::kStatement, "the request's session"},
    {"RESET", "", true, Refusal::kStatement, "the request's session"},
    {"DISCARD", "", true, Refusal::kStatement, ""},
    {"PREPARE", "", true, Refusal::kStatement, "Query, which prepares by itself,"},
    {"EXECUTE", "", true, Refusal::kStatement, "Query, which prepares by itself,"},
    {"DEALLOCATE", "", true, Refusal::kStatement, ""},
    {"LISTEN", "", true, Refusal::kStatement, "Subscribe"},
    {"UNLISTEN", "", true, Refusal::kStatement, "Subscribe"},
    {"LOAD", "", true, Refusal::kStatement, ""},
    {"COPY", "", true, Refusal::kStatement, "BulkInsert or StreamQuery"},
};

template <size_t n>
bool IsOneOf(absl::string_view word, const absl::string_view (&words)[n]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

std::string Keyword(const Token& token) {
  if (token.kind != TokenKind::kWord || token.text.size() > kLongestKeyword) return "";
  return absl::AsciiStrToUpper(token.text);
}

// Head: finds the first words of a statement, one token at a time.
class Head {
 public:
  Head(Dialect dialect, StatementShape& shape) : dialect_(dialect), shape_(shape) {}

  void Take(const Token& token) {
    if (token.kind == TokenKind::kOpen) ++depth_;
    if (token.kind == TokenKind::kClose) --depth_;
    switch (stage_) {
      case Stage::kFirst:
        return First(token);
      case Stage::kOptions:
        if (depth_ == 0) stage_ = Stage::kFirst;
        return;
      case Stage::kSecond:
        return Second(token);
      case Stage::kVerb:
        return Verb(token);
      case Stage::kDone:
        return;
    }
  }

 private:
  enum class Stage { kFirst, kOptions, kSecond, kVerb, kDone };

  void First(const Token& token) {
    const std::string word = Keyword(token);
    // EXPLAIN (ANALYZE, …) has options in its parentheses, EXPLAIN (SELECT …) the statement.
    if (shape_.explain && dialect_ == Dialect::kPostgres && depth_ == 1 && !word.empty() &&
        !IsOneOf(word, kQueries)) {
      stage_ = Stage::kOptions;
      return;
    }
    if (token.kind == TokenKind::kOpen) return;
    if (word == "EXPLAIN") shape_.explain = true;
    if (shape_.explain && (dialect_ == Dialect::kSqlite ? IsOneOf(word, kSqliteExplain)
                                                        : IsOneOf(word, kPostgresExplain))) {
      return;
    }
    shape_.keyword = shape_.verb = word;
    stage_ = word.empty() ? Stage::kDone : Stage::kSecond;
    depth_ = 0;  // a list of a WITH is in parentheses of its own, the statement in none
  }

  void Second(const Token& token) {
    const std::string word = Keyword(token);
    if (IsPassedOver(shape_.keyword, word)) return;
    shape_.second = word;
    stage_ = shape_.keyword == "WITH" ? Stage::kVerb : Stage::kDone;
  }

  // The verb of a WITH follows the `)` of its list.
  void Verb(const Token& token) {
    const bool candidate = after_close_ && depth_ == 0;
    after_close_ = token.kind == TokenKind::kClose;
    if (!candidate) return;
    std::string word = Keyword(token);
    if (!IsOneOf(word, kVerbs)) return;
    shape_.verb = std::move(word);
    stage_ = Stage::kDone;
  }

  static bool IsPassedOver(absl::string_view keyword, absl::string_view word) {
    return std::find(std::begin(kPassedOver), std::end(kPassedOver),
                     std::make_pair(keyword, word)) != std::end(kPassedOver);
  }

  const Dialect dialect_;
  StatementShape& shape_;
  Stage stage_ = Stage::kFirst;
  int depth_ = 0;
  bool after_close_ = false;
};

// Body: knows the semicolons that do not end a statement.
//
// SQLite: those in CREATE TRIGGER, up to the one that follows `; END`, as sqlite3_complete has it,
// and those in the arguments of a virtual table's module.
// PostgreSQL: those in parentheses (CREATE RULE), and those in the BEGIN ATOMIC … END of a function
// or procedure, where CASE … END nests, as psql has it.
class Body {
 public:
  Body(Dialect dialect, const StatementShape& shape) : dialect_(dialect), shape_(shape) {}

  // Whether this token ends the statement.
  bool Take(const Token& token) {
    const bool semicolon = token.kind == TokenKind::kSemicolon;
    const bool ends = semicolon && !Inside();
    const std::string word = shape_.keyword == "CREATE" ? Keyword(token) : "";
    after_end_ = after_semicolon_ && word == "END";
    after_semicolon_ = semicolon;
    if (token.kind == TokenKind::kOpen) ++parentheses_;
    if (token.kind == TokenKind::kClose && parentheses_ > 0) --parentheses_;
    if (parentheses_ == 0 && (shape_.second == "FUNCTION" || shape_.second == "PROCEDURE")) {
      if (word == "BEGIN" || (word == "CASE" && blocks_ > 0)) ++blocks_;
      if (word == "END" && blocks_ > 0) --blocks_;
    }
    return ends;
  }

 private:
  bool Inside() const {
    if (dialect_ == Dialect::kPostgres) return parentheses_ > 0 || blocks_ > 0;
    if (shape_.keyword != "CREATE") return false;
    return shape_.second == "TRIGGER" ? !after_end_
                                      : shape_.second == "VIRTUAL" && parentheses_ > 0;
  }

  const Dialect dialect_;
  const StatementShape& shape_;
  bool after_semicolon_ = false;
  bool after_end_ = false;  // of `; END`
  int parentheses_ = 0;
  int blocks_ = 0;
};

// Ruler: turns offsets that only grow into places.
class Ruler {
 public:
  explicit Ruler(absl::string_view sql) : sql_(sql) {}

  Place At(size_t offset) {
    characters_ += CountCharacters({sql_.data() + counted_, offset - counted_});
    counted_ = offset;
    return Place{offset, static_cast<int>(characters_) + 1};
  }

 private:
  const absl::string_view sql_;
  size_t counted_ = 0;
  size_t characters_ = 0;
};

}  // namespace

StatementShape Inspect(absl::string_view sql, Dialect dialect) {
  StatementShape shape;
  Lexer lexer(sql, dialect);
  Ruler ruler(sql);
  Head head(dialect, shape);
  Body body(dialect, shape);
  ParameterCollector parameters(dialect);
  bool ended = false;
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    if (token.kind == TokenKind::kSpace || token.kind == TokenKind::kComment) continue;
    if (shape.empty || ended) {
      if (token.kind == TokenKind::kSemicolon) continue;
      if (ended) {
        shape.stacked = ruler.At(token.offset);
        break;
      }
      shape.empty = false;
    }
    head.Take(token);
    ended = body.Take(token);
    if (token.kind == TokenKind::kError && !shape.error) shape.error = ruler.At(token.offset);
    if (token.kind == TokenKind::kParameter) parameters.Add(token, ruler.At(token.offset));
  }
  const size_t nul = sql.find('\0');
  if (nul != absl::string_view::npos) shape.nul = Ruler(sql).At(nul);
  // The arguments of a virtual table's module are text to SQLite, whatever they look like.
  const bool text_only =
      dialect == Dialect::kSqlite && shape.keyword == "CREATE" && shape.second == "VIRTUAL";
  if (!text_only) shape.parameters = std::move(parameters).Finish();
  return shape;
}

absl::Status CheckAllowed(const StatementShape& shape, Dialect dialect) {
  if (shape.nul) {
    return errors::StatementRefused(
        absl::StrCat("The SQL holds a NUL byte at character ", shape.nul.position),
        "a parameter for a value that holds one");
  }
  if (shape.empty) return errors::StatementRefused("The SQL holds no statement", "");
  for (const Rule& rule : kRules) {
    if (rule.keyword != shape.keyword) continue;
    if (!rule.second.empty() && rule.second != shape.second) continue;
    if (rule.postgres_only && dialect != Dialect::kPostgres) continue;
    const std::string words =
        rule.second.empty() ? shape.keyword : absl::StrCat(rule.keyword, " ", rule.second);
    if (rule.refusal == Refusal::kTransaction) {
      return errors::TransactionControlRefused(words, rule.use);
    }
    return errors::StatementRefused(absl::StrCat(words, " is not run as SQL text"), rule.use);
  }
  if (shape.stacked) {
    absl::Status status = errors::StatementRefused(
        absl::StrCat("One call runs one statement, and a second one begins at character ",
                     shape.stacked.position),
        "ExecuteBatch");
    status = errors::WithMetadata(std::move(status), "sqlstate", "42601");
    return errors::WithMetadata(std::move(status), "position",
                                absl::StrCat(shape.stacked.position));
  }
  return absl::OkStatus();
}

}  // namespace sluice::db
