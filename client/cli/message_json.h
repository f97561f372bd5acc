// Answers of the server as JSON.
#ifndef SLUICE_CLIENT_CLI_MESSAGE_JSON_H_
#define SLUICE_CLIENT_CLI_MESSAGE_JSON_H_

#include <string>

#include "google/protobuf/message.h"

namespace sluice::cli {

// Appends the message as one line of JSON with all its fields, under the contract's names: integers
// as numbers, enums as words (`full_scan`), bytes in base64, SQL values as AppendJson writes them,
// and null where the server said nothing.
void AppendMessageJson(const google::protobuf::Message& message, std::string* out);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_MESSAGE_JSON_H_
