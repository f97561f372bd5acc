#include "client/cli/report.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "client/cli/utf8.h"

namespace sluice::cli {
namespace {

using client::Error;
using client::Executed;

// Columns of SQL that are shown around a caret.
constexpr size_t kCaretWindow = 100;

struct Glyph {
  std::string text;
  size_t width = 0;
};

// One line, character by character; control characters are one blank each, so that a caret stays
// under its character.
std::vector<Glyph> Glyphs(absl::string_view line) {
  std::vector<Glyph> glyphs;
  for (size_t pos = 0; pos < line.size();) {
    const Character character = DecodeAt(line, pos);
    Glyph glyph;
    if (character.code < 0x20) {
      glyph = {" ", 1};
    } else {
      glyph.width = AppendPrintable(line.substr(pos, character.bytes), &glyph.text);
    }
    glyphs.push_back(std::move(glyph));
    pos += character.bytes;
  }
  return glyphs;
}

size_t TotalWidth(const std::vector<Glyph>& glyphs, size_t begin, size_t end) {
  size_t width = 0;
  for (size_t i = begin; i < end; ++i) width += glyphs[i].width;
  return width;
}

void AppendField(absl::string_view name,
                 absl::string_view text,
                 const Style& style,
                 std::string* out) {
  if (text.empty()) return;
  absl::StrAppend(out, Painted(style, Paint::kBold, absl::StrCat(name, ":")), " ");
  AppendPrintable(text, out);
  out->push_back('\n');
}

std::string ExecutedText(Executed executed) {
  switch (executed) {
    case Executed::kNo:
      return "no";
    case Executed::kRolledBack:
      return "rolled back, nothing of it remains";
    case Executed::kUnknown:
      break;
  }
  return "unknown, it may have been applied";
}

// `INVALID_ARGUMENT SQL_ERROR, sqlstate 42703, SQLITE_ERROR`.
std::string CodeText(const Error& error) {
  std::string text = absl::StatusCodeToString(error.code);
  if (!error.reason.empty()) absl::StrAppend(&text, " ", error.reason);
  if (error.sql && !error.sql->sqlstate().empty()) {
    absl::StrAppend(&text, ", sqlstate ", error.sql->sqlstate());
  }
  if (error.sql && !error.sql->engine_code().empty()) {
    absl::StrAppend(&text, ", ", error.sql->engine_code());
  }
  return text;
}

// gRPC tells a long story about a connection that failed; its last sentence is the cause.
std::string NotReachable(const Error& error, absl::string_view server) {
  absl::string_view cause = error.message;
  const size_t colon = cause.rfind(": ");
  if (colon != absl::string_view::npos) cause.remove_prefix(colon + 2);
  return absl::StrCat("cannot reach the server at ", server, ": ", cause);
}

std::string FactOf(const Error& error, const char* name) {
  const auto fact = error.metadata.find(name);
  return fact == error.metadata.end() ? "" : fact->second;
}

// Where the caller's transaction stands: `tx_…, failed; its lease ends in 4.2s`.
std::string TransactionFact(const Error& error) {
  const std::string state = FactOf(error, "transaction_state");
  if (state.empty()) return "";
  std::string text = absl::AsciiStrToLower(state);
  const std::string handle = FactOf(error, "transaction");
  if (!handle.empty()) text = absl::StrCat(handle, ", ", text);
  int64_t milliseconds = 0;
  if (absl::SimpleAtoi(FactOf(error, "transaction_expires_in_ms"), &milliseconds)) {
    absl::StrAppend(&text, "; its lease ends in ",
                    absl::FormatDuration(absl::Milliseconds(milliseconds)));
  }
  return text;
}

// The label of the transaction that the call waited for; the message has the rest.
std::string HolderFact(const Error& error) {
  const std::string label = FactOf(error, "held_by_label");
  return label.empty() ? "" : absl::StrCat(FactOf(error, "held_by"), ", which is `", label, "`");
}

bool NeverReached(const Error& error) {
  return error.code == absl::StatusCode::kUnavailable && error.reason.empty() &&
         error.executed == Executed::kNo;
}

// What happened, in a sentence. Ends that this side brought about have no words of the server's.
std::string Headline(const Error& error, const CallContext& context) {
  if (NeverReached(error)) return NotReachable(error, context.server);
  const bool own_words = !error.reason.empty();
  if (!own_words && error.code == absl::StatusCode::kDeadlineExceeded) {
    return "no answer before the deadline";
  }
  if (!own_words && error.code == absl::StatusCode::kCancelled) return "cancelled";
  if (!own_words && error.code == absl::StatusCode::kUnavailable) {
    return absl::StrCat("lost the connection to ", context.server, ": ", error.message);
  }
  return error.message;
}

std::string Hint(const Error& error) {
  if (error.sql && !error.sql->hint().empty()) return error.sql->hint();
  if (const auto hint = error.metadata.find("hint"); hint != error.metadata.end()) {
    return hint->second;
  }
  if (NeverReached(error)) {
    return "start it with deploy/run, or name its address with --server or SLUICE_SERVER";
  }
  if (const auto use = error.metadata.find("use");
      use != error.metadata.end() && use->second == "StreamQuery") {
    return "add --stream";
  }
  if (const auto token = error.metadata.find("outcome_token"); token != error.metadata.end()) {
    return absl::StrCat("`sluice tx outcome --token ", token->second, "` tells what became of it");
  }
  if (error.code == absl::StatusCode::kDeadlineExceeded) return "--timeout D allows more time";
  if (error.retry_delay) {
    return absl::StrCat("try again after ", absl::FormatDuration(*error.retry_delay));
  }
  return "";
}

}  // namespace

absl::string_view ExitCodesHelp() {
  return "Exit codes:\n"
         "  0  done\n"
         "  1  the statement or the request failed; health: not serving\n"
         "  2  wrong usage; nothing was sent\n"
         "  3  nothing was applied, and the same again may succeed: server not reachable, draining "
         "or\n"
         "     overloaded, or a conflict\n"
         "  4  outcome unknown: it may have been executed; look before sending it again\n"
         "  5  the deadline passed, or the call was cancelled (Ctrl-C); the message says what "
         "became of it\n"
         "  6  permission denied\n"
         "  7  the result could not be written\n";
}

ExitCode ExitCodeOf(const Error& error, bool read_only) {
  const bool unknown = error.executed == Executed::kUnknown;
  switch (error.code) {
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return kExitEnded;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kExitPermission;
    default:
      if (unknown && !read_only) return kExitUnknown;
  }
  switch (error.code) {
    case absl::StatusCode::kUnavailable:
      return kExitUnavailable;
    case absl::StatusCode::kResourceExhausted:
      // Load passes; a result that is too large does not.
      return error.executed == Executed::kNo && error.retry_delay ? kExitUnavailable : kExitFailed;
    case absl::StatusCode::kAborted:
      // To send the same again into a transaction that is gone is no use.
      return unknown || FactOf(error, "transaction_state") == "EXPIRED" ? kExitFailed
                                                                        : kExitUnavailable;
    default:
      return kExitFailed;
  }
}

std::string Describe(const Error& error, const CallContext& context, const Style& style) {
  std::string out = absl::StrCat(Painted(style, Paint::kRed, "error:"), " ");
  AppendPrintable(Headline(error, context), &out);
  out.push_back('\n');
  AppendField("at", context.place, style, &out);
  const int position = error.sql ? error.sql->position() : 0;
  if (position > 0) out += Caret(context.sql, context.start - 1 + position, style);
  if (position <= 0 && !context.place.empty()) out += Caret(context.sql, context.start, style);
  if (error.sql) {
    const bool said = absl::StrContains(error.message, error.sql->message());
    if (!said) AppendField("database", error.sql->message(), style, &out);
    AppendField("detail", error.sql->detail(), style, &out);
  }
  for (const client::FieldViolation& field : error.fields) {
    const bool path_said = absl::StrContains(error.message, field.field);
    const bool said = absl::StrContains(error.message, field.description);
    if (path_said && said) continue;
    AppendField("field", said ? field.field : absl::StrCat(field.field, ": ", field.description),
                style, &out);
  }
  for (const std::string& condition : error.conditions) {
    const bool said = absl::StrContains(error.message, condition);
    if (!said) AppendField("condition", condition, style, &out);
  }
  AppendField("waited for", HolderFact(error), style, &out);
  AppendField("hint", Hint(error), style, &out);
  if (const auto use = error.metadata.find("use"); use != error.metadata.end()) {
    const bool said = absl::StrContains(error.message, use->second);
    if (!said) AppendField("use", use->second, style, &out);
  }
  for (const std::string& link : error.links) AppendField("see", link, style, &out);
  AppendField("code", CodeText(error), style, &out);
  const bool telling = !context.read_only || error.executed != Executed::kUnknown;
  if (telling) AppendField("executed", ExecutedText(error.executed), style, &out);
  AppendField("transaction", TransactionFact(error), style, &out);
  AppendField("request", error.request_id, style, &out);
  return out;
}

std::string Caret(absl::string_view sql, int position, const Style& style) {
  if (position <= 0) return "";
  // Walk to the character; a position right behind the last one is the end of the text.
  size_t line_start = 0;
  int line = 1;
  int character_in_line = 0;
  size_t pos = 0;
  for (int i = 1; i < position; ++i) {
    if (pos >= sql.size()) return "";
    const Character character = DecodeAt(sql, pos);
    pos += character.bytes;
    ++character_in_line;
    if (character.code == '\n') {
      ++line;
      line_start = pos;
      character_in_line = 0;
    }
  }
  const size_t line_end = std::min(sql.find('\n', line_start), sql.size());
  const std::vector<Glyph> glyphs = Glyphs(sql.substr(line_start, line_end - line_start));
  const size_t target = std::min(static_cast<size_t>(character_in_line), glyphs.size());

  size_t begin = 0;
  size_t end = glyphs.size();
  while (TotalWidth(glyphs, begin, target) > kCaretWindow * 2 / 3) ++begin;
  while (end > target && TotalWidth(glyphs, begin, end) > kCaretWindow) --end;
  std::string text = begin > 0 ? "…" : "";
  for (size_t i = begin; i < end; ++i) text += glyphs[i].text;
  if (end < glyphs.size()) text += "…";

  const std::string number = absl::StrCat(line);
  const size_t indent = TotalWidth(glyphs, begin, target) + (begin > 0 ? 1 : 0);
  return absl::StrCat(" ", Painted(style, Paint::kDim, absl::StrCat(number, " |")), " ", text,
                      "\n ", std::string(number.size(), ' '), Painted(style, Paint::kDim, " |"),
                      " ", std::string(indent, ' '), Painted(style, Paint::kRed, "^"), "\n");
}

}  // namespace sluice::cli
