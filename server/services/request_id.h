// Request ids: what a repeated request is recognised by.
#ifndef SLUICE_SERVER_SERVICES_REQUEST_ID_H_
#define SLUICE_SERVER_SERVICES_REQUEST_ID_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

#include "server/core/connections.h"
#include "server/db/request_key.h"
#include "sluice/v1/query.pb.h"
#include "sluice/v1/transaction.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// The key of a request, nothing if it has no request_id. Its content is the request without what
// may differ between two sendings of one: request_id, labels, retry. Error: PARAMETER_INVALID.
absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::QueryRequest& request);
absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::StreamQueryRequest& request);
absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::ExecuteBatchRequest& request);
// The first message of a load, whose content comes later: the key has none.
absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::BulkInsertRequest& request);

absl::StatusOr<std::optional<db::RequestKey>> RequestKeyOf(
    const core::Connections::Entry& connection, const pb::CommitTransactionRequest& request);

// The key of whatever had this id: it has no content. Error: PARAMETER_INVALID.
absl::StatusOr<db::RequestKey> AnyKeyOf(const core::Connections::Entry& connection,
                                        absl::string_view request_id);
// The same, where the id is in the form in which keys have it.
db::RequestKey KeyOfId(const core::Connections::Entry& connection, std::string id);

// Hash of a part of a load, given that of what came before it; the first part has its header.
std::string ContentOf(absl::string_view before, const pb::BulkInsertRequest& part);

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_REQUEST_ID_H_
