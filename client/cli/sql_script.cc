#include "client/cli/sql_script.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "client/cli/input.h"
#include "client/cli/sql_lexer.h"

namespace sluice::cli {
namespace {

// Where the next statement of a text is.
struct Found {
  enum class Outcome { kStatement, kNothing, kOpenEnd, kUnterminated };
  Outcome outcome = Outcome::kNothing;
  size_t first = 0;  // where the statement begins
  size_t begin = 0;  // the same, or where what has no end begins
  size_t end = 0;
  size_t next = 0;  // behind its semicolon
};

// Sees whether a statement is a CREATE TRIGGER, and where such a one ends: as the sqlite3 shell, at
// a semicolon after an END after a semicolon.
class TriggerWatch {
 public:
  void See(const Token& token) {
    ends_ = after_semicolon_ && token.Is("END");
    after_semicolon_ = token.Is(';');
    switch (state_) {
      case State::kStart:
        if (token.Is("CREATE")) {
          state_ = State::kCreate;
        } else if (!token.Is("EXPLAIN") && !token.Is("QUERY") && !token.Is("PLAN")) {
          state_ = State::kOther;
        }
        break;
      case State::kCreate:
        if (token.Is("TRIGGER")) {
          state_ = State::kTrigger;
        } else if (!token.Is("TEMP") && !token.Is("TEMPORARY")) {
          state_ = State::kOther;
        }
        break;
      case State::kTrigger:
      case State::kOther:
        break;
    }
  }

  // REQUIRES: the next token is a semicolon.
  bool StatementEndsHere() const { return state_ != State::kTrigger || ends_; }

 private:
  enum class State { kStart, kCreate, kTrigger, kOther };
  State state_ = State::kStart;
  bool after_semicolon_ = false;
  bool ends_ = false;
};

Found FindStatement(absl::string_view text, size_t position) {
  SqlLexer lexer(text, position);
  TriggerWatch watch;
  Found found;
  bool any = false;
  for (;;) {
    const Token token = lexer.Next();
    found.next = token.end;
    if (token.kind == Token::Kind::kEnd) {
      found.outcome = any ? Found::Outcome::kOpenEnd : Found::Outcome::kNothing;
      return found;
    }
    if (!any) found.first = token.begin;
    if (token.kind == Token::Kind::kUnterminated) {
      found.begin = token.begin;
      found.outcome = Found::Outcome::kUnterminated;
      return found;
    }
    const bool semicolon = token.Is(';');
    if (semicolon && !any) continue;
    if (semicolon && watch.StatementEndsHere()) {
      found.outcome = Found::Outcome::kStatement;
      return found;
    }
    if (!any) found.begin = token.begin;
    any = true;
    found.end = token.end;
    watch.See(token);
  }
}

int64_t CountLines(absl::string_view text) {
  return std::count(text.begin(), text.end(), '\n');
}

absl::Status Unterminated(absl::string_view text, size_t begin, int64_t line) {
  const absl::string_view what =
      text.substr(begin, 1) == "'" || text.substr(begin, 1) == "x" || text.substr(begin, 1) == "X"
          ? "string"
      : text.substr(begin, 1) == "/" ? "comment"
                                     : "quoted name";
  return absl::InvalidArgumentError(
      absl::StrCat("line ", line, ": the ", what, " that begins here has no end"));
}

}  // namespace

absl::StatusOr<std::vector<ScriptStatement>> SplitScript(absl::string_view script) {
  std::vector<ScriptStatement> statements;
  int64_t line = 1;
  size_t counted = 0;  // up to here, `line` is
  for (size_t position = 0;;) {
    const Found found = FindStatement(script, position);
    if (found.outcome == Found::Outcome::kNothing) return statements;
    line += CountLines(script.substr(counted, found.begin - counted));
    counted = found.begin;
    if (found.outcome == Found::Outcome::kUnterminated) {
      return Unterminated(script, found.begin, line);
    }
    statements.push_back({script.substr(found.begin, found.end - found.begin), found.begin, line});
    position = found.next;
  }
}

absl::StatusOr<bool> ScriptReader::Next(ScriptStatement* statement) {
  line_ += CountLines(input_.View().substr(0, used_));
  input_.Consume(used_);
  offset_ += used_;
  used_ = 0;
  for (;;) {
    const absl::string_view text = input_.View();
    const Found found = FindStatement(text, 0);
    const bool complete = found.outcome == Found::Outcome::kStatement;
    if (text.size() > max_statement_bytes_ &&
        (complete ? found.end - found.begin : text.size()) > max_statement_bytes_) {
      const int64_t line = line_ + CountLines(text.substr(0, found.first));
      return absl::InvalidArgumentError(
          absl::StrCat("line ", line, ": the statement that begins here takes more than ",
                       SizeText(max_statement_bytes_), "; is there a quote too many?"));
    }
    if (!complete && !input_.AtEnd()) {
      input_.More();
      continue;
    }
    if (!input_.status().ok()) return input_.status();
    if (found.outcome == Found::Outcome::kNothing) return false;
    const int64_t line = line_ + CountLines(text.substr(0, found.begin));
    if (found.outcome == Found::Outcome::kUnterminated) {
      return Unterminated(text, found.begin, line);
    }
    *statement = {text.substr(found.begin, found.end - found.begin), offset_ + found.begin, line};
    used_ = found.next;
    return true;
  }
}

}  // namespace sluice::cli
