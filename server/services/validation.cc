#include "server/services/validation.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/protobuf/repeated_field.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/services/protobuf_time.h"

namespace sluice::services {
namespace {

// A commit of what was only tried would tell nobody anything.
template <class Request>
absl::Status CheckTrial(const Request& request) {
  if (!request.validate_only() || !request.transaction().commit()) return absl::OkStatus();
  return errors::ParameterInvalid("validate_only", "stands beside transaction.commit; send one");
}

absl::Status CheckBound(absl::string_view field, int64_t bound) {
  return bound >= 0 ? absl::OkStatus()
                    : errors::ParameterInvalid(field, "is negative; 0 is no bound");
}

absl::Status CheckSql(absl::string_view sql, absl::string_view field = "sql") {
  if (sql.empty()) return errors::ParameterInvalid(field, "is empty; send one statement");
  if (sql.size() <= kMaxSqlBytes) return absl::OkStatus();
  return errors::ParameterInvalid(
      field, absl::StrCat("has ", sql.size(), " bytes, and the limit is ", kMaxSqlBytes,
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

// `place`: where in the request they stand; empty, or with a dot at its end.
template <class Holder>
absl::Status CheckDepth(const Holder& holder, int limit, absl::string_view place = "") {
  for (int i = 0; i < holder.params_size(); ++i) {
    if (IsTooDeep(holder.params(i), limit)) {
      return TooDeep(absl::StrCat(place, "params[", i, "]"), limit);
    }
  }
  for (const auto& [name, value] : holder.named_params()) {
    if (IsTooDeep(value, limit)) {
      return TooDeep(absl::StrCat(place, "named_params", Quoted(name)), limit);
    }
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
  TRY_STATUS(CheckTrial(request));
  TRY_STATUS(CheckBound("max_affected_rows", request.max_affected_rows()));
  TRY_STATUS(CheckSql(request.sql()));
  TRY_STATUS(CheckDepth(request, value_depth));
  return CheckLabels(request);
}

absl::Status CheckStep(const pb::BatchStep& step, int index, int value_depth) {
  const std::string place = absl::StrCat("steps[", index, "].");
  TRY_STATUS(CheckBound(place + "max_affected_rows", step.max_affected_rows()));
  TRY_STATUS(CheckSql(step.sql(), place + "sql"));
  const bool both =
      step.parameter_sets_size() > 0 && (step.params_size() > 0 || !step.named_params().empty());
  if (both) {
    return errors::ParameterInvalid(place + "parameter_sets",
                                    "stands beside values of the step; put those into a set too");
  }
  TRY_STATUS(CheckDepth(step, value_depth, place));
  for (int i = 0; i < step.parameter_sets_size(); ++i) {
    TRY_STATUS(CheckDepth(step.parameter_sets(i), value_depth,
                          absl::StrCat(place, "parameter_sets[", i, "].")));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRequest(const pb::ExecuteBatchRequest& request, int value_depth) {
  TRY_STATUS(CheckTrial(request));
  if (request.steps().empty()) return errors::ParameterInvalid("steps", "is empty");
  int64_t executions = 0;
  for (const pb::BatchStep& step : request.steps()) {
    executions += std::max(step.parameter_sets_size(), 1);
  }
  if (executions > kMaxExecutions) {
    return errors::ParameterInvalid(
        "steps", absl::StrCat("are ", executions, " executions, and the limit is ", kMaxExecutions,
                              "; BulkInsert takes any number of rows"));
  }
  TRY(const db::BatchMode mode, BatchModeOf(request.mode()));
  TRY_STATUS(CheckBound("max_affected_rows", request.max_affected_rows()));
  if (mode != db::BatchMode::kAtomic && request.max_affected_rows() > 0) {
    return errors::ParameterInvalid("max_affected_rows",
                                    "bounds an ATOMIC batch; the steps have bounds of their own");
  }
  for (int i = 0; i < request.steps_size(); ++i) {
    TRY_STATUS(CheckStep(request.steps(i), i, value_depth));
  }
  return CheckLabels(request);
}

absl::Status CheckHeader(const pb::BulkInsertRequest& request) {
  TRY_STATUS(CheckTrial(request));
  if (request.table().empty()) {
    return errors::ParameterInvalid("table", "is empty; the first message names the table");
  }
  TRY_STATUS(CheckBound("max_affected_rows", request.max_affected_rows()));
  TRY_STATUS(BatchModeOf(request.mode()).status());
  if (!pb::ConflictAction_IsValid(request.on_conflict())) {
    return errors::ParameterInvalid("on_conflict", "is no action that this server knows");
  }
  if (request.conflict_columns_size() > 0 && request.on_conflict() != pb::CONFLICT_ACTION_UPDATE) {
    return errors::ParameterInvalid("conflict_columns", "is for CONFLICT_ACTION_UPDATE alone");
  }
  return CheckLabels(request);
}

absl::Status CheckRows(const pb::BulkInsertRequest& request, int64_t first_row, int value_depth) {
  for (int i = 0; i < request.rows_size(); ++i) {
    if (AnyIsTooDeep(request.rows(i).values(), value_depth)) {
      return errors::WithMetadata(TooDeep(absl::StrCat("rows[", i, "]"), value_depth), "row",
                                  absl::StrCat(first_row + i));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNoHeader(const pb::BulkInsertRequest& request) {
  const auto* const reflection = request.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> set;
  reflection->ListFields(request, &set);
  for (const google::protobuf::FieldDescriptor* field : set) {
    if (field->number() == pb::BulkInsertRequest::kRowsFieldNumber) continue;
    return errors::ParameterInvalid(std::string(field->name()),
                                    "belongs to the first message of the load");
  }
  return absl::OkStatus();
}

absl::StatusOr<db::BatchMode> BatchModeOf(pb::BatchMode mode) {
  switch (mode) {
    case pb::BATCH_MODE_UNSPECIFIED:
    case pb::BATCH_MODE_ATOMIC:
      return db::BatchMode::kAtomic;
    case pb::BATCH_MODE_STOP_ON_ERROR:
      return db::BatchMode::kStopOnError;
    case pb::BATCH_MODE_CONTINUE:
      return db::BatchMode::kContinue;
    default:
      return errors::ParameterInvalid("mode", "is no mode that this server knows");
  }
}

absl::Status CheckRequest(const pb::QueryRequest& request, int value_depth) {
  return Check(request, value_depth);
}

absl::Status CheckRequest(const pb::StreamQueryRequest& request, int value_depth) {
  return Check(request, value_depth);
}

absl::Status CheckRequest(const pb::BeginTransactionRequest& request) {
  return CheckLabels(request);
}

absl::Status CheckRequest(const pb::DescribeRequest& request) {
  TRY_STATUS(CheckSql(request.sql()));
  return CheckLabels(request);
}

absl::Status CheckRequest(const pb::ExplainRequest& request, int value_depth) {
  if (request.has_transaction()) return errors::FieldNotImplemented("transaction");
  TRY_STATUS(CheckSql(request.sql()));
  TRY_STATUS(CheckDepth(request, value_depth));
  return CheckLabels(request);
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
  policy.delay = DurationOf(options.delay());
  policy.conflict_delay = policy.delay;
  if (policy.delay < absl::ZeroDuration() || policy.delay > kMaxRetryDelay) {
    return errors::ParameterInvalid(
        "retry.delay",
        absl::StrCat("is not between 0 and ", absl::ToInt64Seconds(kMaxRetryDelay), " s"));
  }
  return policy;
}

}  // namespace sluice::services
