#include "server/db/sqlite/authorizer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <sqlite3.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"

namespace sluice::sqlite {
namespace {

constexpr size_t kShownBytes = 64;
constexpr absl::string_view kReservedPrefix = "_sluice_";
constexpr absl::string_view kPragmaTable = "pragma_";

// What the library of Debian 12 has built in. Sorted.
constexpr absl::string_view kAllowedFunctions[] = {
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "bm25",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "format",
    "fts5_source_id",
    "glob",
    "group_concat",
    "hex",
    "highlight",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_length",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "match",
    "matchinfo",
    "max",
    "min",
    "mod",
    "nth_value",
    "ntile",
    "nullif",
    "offsets",
    "percent_rank",
    "pi",
    "pow",
    "power",
    "printf",
    "quote",
    "radians",
    "random",
    "randomblob",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "sin",
    "sinh",
    "snippet",
    "soundex",
    "sqlite_compileoption_get",
    "sqlite_compileoption_used",
    "sqlite_source_id",
    "sqlite_version",
    "sqrt",
    "strftime",
    "substr",
    "substring",
    "subtype",
    "sum",
    "tan",
    "tanh",
    "time",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unicode",
    "unixepoch",
    "unlikely",
    "upper",
    "zeroblob",
};

// Internal functions with which ALTER TABLE rewrites the schema; the engine takes them from no
// client.
constexpr absl::string_view kAlterFunctions[] = {
    "sqlite_drop_column",  "sqlite_rename_column", "sqlite_rename_quotefix",
    "sqlite_rename_table", "sqlite_rename_test",
};

struct Denied {
  absl::string_view name;
  absl::string_view use;
};

constexpr absl::string_view kFacts = "rows_affected and last_insert_rowid of the response";

constexpr Denied kDeniedFunctions[] = {
    // Would tell of a neighbour's write, since many callers share a connection.
    {"changes", kFacts},
    {"last_insert_rowid", kFacts},
    {"total_changes", kFacts},
    // Take or give addresses in the process, load code into it, or reach its files and log.
    {"edit", ""},
    {"fts3_tokenizer", "fts5, whose tokenizers have names"},
    {"fts5", ""},
    {"load_extension", ""},
    {"readfile", "a parameter with the file's bytes"},
    {"sqlite_log", ""},
    {"writefile", "the response's rows"},
    // Writes, though it looks like reading.
    {"optimize", "INSERT INTO table(table) VALUES('optimize')"},
    // For those who debug the module.
    {"rtreecheck", ""},
    {"rtreedepth", ""},
    {"rtreenode", ""},
};

// Virtual tables that are there without being created.
constexpr absl::string_view kAllowedModules[] = {"fts5", "json_each", "json_tree"};
constexpr Denied kDeniedModules[] = {
    {"dbstat", "database_size of the monitoring service"},
    {"sqlite_stmt", ""},  // other callers' SQL
    // Not in Debian's build; they read and write the file's pages.
    {"sqlite_dbpage", ""},
    {"bytecode", ""},
    {"tables_used", ""},
};
constexpr absl::string_view kCreatedModules[] = {
    "fts3", "fts3tokenize", "fts4", "fts4aux", "fts5vocab", "rtree", "rtree_i32",
};

// Pragmas that only read. The second group takes no argument here, for with one it would write.
constexpr absl::string_view kReadingPragmas[] = {
    "foreign_key_list", "index_info", "index_list", "table_info", "table_xinfo",
};
constexpr absl::string_view kPlainPragmas[] = {
    "data_version",  // fts5 asks for it
    "user_version",
};
constexpr Denied kDeniedPragmas[] = {
    {"busy_timeout", "the deadline of the call"},
    {"database_list", "the schema service"},
    {"defer_foreign_keys", "DEFERRABLE INITIALLY DEFERRED in the table's definition"},
    {"foreign_keys", "the option foreign_keys of the connection's URL"},
    {"index_xinfo", "the schema service"},
    {"query_only", "read_only of the request"},
    {"table_list", "the schema service"},
};

template <size_t n>
bool IsOneOf(absl::string_view name, const absl::string_view (&names)[n]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

template <size_t n>
const Denied* Find(absl::string_view name, const Denied (&denied)[n]) {
  const auto found = std::find_if(std::begin(denied), std::end(denied),
                                  [name](const Denied& each) { return each.name == name; });
  return found == std::end(denied) ? nullptr : found;
}

absl::string_view View(const char* text) {
  return text == nullptr ? absl::string_view() : absl::string_view(text);
}

std::string Shown(absl::string_view name) {
  return SanitizeForMessage({name.data(), name.size()}, kShownBytes);
}

// The engine's own tables. Direct writes to them are refused by the engine, and every statement
// that changes the schema, or first uses a virtual table, is seen to write them.
bool IsSchemaTable(absl::string_view table) {
  return absl::StartsWithIgnoreCase(table, "sqlite_master") ||
         absl::StartsWithIgnoreCase(table, "sqlite_schema") ||
         absl::StartsWithIgnoreCase(table, "sqlite_temp_");
}

}  // namespace

void Authorizer::Attach(sqlite3* db) {
  sqlite3_set_authorizer(db, &Authorizer::OnAction, this);
}

absl::Status Authorizer::Refusal() const {
  if (verdict_.refused.empty()) return absl::OkStatus();
  return errors::StatementForbidden(verdict_.refused, verdict_.use);
}

int Authorizer::OnAction(void* self,
                         int action,
                         const char* first,
                         const char* second,
                         const char* schema,
                         const char* /*origin*/) {
  auto& authorizer = *static_cast<Authorizer*>(self);
  if (authorizer.suspended_ > 0) return SQLITE_OK;
  // ALTER TABLE looks at what TEMP objects there might be; else only what makes one is seen here.
  if (absl::EqualsIgnoreCase(View(schema), "temp") && action != SQLITE_READ &&
      !IsSchemaTable(View(first))) {
    authorizer.RefuseTemporary();
    return SQLITE_DENY;
  }
  return authorizer.Allow(action, View(first), View(second)) ? SQLITE_OK : SQLITE_DENY;
}

// What `first` and `second` are depends on the action; sqlite3.h lists it.
bool Authorizer::Allow(int action, absl::string_view first, absl::string_view second) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
      return true;
    case SQLITE_READ:
      return AllowRead(first);
    case SQLITE_FUNCTION:
      return AllowFunction(second);
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
      return AllowChange(first);
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_VIEW:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_VIEW:
    case SQLITE_DROP_VTABLE:
    case SQLITE_REINDEX:
    case SQLITE_ANALYZE:
      return AllowSchemaChange(first, "");
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_TRIGGER:
      return AllowSchemaChange(first, second);
    case SQLITE_ALTER_TABLE:
      return AllowSchemaChange(second, "");
    case SQLITE_CREATE_VTABLE:
      if (!absl::EqualsIgnoreCase(second, "fts5")) {
        return Refuse(absl::StrCat("Virtual tables of the module ", Shown(second), " are not made"),
                      "fts5, or an ordinary table");
      }
      return AllowSchemaChange(first, "");
    case SQLITE_PRAGMA:
      return AllowPragma(first, second.data() != nullptr);  // '' is an argument too
    case SQLITE_ATTACH:
      return Refuse("ATTACH is not run", "registering another connection");
    case SQLITE_DETACH:
      return Refuse("DETACH is not run", "registering another connection");
    case SQLITE_TRANSACTION:
      return Refuse("Transactions are not controlled through SQL text", "BeginTransaction");
    case SQLITE_SAVEPOINT:
      return Refuse("Savepoints are not controlled through SQL text", "Savepoint");
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_DROP_TEMP_INDEX:
    case SQLITE_DROP_TEMP_TABLE:
    case SQLITE_DROP_TEMP_TRIGGER:
    case SQLITE_DROP_TEMP_VIEW:
      return RefuseTemporary();
    default:
      return Refuse("The statement does what this server does not know", "");
  }
}

