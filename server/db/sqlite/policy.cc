#include "server/db/sqlite/policy.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace sluice::sqlite {
namespace {

// What the library of Debian 12 has built in. Sorted.
// clang-format off
constexpr absl::string_view kAllowedFunctions[] = {
    "->", "->>", "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "avg", "bm25",
    "ceil", "ceiling", "char", "coalesce", "cos", "cosh", "count", "cume_dist", "current_date",
    "current_time", "current_timestamp", "date", "datetime", "degrees", "dense_rank", "exp",
    "first_value", "floor", "format", "fts5_source_id", "glob", "group_concat", "hex", "highlight",
    "ifnull", "iif", "instr", "json", "json_array", "json_array_length", "json_extract",
    "json_group_array", "json_group_object", "json_insert", "json_object", "json_patch",
    "json_quote", "json_remove", "json_replace", "json_set", "json_type", "json_valid",
    "julianday", "lag", "last_value", "lead", "length", "like", "likelihood", "likely", "ln",
    "log", "log10", "log2", "lower", "ltrim", "match", "matchinfo", "max", "min", "mod",
    "nth_value", "ntile", "nullif", "offsets", "percent_rank", "pi", "pow", "power", "printf",
    "quote", "radians", "random", "randomblob", "rank", "replace", "round", "row_number", "rtrim",
    "sign", "sin", "sinh", "snippet", "soundex", "sqlite_compileoption_get",
    "sqlite_compileoption_used", "sqlite_source_id", "sqlite_version", "sqrt", "strftime",
    "substr", "substring", "subtype", "sum", "tan", "tanh", "time", "total", "trim", "trunc",
    "typeof", "unicode", "unixepoch", "unlikely", "upper", "zeroblob",
};
// clang-format on

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

template <size_t n>
absl::string_view UseFor(absl::string_view name, const Denied (&denied)[n]) {
  const Denied* const found = Find(name, denied);
  return found == nullptr ? absl::string_view() : found->use;
}

}  // namespace

FunctionPolicy PolicyOfFunction(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (Find(lower, kDeniedFunctions) != nullptr) return FunctionPolicy::kDenied;
  if (std::binary_search(std::begin(kAllowedFunctions), std::end(kAllowedFunctions), lower) ||
      IsOneOf(lower, kAlterFunctions)) {
    return FunctionPolicy::kAllowed;
  }
  return FunctionPolicy::kUnknown;
}

absl::string_view InPlaceOfFunction(absl::string_view name) {
  return UseFor(absl::AsciiStrToLower(name), kDeniedFunctions);
}

ModulePolicy PolicyOfModule(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (Find(lower, kDeniedModules) != nullptr) return ModulePolicy::kDenied;
  if (IsOneOf(lower, kAllowedModules)) return ModulePolicy::kAllowed;
  if (IsOneOf(lower, kCreatedModules)) return ModulePolicy::kNotCreated;
  return ModulePolicy::kUnknown;
}

absl::string_view InPlaceOfModule(absl::string_view name) {
  return UseFor(absl::AsciiStrToLower(name), kDeniedModules);
}

bool IsAllowedPragma(absl::string_view name, bool has_argument) {
  const std::string lower = absl::AsciiStrToLower(name);
  return IsOneOf(lower, kReadingPragmas) || (!has_argument && IsOneOf(lower, kPlainPragmas));
}

absl::string_view InPlaceOfPragma(absl::string_view name) {
  return UseFor(absl::AsciiStrToLower(name), kDeniedPragmas);
}

bool IsReservedName(absl::string_view name) {
  return absl::StartsWithIgnoreCase(name, kReservedPrefix);
}

bool HoldsReservedName(absl::string_view sql) {
  return absl::StrContains(absl::AsciiStrToLower(sql), kReservedPrefix);
}

}  // namespace sluice::sqlite
