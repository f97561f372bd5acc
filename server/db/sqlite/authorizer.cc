#include "server/db/sqlite/authorizer.h"

#include <utility>

#include <sqlite3.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"
#include "server/db/sqlite/policy.h"

namespace sluice::sqlite {
namespace {

constexpr size_t kShownBytes = 64;
constexpr absl::string_view kPragmaTable = "pragma_";

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
  if (PolicyOfModule(table) == ModulePolicy::kDenied) {
    return Refuse(absl::StrCat("Virtual table ", Shown(table), " is not read"),
                  InPlaceOfModule(table));
  }
  // A pragma as a table says what it is when it runs; refuse it before.
  if (absl::StartsWithIgnoreCase(table, kPragmaTable)) {
    return AllowPragma(table.substr(kPragmaTable.size()), false);
  }
  return true;
}

bool Authorizer::AllowFunction(absl::string_view name) {
  if (PolicyOfFunction(name) == FunctionPolicy::kAllowed) return true;
  return Refuse(absl::StrCat("Function ", Shown(name), " is not called"), InPlaceOfFunction(name));
}

bool Authorizer::AllowPragma(absl::string_view name, bool has_argument) {
  if (IsAllowedPragma(name, has_argument)) return true;
  return Refuse(absl::StrCat("PRAGMA ", Shown(name), " is not run"), InPlaceOfPragma(name));
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

}  // namespace sluice::sqlite
