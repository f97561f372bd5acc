#include "server/db/sqlite/question.h"

#include <algorithm>
#include <atomic>

#include <sqlite3.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/utf8.h"

namespace sluice::sqlite {

Question::Question(Connection& connection, Watch& watch)
    : connection_(connection), watch_(watch), suspension_(connection.authorizer_) {}

Question::~Question() {
  Finish();
}

void Question::Finish() {
  sqlite3_finalize(stmt_);
  stmt_ = nullptr;
}

absl::Status Question::Ask(absl::string_view sql, std::initializer_list<absl::string_view> texts) {
  Finish();
  const int code = sqlite3_prepare_v3(connection_.db_, sql.data(), static_cast<int>(sql.size()), 0,
                                      &stmt_, nullptr);
  if (code != SQLITE_OK) return connection_.Error(code, Phase::kCompiling, "");
  int index = 0;
  for (const absl::string_view text : texts) {
    sqlite3_bind_text64(stmt_, ++index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Question::Next() {
  connection_.running_.watch = &watch_;
  const int code = sqlite3_step(stmt_);
  connection_.running_.watch = nullptr;
  if (code == SQLITE_ROW) return true;
  absl::Status status;
  if (code != SQLITE_DONE) status = connection_.Error(code, Phase::kRunning, "");
  Finish();
  if (!status.ok()) return status;
  return false;
}

bool Question::IsNull(int column) const {
  return sqlite3_column_type(stmt_, column) == SQLITE_NULL;
}

int64_t Question::Number(int column) const {
  return sqlite3_column_int64(stmt_, column);
}

std::string Question::Text(int column) const {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt_, column));
  if (text == nullptr) return "";
  return std::string(text, static_cast<size_t>(sqlite3_column_bytes(stmt_, column)));
}

absl::Status CheckEnded(Watch& watch) {
  const bool late = Clock::System().Steady() >= watch.deadline;
  if (late) watch.ended = Watch::Ended::kDeadline;
  if (!late && !watch.stop.load(std::memory_order_relaxed)) return absl::OkStatus();
  return errors::Cancelled(errors::Executed::kNo);
}

std::string Shown(std::string text) {
  if (IsValidUtf8(text)) return text;
  return SanitizeForMessage(text, 4 * text.size());
}

std::string QuotedName(absl::string_view name) {
  const bool plain = !name.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(name[0])) &&
                     std::all_of(name.begin(), name.end(), [](char c) {
                       return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
                     });
  if (plain && sqlite3_keyword_check(name.data(), static_cast<int>(name.size())) == 0) {
    return std::string(name);
  }
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

}  // namespace sluice::sqlite
