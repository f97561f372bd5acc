#include "server/db/sqlite/functions.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include <sqlite3.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "server/base/errors.h"
#include "server/db/sqlite/limits.h"

namespace sluice::sqlite {
namespace {

// Two objects of this size have so many keys that comparing each with each takes about a second.
constexpr int kMaxPatchBytes = 256 << 10;
constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
constexpr unsigned kJsonSubtype = 'J';

// How wide the fields of a printf format are together: SQLite fills some of them byte by byte, even
// when the whole has long been too large. Stops counting there.
class Format {
 public:
  Format(int count, sqlite3_value** arguments) : count_(count), arguments_(arguments) {
    const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(arguments[0]));
    if (text != nullptr) text_ = text;
  }

  int64_t Width() {
    int64_t width = 0;
    while (width <= kMaxValueBytes) {
      const size_t percent = text_.find('%', at_);
      if (percent == absl::string_view::npos) break;
      at_ = percent + 1;
      width += Field();
    }
    return width;
  }

 private:
  // %[flags][width][.precision][length]type, as SQLite reads it.
  int64_t Field() {
    while (at_ < text_.size() && absl::StrContains("-+ #!0,", text_[at_])) ++at_;
    int64_t width = Number();
    if (Peek() == '.') {
      ++at_;
      width = std::max(width, Number());
    }
    while (Peek() == 'l') ++at_;
    if (Peek() != '%' && Peek() != 'n') ++next_;
    if (at_ < text_.size()) ++at_;
    return width;
  }

  int64_t Number() {
    if (Peek() == '*') {
      ++at_;
      if (next_ >= count_) return 0;
      // SQLite takes the low 32 bits; the largest of them stands for all that are out of range.
      const auto value = static_cast<int32_t>(sqlite3_value_int64(arguments_[next_++]));
      return std::abs(static_cast<int64_t>(value));
    }
    uint32_t value = 0;
    for (; absl::ascii_isdigit(static_cast<unsigned char>(Peek())); ++at_) {
      value = value * 10 + static_cast<uint32_t>(Peek() - '0');
    }
    return value & 0x7FFFFFFF;
  }

  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  const int count_;
  sqlite3_value** const arguments_;
  absl::string_view text_;
  size_t at_ = 0;
  int next_ = 1;  // the argument that is taken next
};

struct Replacement {
  const char* name;
  int arguments;
  void (*function)(sqlite3_context*, int, sqlite3_value**);
};

}  // namespace

Functions::~Functions() {
  for (const auto& [sql, stmt] : calls_) sqlite3_finalize(stmt);
  sqlite3_close(library_);
}

absl::Status Functions::Register(sqlite3* db) {
  constexpr Replacement kReplacements[] = {
      {"instr", 2, &Instr},
      {"replace", 3, &Replace},
      {"trim", 2, &Trim},
      {"ltrim", 2, &TrimLeft},
      {"rtrim", 2, &TrimRight},
      {"printf", -1, &Functions::Printf},
      {"format", -1, &Functions::Printf},
      {"json_patch", 2, &Functions::JsonPatch},
  };
  for (const Replacement& each : kReplacements) {
    const int code = sqlite3_create_function_v2(db, each.name, each.arguments, kFlags, this,
                                                each.function, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) {
      return errors::Internal(absl::StrCat("SQLite does not take the function ", each.name));
    }
  }
  return absl::OkStatus();
}

void Functions::Printf(sqlite3_context* context, int count, Arguments arguments) {
  if (count > 0 && Format(count, arguments).Width() > kMaxValueBytes) {
    return sqlite3_result_error_toobig(context);
  }
  static_cast<Functions*>(sqlite3_user_data(context))
      ->Delegate(context, "printf", count, arguments);
}

void Functions::JsonPatch(sqlite3_context* context, int count, Arguments arguments) {
  if (sqlite3_value_bytes(arguments[0]) > kMaxPatchBytes &&
      sqlite3_value_bytes(arguments[1]) > kMaxPatchBytes) {
    return sqlite3_result_error_toobig(context);
  }
  static_cast<Functions*>(sqlite3_user_data(context))
      ->Delegate(context, "json_patch", count, arguments);
  sqlite3_result_subtype(context, kJsonSubtype);
}

void Functions::Delegate(sqlite3_context* context,
                         const char* name,
                         int count,
                         Arguments arguments) {
  sqlite3_stmt* const call = Call(name, count);
  if (call == nullptr) return sqlite3_result_error_nomem(context);
  for (int i = 0; i < count; ++i) sqlite3_bind_value(call, i + 1, arguments[i]);
  const int code = sqlite3_step(call);
  if (code == SQLITE_ROW) {
    sqlite3_result_value(context, sqlite3_column_value(call, 0));
  } else if ((code & 0xFF) == SQLITE_ERROR) {
    sqlite3_result_error(context, sqlite3_errmsg(library_), -1);
  } else {
    sqlite3_result_error_code(context, code);
  }
  sqlite3_reset(call);
  sqlite3_clear_bindings(call);
}

sqlite3_stmt* Functions::Call(const char* name, int count) {
  std::string sql = absl::StrCat("SELECT ", name, "(");
  for (int i = 1; i <= count; ++i) absl::StrAppend(&sql, i > 1 ? "," : "", "?", i);
  sql += ")";
  const auto found = calls_.find(sql);
  if (found != calls_.end()) return found->second;
  if (library_ == nullptr) {
    constexpr int kOpen = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2("", &library_, kOpen, nullptr) != SQLITE_OK) {
      sqlite3_close(library_);
      library_ = nullptr;
      return nullptr;
    }
    sqlite3_limit(library_, SQLITE_LIMIT_LENGTH, kMaxValueBytes);
  }
  sqlite3_stmt* stmt = nullptr;
  if (sqlite3_prepare_v2(library_, sql.c_str(), -1, &stmt, nullptr) != SQLITE_OK) return nullptr;
  calls_.emplace(std::move(sql), stmt);
  return stmt;
}

}  // namespace sluice::sqlite
