// Encode: parameters of the request in the form in which the server takes them.
#ifndef SLUICE_SERVER_DB_POSTGRES_ENCODE_H_
#define SLUICE_SERVER_DB_POSTGRES_ENCODE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/db/postgres/types.h"

namespace sluice::postgres {

// Appends `value` as a value of `type`, and says in which format: binary wherever both sides know
// one, else text, which the server itself reads. A kind that does not fit the type is
// PARAMETER_INVALID, a number out of the type's range OUT_OF_RANGE with the same reason; `path` is
// the value's place in the request (`params[0]`) and `position` where the parameter stands in the
// SQL, in characters from 1, 0 = not known. NULL is not to be given. On an error `out` is as it
// was.
absl::Status EncodeValue(const TypeBook& book,
                         Oid type,
                         const pb::Value& value,
                         absl::string_view path,
                         int position,
                         std::string& out,
                         Format& format);

// The same, but in the text form only (without a terminating NUL): for COPY in text format and for
// pieces of literals.
absl::Status EncodeText(const TypeBook& book,
                        Oid type,
                        const pb::Value& value,
                        absl::string_view path,
                        int position,
                        std::string& out);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_ENCODE_H_
