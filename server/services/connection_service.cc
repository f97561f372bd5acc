#include "server/services/connection_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/database.h"
#include "server/services/engine.h"
#include "server/services/page_token.h"
#include "server/services/protobuf_time.h"

namespace sluice::services {
namespace {

constexpr size_t kDefaultPageSize = 50;
constexpr size_t kMaxPageSize = 500;
constexpr absl::string_view kListName = "connections";

// As others may see it: without its id, which is what opens it.
void Show(const core::Connections::Entry& entry, pb::Connection& connection) {
  connection.set_handle(entry.handle);
  connection.set_name(entry.name);
  connection.set_engine(EngineOf(entry.engine));
  connection.set_target(entry.target);
  connection.set_read_only(entry.read_only);
  SetTimestamp(entry.created, *connection.mutable_create_time());
}

absl::StatusOr<size_t> PageSizeOf(int32_t requested) {
  if (requested < 0) {
    return errors::ParameterInvalid("page_size", "is negative; 0 is the default");
  }
  if (requested == 0) return kDefaultPageSize;
  return std::min(static_cast<size_t>(requested), kMaxPageSize);
}

using Entries = std::vector<core::Connections::EntryPtr>;

// The first entry that was not shown yet.
absl::StatusOr<Entries::const_iterator> StartOf(const Entries& entries,
                                                const std::string& page_token) {
  if (page_token.empty()) return entries.begin();
  TRY(const auto last_shown, ReadPageToken(kListName, page_token, 2));
  return std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
    return core::ListedBefore(last_shown[0], last_shown[1], *entry);
  });
}

}  // namespace

Task<absl::StatusOr<pb::GetConnectionResponse>> ConnectionService::GetConnection(
    const Context& ctx, const pb::GetConnectionRequest& request) {
  CO_TRY(const auto entry, connections_.Find(ctx, request.connection_id()));
  pb::GetConnectionResponse response;
  Show(*entry, *response.mutable_connection());
  co_return response;
}

Task<absl::StatusOr<pb::ListConnectionsResponse>> ConnectionService::ListConnections(
    const Context& /*ctx*/, const pb::ListConnectionsRequest& request) {
  CO_TRY(const size_t page_size, PageSizeOf(request.page_size()));
  const Entries entries = connections_.List();
  CO_TRY(auto next, StartOf(entries, request.page_token()));

  pb::ListConnectionsResponse response;
  response.mutable_page()->set_total_size(static_cast<int64_t>(entries.size()));
  const auto end = entries.end() - next > static_cast<ptrdiff_t>(page_size)
                       ? next + static_cast<ptrdiff_t>(page_size)
                       : entries.end();
  for (; next != end; ++next) Show(**next, *response.add_connections());
  if (end != entries.end()) {
    const core::Connections::Entry& last = **(end - 1);
    response.mutable_page()->set_next_page_token(
        MakePageToken(kListName, {last.name, last.handle}));
  }
  co_return response;
}

Task<absl::StatusOr<pb::TestConnectionResponse>> ConnectionService::TestConnection(
    const Context& ctx, const pb::TestConnectionRequest& request) {
  CO_TRY(const auto entry, connections_.Find(ctx, request.connection_id()));
  const absl::Duration asked = clock_.Steady();
  CO_TRY(db::DatabaseInfo info, co_await entry->database->Inspect(ctx));
  pb::TestConnectionResponse response;
  SetDuration(clock_.Steady() - asked, *response.mutable_response_time());
  response.set_engine(EngineOf(entry->engine));
  response.set_server_version(std::move(info.server_version));
  response.set_database_name(std::move(info.database_name));
  response.set_size_bytes(info.size_bytes);
  co_return response;
}

}  // namespace sluice::services
