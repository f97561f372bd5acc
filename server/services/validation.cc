#include "server/services/validation.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/protobuf/repeated_field.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/utf8.h"

namespace sluice::services {
namespace {

// The part of the contract that this server cannot honour yet, in both requests.
template <class Request>
absl::Status CheckBuilt(const Request& request) {
  if (request.param_types_size() > 0) return errors::FieldNotImplemented("param_types");
  if (request.has_transaction()) return errors::FieldNotImplemented("transaction");
  if (request.has_session()) return errors::FieldNotImplemented("session");
  if (request.max_affected_rows() != 0) return errors::FieldNotImplemented("max_affected_rows");
  if (request.validate_only()) return errors::FieldNotImplemented("validate_only");
  if (!request.request_id().empty()) return errors::FieldNotImplemented("request_id");
  return absl::OkStatus();
}

absl::Status CheckSql(absl::string_view sql) {
  if (sql.empty()) return errors::ParameterInvalid("sql", "is empty; send one statement");
  if (sql.size() <= kMaxSqlBytes) return absl::OkStatus();
  return errors::ParameterInvalid(
      "sql", absl::StrCat("has ", sql.size(), " bytes, and the limit is ", kMaxSqlBytes,
                          "; send values as parameters"));
}

bool IsTooDeep(const pb::Value& value, int depth_left);

bool AnyIsTooDeep(const google::protobuf::RepeatedPtrField<pb::Value>& values, int depth_left) {
  return std::any_of(values.begin(), values.end(),
                     [&](const pb::Value& value) { return IsTooDeep(value, depth_left); });
}

// Only what nests is looked into, so a list of plain values costs a comparison each.
bool IsTooDeep(const pb::Value& value, int depth_left) {
  if (depth_left == 0) return true;
  switch (value.kind_case()) {
    case pb::Value::kArrayValue:
      return AnyIsTooDeep(value.array_value().values(), depth_left - 1);
    case pb::Value::kCompositeValue:
      return AnyIsTooDeep(value.composite_value().values(), depth_left - 1);
    case pb::Value::kRangeValue: {
      const pb::Range& range = value.range_value();
      return (range.has_lower() && IsTooDeep(range.lower(), depth_left - 1)) ||
             (range.has_upper() && IsTooDeep(range.upper(), depth_left - 1));
    }
    default:
      return false;
  }
}

absl::Status TooDeep(absl::string_view path, int limit) {
  return errors::ParameterInvalid(path,
                                  absl::StrCat("values are nested more than ", limit, " deep"));
}

// How a name from the request is shown in the path of a field.
std::string Quoted(absl::string_view name) {
  return absl::StrCat("[\"", SanitizeForMessage({name.data(), name.size()}, kMaxLabelKeyBytes),
                      "\"]");
}

template <class Request>
absl::Status CheckDepth(const Request& request, int limit) {
  for (int i = 0; i < request.params_size(); ++i) {
    if (IsTooDeep(request.params(i), limit)) return TooDeep(absl::StrCat("params[", i, "]"), limit);
  }
  for (const auto& [name, value] : request.named_params()) {
    if (IsTooDeep(value, limit)) return TooDeep(absl::StrCat("named_params", Quoted(name)), limit);
  }
  return absl::OkStatus();
}

template <class Request>
absl::Status CheckLabels(const Request& request) {
  if (request.labels().empty()) return absl::OkStatus();
  if (request.labels().size() > kMaxLabels) {
    return errors::ParameterInvalid(
        "labels",
        absl::StrCat("has ", request.labels().size(), " entries, and the limit is ", kMaxLabels));
  }
  for (const auto& [key, value] : request.labels()) {
    if (key.size() > kMaxLabelKeyBytes) {
      return errors::ParameterInvalid(
          absl::StrCat("labels", Quoted(key)),
          absl::StrCat("the key has more than ", kMaxLabelKeyBytes, " bytes"));
    }
    if (value.size() > kMaxLabelValueBytes) {
      return errors::ParameterInvalid(
          absl::StrCat("labels", Quoted(key)),
          absl::StrCat("the value has more than ", kMaxLabelValueBytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

template <class Request>
absl::Status Check(const Request& request, int value_depth) {
  TRY_STATUS(CheckBuilt(request));
  TRY_STATUS(CheckSql(request.sql()));
  TRY_STATUS(CheckDepth(request, value_depth));
  return CheckLabels(request);
}

}  // namespace

absl::Status CheckRequest(const pb::QueryRequest& request, int value_depth) {
  return Check(request, value_depth);
}

absl::Status CheckRequest(const pb::StreamQueryRequest& request, int value_depth) {
  return Check(request, value_depth);
}

absl::StatusOr<int64_t> LimitOf(absl::string_view field,
                                int64_t requested,
                                int64_t preset,
                                int64_t most) {
  if (requested == 0) return preset;
  if (requested < 0) return errors::ParameterInvalid(field, "is negative; 0 is the default");
  if (requested <= most) return requested;
  return errors::ParameterInvalid(
      field, absl::StrCat("is above ", most, ", the most; stream what is longer"));
}

absl::StatusOr<int64_t> ChunkBytesOf(int64_t requested, int64_t most) {
  if (requested < 0) {
    return errors::ParameterInvalid("chunk_bytes", "is negative; 0 is the default");
  }
  if (requested == 0) return most;
  return std::min(std::max(requested, kMinChunkBytes), most);
}

absl::StatusOr<RetryPolicy> RetryPolicyOf(const pb::RetryOptions& options) {
  RetryPolicy policy;
  if (options.max_attempts() < 0 || options.max_attempts() > kMaxAttempts) {
    return errors::ParameterInvalid(
        "retry.max_attempts",
        absl::StrCat("is not between 1 and ", kMaxAttempts, "; 0 is the default"));
  }
  if (options.max_attempts() > 0) policy.max_attempts = options.max_attempts();
  if (!options.has_delay()) return policy;
  const google::protobuf::Duration& delay = options.delay();
  policy.delay = absl::Seconds(delay.seconds()) + absl::Nanoseconds(delay.nanos());
  if (policy.delay < absl::ZeroDuration() || policy.delay > kMaxRetryDelay) {
    return errors::ParameterInvalid(
        "retry.delay",
        absl::StrCat("is not between 0 and ", absl::ToInt64Seconds(kMaxRetryDelay), " s"));
  }
  return policy;
}

}  // namespace sluice::services
