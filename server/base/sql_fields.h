// SqlFields: what a database said about a failed statement, in the message that carries it.
#ifndef SLUICE_SERVER_BASE_SQL_FIELDS_H_
#define SLUICE_SERVER_BASE_SQL_FIELDS_H_

#include <cstddef>
#include <string>
#include <type_traits>

#include "absl/strings/numbers.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"

namespace sluice::errors {

// Message: a protobuf message whose fields have the names under which errors keep these facts,
// texts or 32-bit numbers. Texts are cut at `longest` bytes.
template <class Message>
Message SqlFieldsOf(const Parts& parts, size_t longest) {
  Message message;
  const auto* const descriptor = message.GetDescriptor();
  const auto* const reflection = message.GetReflection();
  for (const auto& [key, value] : parts.sql) {
    const auto* const field = descriptor->FindFieldByName(key);
    using Field = std::remove_reference_t<decltype(*field)>;
    if (field == nullptr) continue;
    if (field->cpp_type() == Field::CPPTYPE_INT32) {
      int number = 0;
      if (absl::SimpleAtoi(value, &number)) reflection->SetInt32(&message, field, number);
    } else {
      reflection->SetString(&message, field, SanitizeForMessage(value, longest));
    }
  }
  return message;
}

}  // namespace sluice::errors

#endif  // SLUICE_SERVER_BASE_SQL_FIELDS_H_
