#include "server/rpc/status.h"

#include <string>

#include "google/protobuf/any.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

#include "server/base/errors.h"
#include "server/base/sql_fields.h"
#include "server/base/utf8.h"
#include "sluice/v1/common.pb.h"

namespace sluice::rpc {
namespace {

constexpr size_t kMessageLimit = 1024;  // bytes of the sentence
constexpr size_t kValueLimit = 256;     // bytes of each fact
constexpr size_t kTotalLimit = 4096;    // bytes of message and details together

template <class Detail>
void AddDetail(google::rpc::Status& out, const Detail& detail) {
  out.add_details()->PackFrom(detail);
}

google::rpc::ErrorInfo MakeErrorInfo(const errors::Parts& parts) {
  google::rpc::ErrorInfo info;
  info.set_reason(parts.reason.empty() ? "INTERNAL" : parts.reason);
  info.set_domain("sluice");
  for (const auto& [key, value] : parts.metadata) {
    (*info.mutable_metadata())[key] = SanitizeForMessage(value, kValueLimit);
  }
  if (!info.metadata().contains("executed")) (*info.mutable_metadata())["executed"] = "unknown";
  return info;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status, absl::string_view request_id) {
  if (status.ok()) return grpc::Status::OK;
  const errors::Parts parts = errors::PartsOf(status);
  google::rpc::Status out;
  out.set_code(static_cast<int>(status.code()));
  out.set_message(SanitizeForMessage(std::string(status.message()), kMessageLimit));
  AddDetail(out, MakeErrorInfo(parts));
  if (parts.retry_delay > absl::ZeroDuration()) {
    google::rpc::RetryInfo retry;
    const int64_t micros = absl::ToInt64Microseconds(parts.retry_delay);
    retry.mutable_retry_delay()->set_seconds(micros / 1'000'000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1'000));
    AddDetail(out, retry);
  }
  if (!parts.fields.empty()) {
    google::rpc::BadRequest bad_request;
    for (const auto& [field, description] : parts.fields) {
      auto* const violation = bad_request.add_field_violations();
      violation->set_field(SanitizeForMessage(field, kValueLimit));
      violation->set_description(SanitizeForMessage(description, kMessageLimit));
    }
    AddDetail(out, bad_request);
  }
  if (!request_id.empty()) {
    google::rpc::RequestInfo request_info;
    request_info.set_request_id(std::string(request_id));
    AddDetail(out, request_info);
  }
  if (!parts.sql.empty()) {
    AddDetail(out, errors::SqlFieldsOf<sluice::v1::SqlDiagnostic>(parts, kMessageLimit));
  };
  // What is least needed goes first; ErrorInfo, the first one, always stays.
  while (out.details_size() > 1 && out.ByteSizeLong() + out.message().size() > kTotalLimit) {
    out.mutable_details()->RemoveLast();
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), out.message(),
                      out.SerializeAsString());
}

}  // namespace sluice::rpc
