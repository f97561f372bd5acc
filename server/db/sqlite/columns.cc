// The codec's metadata: what the columns of a result are.
#include <algorithm>
#include <iterator>

#include <sqlite3.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

#include "server/base/utf8.h"
#include "server/db/sqlite/codec.h"
#include "sluice/v1/query.pb.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;

constexpr size_t kNameBytes = 4096;

struct NamedType {
  absl::string_view name;
  pb::ValueType type;
};

// Names that say more than their affinity, which for most of them is NUMERIC.
constexpr NamedType kNamedTypes[] = {
    {"BOOL", pb::VALUE_TYPE_BOOL},
    {"BOOLEAN", pb::VALUE_TYPE_BOOL},
    {"DATE", pb::VALUE_TYPE_DATE},
    {"DATETIME", pb::VALUE_TYPE_TIMESTAMP},
    {"DECIMAL", pb::VALUE_TYPE_NUMERIC},
    {"JSON", pb::VALUE_TYPE_JSON},
    {"JSONB", pb::VALUE_TYPE_JSON},
    {"NUMERIC", pb::VALUE_TYPE_NUMERIC},
    {"TIME", pb::VALUE_TYPE_TIME},
    {"TIMESTAMP", pb::VALUE_TYPE_TIMESTAMP},
    {"TIMESTAMP WITH TIME ZONE", pb::VALUE_TYPE_TIMESTAMPTZ},
    {"TIMESTAMP WITHOUT TIME ZONE", pb::VALUE_TYPE_TIMESTAMP},
    {"TIMESTAMPTZ", pb::VALUE_TYPE_TIMESTAMPTZ},
    {"UUID", pb::VALUE_TYPE_UUID},
};

// SQLite's rules of affinity, in their order.
constexpr NamedType kAffinities[] = {
    {"INT", pb::VALUE_TYPE_INT64},   {"CHAR", pb::VALUE_TYPE_STRING},
    {"CLOB", pb::VALUE_TYPE_STRING}, {"TEXT", pb::VALUE_TYPE_STRING},
    {"BLOB", pb::VALUE_TYPE_BYTES},  {"REAL", pb::VALUE_TYPE_DOUBLE},
    {"FLOA", pb::VALUE_TYPE_DOUBLE}, {"DOUB", pb::VALUE_TYPE_DOUBLE},
};

// Names come from SQL and schema, where SQLite lets any bytes be. What is no UTF-8 could not be
// parsed in a reply.
std::string Name(const char* text) {
  if (text == nullptr) return "";
  const std::string_view name(text);
  return IsValidUtf8(name) ? std::string(name) : SanitizeForMessage(name, kNameBytes);
}

}  // namespace

pb::ValueType TypeOfDeclaration(absl::string_view declared) {
  // DECIMAL(10, 2) is named by what stands before the parenthesis.
  const std::string name =
      absl::AsciiStrToUpper(absl::StripAsciiWhitespace(declared.substr(0, declared.find('('))));
  const auto named = std::find_if(std::begin(kNamedTypes), std::end(kNamedTypes),
                                  [&name](const NamedType& each) { return each.name == name; });
  if (named != std::end(kNamedTypes)) return named->type;
  const std::string whole = absl::AsciiStrToUpper(declared);
  const auto affinity =
      std::find_if(std::begin(kAffinities), std::end(kAffinities),
                   [&whole](const NamedType& each) { return absl::StrContains(whole, each.name); });
  return affinity == std::end(kAffinities) ? pb::VALUE_TYPE_UNSPECIFIED : affinity->type;
}

std::string EncodeColumns(sqlite3_stmt* stmt) {
  // Of all fields only `columns` is set, so the reply's own wire form is what is wanted.
  pb::QueryResponse reply;
  const int count = sqlite3_column_count(stmt);
  for (int i = 0; i < count; ++i) {
    pb::Column& column = *reply.add_columns();
    column.set_name(Name(sqlite3_column_name(stmt, i)));
    const char* const declared = sqlite3_column_decltype(stmt, i);
    if (declared == nullptr) continue;
    column.set_type(TypeOfDeclaration(declared));
    column.set_native_type(Name(declared));
  }
  return reply.SerializeAsString();
}

}  // namespace sluice::sqlite
