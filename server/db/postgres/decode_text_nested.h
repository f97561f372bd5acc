// The text form of values that hold others. Each is a DecodeFunction.
#ifndef SLUICE_SERVER_DB_POSTGRES_DECODE_TEXT_NESTED_H_
#define SLUICE_SERVER_DB_POSTGRES_DECODE_TEXT_NESTED_H_

#include <string>

#include "absl/strings/string_view.h"

#include "server/db/postgres/decoding.h"
#include "server/db/postgres/types.h"

namespace sluice::postgres {

bool ReadArrayText(Decoding& decoding, const Type& type, absl::string_view text, std::string& out);
bool ReadRangeText(Decoding& decoding, const Type& type, absl::string_view text, std::string& out);
bool ReadMultirangeText(Decoding& decoding,
                        const Type& type,
                        absl::string_view text,
                        std::string& out);
// A row whose number of fields is not the type's is passed through as Raw: the type has changed.
bool ReadCompositeText(Decoding& decoding,
                       const Type& type,
                       absl::string_view text,
                       std::string& out);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_DECODE_TEXT_NESTED_H_
