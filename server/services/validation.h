// Checks of requests that need no database: bounds, defaults, and fields that are not built yet.
// What depends on the SQL (parameters, what a statement is) is the driver's to check.
#ifndef SLUICE_SERVER_SERVICES_VALIDATION_H_
#define SLUICE_SERVER_SERVICES_VALIDATION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/db/batch.h"
#include "server/services/retry.h"
#include "sluice/v1/common.pb.h"
#include "sluice/v1/query.pb.h"
#include "sluice/v1/transaction.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

inline constexpr size_t kMaxSqlBytes = 1 << 20;
inline constexpr int kMaxExecutions = 10'000;
inline constexpr int kMaxLabels = 16;
inline constexpr size_t kMaxLabelKeyBytes = 64;
inline constexpr size_t kMaxLabelValueBytes = 256;
inline constexpr int kMaxAttempts = 10;
inline constexpr absl::Duration kMaxRetryDelay = absl::Seconds(60);
inline constexpr int64_t kMinChunkBytes = 4 << 10;

// Everything but the limits below. A Value may hold others `value_depth` deep; a plain one has
// depth 1.
absl::Status CheckRequest(const pb::QueryRequest& request, int value_depth);
absl::Status CheckRequest(const pb::StreamQueryRequest& request, int value_depth);
absl::Status CheckRequest(const pb::ExecuteBatchRequest& request, int value_depth);
absl::Status CheckRequest(const pb::BeginTransactionRequest& request);
absl::Status CheckRequest(const pb::DescribeRequest& request);
absl::Status CheckRequest(const pb::ExplainRequest& request, int value_depth);

// The messages of a load: the first one, the rows of any, which begin at `first_row` of the whole,
// and that a later one has only rows.
absl::Status CheckHeader(const pb::BulkInsertRequest& request);
absl::Status CheckRows(const pb::BulkInsertRequest& request, int64_t first_row, int value_depth);
absl::Status CheckNoHeader(const pb::BulkInsertRequest& request);

absl::StatusOr<db::BatchMode> BatchModeOf(pb::BatchMode mode);

// A limit that a request may set: 0 = `preset`, negative or above `most` is PARAMETER_INVALID.
absl::StatusOr<int64_t> LimitOf(absl::string_view field,
                                int64_t requested,
                                int64_t preset,
                                int64_t most);

// 0 or too large = `most`, too small is raised to kMinChunkBytes, negative is PARAMETER_INVALID.
absl::StatusOr<int64_t> ChunkBytesOf(int64_t requested, int64_t most);

absl::StatusOr<RetryPolicy> RetryPolicyOf(const pb::RetryOptions& options);

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_VALIDATION_H_
