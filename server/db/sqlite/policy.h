// Policy: the lists by which the authorizer decides. Names are taken in any case; what is on no
// list is refused. Each InPlaceOf names what to call instead, or nothing.
#ifndef SLUICE_SERVER_DB_SQLITE_POLICY_H_
#define SLUICE_SERVER_DB_SQLITE_POLICY_H_

#include "absl/strings/string_view.h"

namespace sluice::sqlite {

enum class FunctionPolicy { kAllowed, kDenied, kUnknown };
FunctionPolicy PolicyOfFunction(absl::string_view name);
absl::string_view InPlaceOfFunction(absl::string_view name);

// Of virtual tables some are there by themselves, as json_each is; most do nothing before a CREATE
// VIRTUAL TABLE, which only fts5 is allowed.
enum class ModulePolicy { kAllowed, kDenied, kNotCreated, kUnknown };
ModulePolicy PolicyOfModule(absl::string_view name);
absl::string_view InPlaceOfModule(absl::string_view name);

bool IsAllowedPragma(absl::string_view name, bool has_argument);
absl::string_view InPlaceOfPragma(absl::string_view name);

// Tables of the server's own in a client's database begin so; no client reads or changes them.
inline constexpr absl::string_view kReservedPrefix = "_sluice_";
bool IsReservedName(absl::string_view name);
// Whether such a name stands anywhere in the SQL.
bool HoldsReservedName(absl::string_view sql);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_POLICY_H_
