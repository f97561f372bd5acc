// JSON text: checking and writing it.
#ifndef SLUICE_CLIENT_CLI_JSON_TEXT_H_
#define SLUICE_CLIENT_CLI_JSON_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

#include "sluice/v1/value.pb.h"

namespace sluice::cli {

bool IsJson(absl::string_view text);

// Appends the text as a JSON string. Bytes that are no UTF-8 become U+FFFD; see AppendJson for a
// way that keeps them.
void AppendJsonString(absl::string_view text, std::string* out);

// Appends the value as one line of JSON: numbers exactly, reals that have no JSON spelling as
// strings ("Infinity"), bytes and text that is no UTF-8 in base64, JSON as it is, arrays and
// composites as arrays, all else as a string of its text form.
void AppendJson(const v1::Value& value, std::string* out);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_JSON_TEXT_H_