bool Authorizer::AllowChange(absl::string_view table) {
  if (IsReservedName(table)) return AllowRead(table);
  if (!IsSchemaTable(table)) verdict_.writes = true;
  return true;
}

bool Authorizer::AllowSchemaChange(absl::string_view name, absl::string_view table) {
  verdict_.writes = true;
  verdict_.ddl = true;
  if (IsReservedName(name) || IsReservedName(table)) {
    return Refuse(absl::StrCat("Names that begin with ", kReservedPrefix, " are the server's own"),
                  "another name");
  }
  return true;
}

bool Authorizer::AllowRead(absl::string_view table) {
  if (IsReservedName(table)) {
    return Refuse(absl::StrCat("Table ", Shown(table), " is the server's own"), "");
  }
  const std::string name = absl::AsciiStrToLower(table);
  if (const Denied* const denied = Find(name, kDeniedModules)) {
    return Refuse(absl::StrCat("Virtual table ", name, " is not read"), denied->use);
  }
  // A pragma as a table says what it is when it runs; refuse it before.
  if (absl::StartsWith(name, kPragmaTable)) {
    return AllowPragma(absl::string_view(name).substr(kPragmaTable.size()), false);
  }
  return true;
}

bool Authorizer::AllowFunction(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (std::binary_search(std::begin(kAllowedFunctions), std::end(kAllowedFunctions), lower) ||
      IsOneOf(lower, kAlterFunctions)) {
    return true;
  }
  const Denied* const denied = Find(lower, kDeniedFunctions);
  return Refuse(absl::StrCat("Function ", Shown(lower), " is not called"),
                denied == nullptr ? "" : denied->use);
}

bool Authorizer::AllowPragma(absl::string_view name, bool has_argument) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (IsOneOf(lower, kReadingPragmas)) return true;
  if (!has_argument && IsOneOf(lower, kPlainPragmas)) return true;
  const Denied* const denied = Find(lower, kDeniedPragmas);
  return Refuse(absl::StrCat("PRAGMA ", Shown(lower), " is not run"),
                denied == nullptr ? "" : denied->use);
}

bool Authorizer::RefuseTemporary() {
  return Refuse("TEMP objects are not made, since callers share connections",
                "WITH, or an ordinary table");
}

bool Authorizer::Refuse(std::string what, absl::string_view use) {
  if (verdict_.refused.empty()) {
    verdict_.refused = std::move(what);
    verdict_.use = use;
  }
  return false;
}

FunctionPolicy PolicyOfFunction(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (Find(lower, kDeniedFunctions) != nullptr) return FunctionPolicy::kDenied;
  if (std::binary_search(std::begin(kAllowedFunctions), std::end(kAllowedFunctions), lower)) {
    return FunctionPolicy::kAllowed;
  }
  return FunctionPolicy::kUnknown;
}

ModulePolicy PolicyOfModule(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (Find(lower, kDeniedModules) != nullptr) return ModulePolicy::kDenied;
  if (IsOneOf(lower, kAllowedModules)) return ModulePolicy::kAllowed;
  if (IsOneOf(lower, kCreatedModules)) return ModulePolicy::kNotCreated;
  return ModulePolicy::kUnknown;
}

bool IsReservedName(absl::string_view name) {
  return absl::StartsWithIgnoreCase(name, kReservedPrefix);
}

}  // namespace sluice::sqlite
