#include "client/errors.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace sluice::client {
namespace {

constexpr char kTypePrefix[] = "type.googleapis.com/";

template <class Detail>
std::string TypeUrl() {
  return absl::StrCat(kTypePrefix, Detail::descriptor()->full_name());
}

// Reads the detail of this type, if the status has one that parses.
template <class Detail>
std::optional<Detail> FindDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(TypeUrl<Detail>());
  if (!payload) return std::nullopt;
  Detail detail;
  if (!detail.ParseFromString(std::string(*payload))) return std::nullopt;
  return detail;
}

template <class Detail>
void Attach(const Detail& detail, absl::Status* status) {
  status->SetPayload(TypeUrl<Detail>(), absl::Cord(detail.SerializeAsString()));
}

Executed ParseExecuted(absl::string_view name) {
  if (name == "no") return Executed::kNo;
  if (name == "rolled_back") return Executed::kRolledBack;
  return Executed::kUnknown;
}

// gRPC's own words for a connection that was never made; such a call cannot have left this process.
bool NeverConnected(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnavailable) return false;
  const absl::string_view message = status.message();
  return absl::StartsWith(message, "failed to connect to all addresses") ||
         absl::StartsWith(message, "DNS resolution failed") ||
         absl::StartsWith(message, "empty address list");
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace

absl::string_view ExecutedName(Executed executed) {
  switch (executed) {
    case Executed::kNo:
      return "no";
    case Executed::kRolledBack:
      return "rolled_back";
    case Executed::kUnknown:
      break;
  }
  return "unknown";
}

Error DecodeError(const absl::Status& status) {
  Error error;
  error.code = status.code();
  error.message = std::string(status.message());
  if (const auto info = FindDetail<google::rpc::ErrorInfo>(status)) {
    error.reason = info->reason();
    error.metadata.insert(info->metadata().begin(), info->metadata().end());
    if (const auto executed = error.metadata.find("executed"); executed != error.metadata.end()) {
      error.executed = ParseExecuted(executed->second);
    }
  } else if (NeverConnected(status)) {
    error.executed = Executed::kNo;
  }
  if (const auto bad = FindDetail<google::rpc::BadRequest>(status)) {
    for (const auto& violation : bad->field_violations()) {
      error.fields.push_back({violation.field(), violation.description()});
    }
  }
  if (const auto failure = FindDetail<google::rpc::PreconditionFailure>(status)) {
    for (const auto& violation : failure->violations()) {
      error.conditions.push_back(violation.description());
    }
  }
  if (const auto failure = FindDetail<google::rpc::QuotaFailure>(status)) {
    for (const auto& violation : failure->violations()) {
      error.conditions.push_back(violation.description());
    }
  }
  if (const auto retry = FindDetail<google::rpc::RetryInfo>(status)) {
    error.retry_delay = ToDuration(retry->retry_delay());
  }
  if (const auto request = FindDetail<google::rpc::RequestInfo>(status)) {
    error.request_id = request->request_id();
  }
  if (const auto help = FindDetail<google::rpc::Help>(status)) {
    for (const auto& link : help->links()) error.links.push_back(link.url());
  }
  error.sql = FindDetail<v1::SqlDiagnostic>(status);
  return error;
}

Error DecodeError(const v1::StepError& failure) {
  Error error;
  error.code = static_cast<absl::StatusCode>(failure.code());
  error.message = failure.message();
  error.reason = failure.reason();
  error.executed = Executed::kRolledBack;  // what else the contract says, the metadata says
  error.metadata.insert(failure.metadata().begin(), failure.metadata().end());
  if (const auto executed = error.metadata.find("executed"); executed != error.metadata.end()) {
    error.executed = ParseExecuted(executed->second);
  }
  if (failure.has_sql()) error.sql = failure.sql();
  return error;
}

absl::Status MakeStatus(int code, absl::string_view message, absl::string_view details) {
  absl::Status status(static_cast<absl::StatusCode>(code), message);
  google::rpc::Status proto;
  if (details.empty() || !proto.ParseFromArray(details.data(), static_cast<int>(details.size()))) {
    return status;
  }
  for (const auto& detail : proto.details()) {
    status.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return status;
}

absl::Status MakeStatus(const v1::StepError& failure) {
  const auto code = static_cast<absl::StatusCode>(failure.code());
  // Whatever a broken server says, a failure is never OK.
  absl::Status status(code == absl::StatusCode::kOk ? absl::StatusCode::kUnknown : code,
                      failure.message());
  google::rpc::ErrorInfo info;
  info.set_reason(failure.reason());
  info.set_domain("sluice");
  *info.mutable_metadata() = failure.metadata();
  Attach(info, &status);
  if (failure.has_sql()) Attach(failure.sql(), &status);
  return status;
}

absl::Status LocalError(absl::StatusCode code,
                        absl::string_view reason,
                        Executed executed,
                        absl::string_view message,
                        const std::map<std::string, std::string>& facts) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain("sluice");
  info.mutable_metadata()->insert(facts.begin(), facts.end());
  (*info.mutable_metadata())["executed"] = std::string(ExecutedName(executed));
  absl::Status status(code, message);
  Attach(info, &status);
  return status;
}

}  // namespace sluice::client
