#include "server/services/request_id.h"

#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

#include "server/base/errors.h"
#include "server/base/ids.h"
#include "server/base/status.h"

namespace sluice::services {
namespace {

constexpr size_t kUuidLength = 36;
constexpr size_t kScopeBytes = 16;

std::string Bytes(const ids::Hash& hash) {
  return std::string(hash.begin(), hash.end());
}

// 8-4-4-4-12 hexadecimal digits, as 16 bytes.
absl::StatusOr<std::string> ParseUuid(absl::string_view text) {
  const absl::Status bad = errors::ParameterInvalid(
      "request_id", "is not a UUID like 123e4567-e89b-12d3-a456-426614174000");
  if (text.size() != kUuidLength) return bad;
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(static_cast<unsigned char>(text[i]))) {
      return bad;
    }
    if (!dash) digits.push_back(text[i]);
  }
  return absl::HexStringToBytes(digits);
}

// The same for the same message: a map of protobuf has no order of its own.
std::string Canonical(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.SetSerializationDeterministic(true);
  message.SerializePartialToCodedStream(&out);
  out.Trim();
  return bytes;
}

// Also tells the methods apart, whose messages may have the same bytes.
std::string Hashed(const google::protobuf::Message& message) {
  return Bytes(ids::HashOf(absl::StrCat(message.GetTypeName(), "\n", Canonical(message))));
}

template <class Request>
absl::StatusOr<std::optional<db::RequestKey>> Keyed(const core::Connections::Entry& connection,
                                                    const Request& request) {
  if (request.request_id().empty()) return std::nullopt;
  TRY(db::RequestKey key, AnyKeyOf(connection, request.request_id()));
  Request content = request;
  content.clear_request_id();
  content.clear_labels();
  content.clear_retry();
  key.content = Hashed(content);
  key.commits = request.transaction().commit();
  return key;
}

}  // namespace

absl::StatusOr<db::RequestKey> AnyKeyOf(const core::Connections::Entry& connection,
                                        absl::string_view request_id) {
  TRY(std::string id, ParseUuid(request_id));
  return KeyOfId(connection, std::move(id));
}

db::RequestKey KeyOfId(const core::Connections::Entry& connection, std::string id) {
  db::RequestKey key;
  key.id = std::move(id);
  // A handle stays with its connection, whatever becomes of the server.
  key.scope =
      Bytes(ids::HashOf(absl::StrCat("connection\n", connection.handle))).substr(0, kScopeBytes);
  return key;
}

absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::QueryRequest& request) {
  return Keyed(connection, request);
}

absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::StreamQueryRequest& request) {
  return Keyed(connection, request);
}

absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::ExecuteBatchRequest& request) {
  return Keyed(connection, request);
}

absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::BulkInsertRequest& request) {
  if (request.request_id().empty()) return std::nullopt;
  TRY(db::RequestKey key, AnyKeyOf(connection, request.request_id()));
  return key;
}

absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::CommitTransactionRequest& request) {
  if (request.request_id().empty()) return std::nullopt;
  TRY(db::RequestKey key, AnyKeyOf(connection, request.request_id()));
  pb::CommitTransactionRequest content;
  content.set_transaction_id(request.transaction_id());
  key.content = Hashed(content);
  return key;
}

std::string ContentOf(absl::string_view before, const pb::BulkInsertRequest& part) {
  if (part.labels().empty()) return Bytes(ids::HashOf(absl::StrCat(before, Hashed(part))));
  pb::BulkInsertRequest content = part;
  content.clear_labels();
  return Bytes(ids::HashOf(absl::StrCat(before, Hashed(content))));
}

}  // namespace sluice::services
