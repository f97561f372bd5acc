#include "server/services/step_error.h"

#include <string>

#include "server/base/errors.h"
#include "server/base/sql_fields.h"
#include "server/base/utf8.h"

namespace sluice::services {
namespace {

constexpr size_t kMessageLimit = 1024;  // bytes of the sentence
constexpr size_t kValueLimit = 256;     // bytes of each fact

}  // namespace

void SetStepError(const absl::Status& failure, pb::StepError& error) {
  const errors::Parts parts = errors::PartsOf(failure);
  error.set_code(static_cast<int>(failure.code()));
  error.set_message(SanitizeForMessage(std::string(failure.message()), kMessageLimit));
  error.set_reason(parts.reason.empty() ? "INTERNAL" : parts.reason);
  for (const auto& [key, value] : parts.metadata) {
    (*error.mutable_metadata())[key] = SanitizeForMessage(value, kValueLimit);
  }
  if (!parts.sql.empty()) {
    *error.mutable_sql() = errors::SqlFieldsOf<pb::SqlDiagnostic>(parts, kMessageLimit);
  }
}

}  // namespace sluice::services
