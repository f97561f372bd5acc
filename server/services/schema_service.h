// SchemaService: what a database consists of.
#ifndef SLUICE_SERVER_SERVICES_SCHEMA_SERVICE_H_
#define SLUICE_SERVER_SERVICES_SCHEMA_SERVICE_H_

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/core/connections.h"
#include "server/services/page_token.h"
#include "sluice/v1/schema.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class SchemaService {
 public:
  SchemaService(core::Connections& connections, const PageTokens& page_tokens)
      : connections_(connections), page_tokens_(page_tokens) {}

  Task<absl::StatusOr<pb::ListSchemasResponse>> ListSchemas(const Context& ctx,
                                                            const pb::ListSchemasRequest& request);

  Task<absl::StatusOr<pb::ListTablesResponse>> ListTables(const Context& ctx,
                                                          const pb::ListTablesRequest& request);

  Task<absl::StatusOr<pb::DescribeTableResponse>> DescribeTable(
      const Context& ctx, const pb::DescribeTableRequest& request);

 private:
  core::Connections& connections_;
  const PageTokens& page_tokens_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_SCHEMA_SERVICE_H_
