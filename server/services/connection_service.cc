#include "server/services/connection_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/url.h"
#include "server/base/utf8.h"
#include "server/db/database.h"
#include "server/services/engine.h"
#include "server/services/page_token.h"
#include "server/services/protobuf_time.h"

namespace sluice::services {
namespace {

constexpr size_t kMostNameLetters = 64;
constexpr int kMostPort = 65535;
constexpr absl::Duration kDefaultDrainTimeout = absl::Seconds(10);
constexpr absl::Duration kMostDrainTimeout = absl::Seconds(60);
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

bool HasControlCharacter(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

bool CanBeShown(const std::string& text) {
  return IsValidUtf8(text) && !HasControlCharacter(text);
}

// What is wrong with a URL is said without repeating it: it may hold a password.
absl::StatusOr<DatabaseUrl> UrlOf(const std::string& text) {
  if (text.empty()) return errors::ParameterInvalid("url", "is empty; write sqlite:///name.db");
  absl::StatusOr<DatabaseUrl> url = ParseDatabaseUrl(text);
  if (!url.ok() && !absl::IsInvalidArgument(url.status())) {
    return errors::ParameterInvalid("url",
                                    absl::StrCat("cannot be used: ", url.status().message()));
  }
  if (url.ok() && (!CanBeShown(url->path) || !CanBeShown(url->database))) {
    return errors::ParameterInvalid("url", "has a path with characters that cannot be shown");
  }
  return url;
}

// The same from its parts.
absl::StatusOr<DatabaseUrl> UrlOf(const pb::PostgresTarget& target) {
  DatabaseUrl url;
  url.scheme = "postgresql";
  if (target.hosts().empty()) {
    return errors::ParameterInvalid("postgres.hosts", "is empty; name one host at least");
  }
  for (const pb::PostgresHost& host : target.hosts()) {
    DatabaseHost& next = url.hosts.emplace_back();
    next.name = host.host();
    if (host.port() != 0) next.port = host.port();
    if (next.name.empty())
      return errors::ParameterInvalid("postgres.hosts", "has one without name");
    if (next.port < 1 || next.port > kMostPort) {
      return errors::ParameterInvalid("postgres.hosts", "has a port that is not from 1 to 65535");
    }
  }
  if (HasControlCharacter(target.database())) {
    return errors::ParameterInvalid("postgres.database", "has characters that cannot be shown");
  }
  url.database = target.database();
  url.user = target.user();
  url.password = target.password();
  url.options.insert(target.options().begin(), target.options().end());
  return url;
}

absl::StatusOr<DatabaseUrl> TargetOf(const pb::RegisterConnectionRequest& request) {
  if (!request.has_postgres()) return UrlOf(request.url());
  if (request.url().empty()) return UrlOf(request.postgres());
  return errors::ParameterInvalid("postgres", "is set beside url; set one of them");
}

// Empty is allowed: the handle stands in.
absl::Status CheckName(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  });
  if (plain && name.size() <= kMostNameLetters) return absl::OkStatus();
  return errors::ParameterInvalid("name", "has 1 to 64 letters, digits, `_`, `-` and `.`");
}

absl::StatusOr<absl::Duration> DrainTimeoutOf(const pb::CloseConnectionRequest& request) {
  if (!request.has_drain_timeout()) return kDefaultDrainTimeout;
  const absl::Duration timeout = DurationOf(request.drain_timeout());
  if (timeout < absl::ZeroDuration() || timeout > kMostDrainTimeout) {
    return errors::ParameterInvalid("drain_timeout", "is not between 0 and 60 s");
  }
  return timeout;
}

using Entries = std::vector<core::Connections::EntryPtr>;

// The first entry that was not shown yet.
absl::StatusOr<Entries::const_iterator> StartOf(const Entries& entries,
                                                const PageTokens& tokens,
                                                const std::string& page_token) {
  if (page_token.empty()) return entries.begin();
  TRY(const auto last_shown, tokens.Read(kListName, page_token, 2));
  return std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
    return core::ListedBefore(last_shown[0], last_shown[1], *entry);
  });
}

}  // namespace

Task<absl::StatusOr<pb::RegisterConnectionResponse>> ConnectionService::RegisterConnection(
    const Context& ctx, const pb::RegisterConnectionRequest& request) {
  core::Registrar::Request wanted;
  CO_TRY(wanted.url, TargetOf(request));
  CO_CHECK(CheckName(request.name()));
  wanted.name = request.name();
  wanted.read_only = request.read_only();
  wanted.must_exist = request.must_exist();
  wanted.keep_requests = request.keep_requests();
  CO_TRY(const auto registered, co_await registrar_.Register(ctx, std::move(wanted)));

  pb::RegisterConnectionResponse response;
  response.set_connection_id(registered.id);
  response.set_handle(registered.entry->handle);
  response.set_persistent(core::IsKept(registered.entry->where));
  Show(*registered.entry, *response.mutable_connection());
  co_return response;
}

Task<absl::StatusOr<pb::KeepRequestsResponse>> ConnectionService::KeepRequests(
    const Context& ctx, const pb::KeepRequestsRequest& request) {
  CO_TRY(const auto entry, co_await connections_.Open(ctx, request.connection_id()));
  if (entry->read_only) co_return errors::ReadOnlyViolation("the connection is read-only");
  CO_CHECK(co_await entry->database->KeepRequests(ctx));
  co_return pb::KeepRequestsResponse();
}

Task<absl::StatusOr<pb::CloseConnectionResponse>> ConnectionService::CloseConnection(
    const Context& ctx, const pb::CloseConnectionRequest& request) {
  CO_TRY(const absl::Duration drain, DrainTimeoutOf(request));
  CO_TRY(const auto closed, co_await registrar_.Close(ctx, request.connection_id(), drain));
  pb::CloseConnectionResponse response;
  response.set_drained(closed.drained);
  response.set_database_closed(closed.database_closed);
  co_return response;
}

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
  CO_TRY(auto next, StartOf(entries, tokens_, request.page_token()));

  pb::ListConnectionsResponse response;
  response.mutable_page()->set_total_size(static_cast<int64_t>(entries.size()));
  const auto end = entries.end() - next > static_cast<ptrdiff_t>(page_size)
                       ? next + static_cast<ptrdiff_t>(page_size)
                       : entries.end();
  for (; next != end; ++next) Show(**next, *response.add_connections());
  if (end != entries.end()) {
    const core::Connections::Entry& last = **(end - 1);
    response.mutable_page()->set_next_page_token(tokens_.Make(kListName, {last.name, last.handle}));
  }
  co_return response;
}

Task<absl::StatusOr<pb::TestConnectionResponse>> ConnectionService::TestConnection(
    const Context& ctx, const pb::TestConnectionRequest& request) {
  CO_TRY(const auto entry, co_await connections_.Open(ctx, request.connection_id()));
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
