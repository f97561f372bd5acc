// Names in SQL that the driver writes.
#ifndef SLUICE_SERVER_DB_POSTGRES_NAMES_H_
#define SLUICE_SERVER_DB_POSTGRES_NAMES_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"

namespace sluice::postgres {

// `name` as an identifier that means exactly that.
inline std::string QuotedName(absl::string_view name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_NAMES_H_
