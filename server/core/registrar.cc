#include "server/core/registrar.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"

namespace sluice::core {
namespace {

// How long transactions that were ended may take to be gone.
constexpr absl::Duration kEndOfTransactions = absl::Seconds(1);

constexpr absl::string_view kMemory = ":memory:";

// `path` beneath the root, written one way; the driver judges it.
std::string Beneath(const std::string& root, const std::string& path) {
  std::string whole = path.front() == '/' ? "" : root;
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part != ".") absl::StrAppend(&whole, "/", part);
  }
  return whole;
}

}  // namespace

db::Target PostgresTarget(const DatabaseUrl& url) {
  db::Target target;
  target.engine = db::EngineKind::kPostgresql;
  target.options = url.options;
  target.hosts = url.hosts;
  target.database = url.database;
  target.user = url.user;
  target.password = url.password;
  return target;
}

std::string ShowTarget(const db::Target& target) {
  if (target.engine == db::EngineKind::kSqlite) return target.path;
  return absl::StrCat(JoinHosts(target.hosts), "/", target.database);
}

bool IsKept(const db::Target& target) {
  return target.engine == db::EngineKind::kSqlite && target.path != kMemory;
}

db::Target Registrar::TargetOf(const Request& request) const {
  db::Target target;
  if (request.url.scheme != "sqlite") {
    target = PostgresTarget(request.url);
    target.egress = options_.egress;
    return target;
  }
  target.engine = db::EngineKind::kSqlite;
  target.options = {{"foreign_keys", request.url.foreign_keys ? "on" : "off"},
                    {"readonly", request.url.read_only ? "on" : "off"}};
  if (request.url.in_memory) {
    target.path = std::string(kMemory);
    return target;
  }
  target.path = Beneath(options_.sqlite_root, request.url.path);
  target.root = options_.sqlite_root;
  target.must_exist = request.must_exist;
  return target;
}

Task<absl::StatusOr<Registrar::Registered>> Registrar::Register(const Context& ctx,
                                                                Request request) {
  Registered registered;
  registered.id = ids::NewConnectionId();
  Connections::Entry entry;
  entry.where = TargetOf(request);
  entry.key = ids::HashOf(registered.id);
  entry.handle = ids::Handle(entry.key);
  entry.name = request.name.empty() ? entry.handle : request.name;
  entry.target = ShowTarget(entry.where);
  entry.engine = entry.where.engine;
  entry.read_only = request.read_only || request.url.read_only;
  entry.created = clock_.Now();

  CO_TRY(const Connections::Place place,
         connections_.Reserve(entry.name, options_.max_connections));
  CO_TRY(const Connections::Opened opened, co_await connections_.OpenTarget(entry.where));
  if (request.keep_requests) {
    if (entry.read_only) co_return errors::ReadOnlyViolation("the connection is read-only");
    CO_CHECK(co_await opened.database->KeepRequests(ctx));
  }
  if (IsKept(entry.where)) {
    CO_CHECK(co_await Keep(ctx, entry));
  }
  entry.database = opened.database;
  const std::string name = entry.name;
  log::Info("connections", "registered", {{"handle", entry.handle}, {"name", name}});
  CO_CHECK(connections_.Add(std::move(entry)));
  CO_TRY(registered.entry, connections_.Find(ctx, registered.id));
  options_.opened(name);
  co_return registered;
}

Task<absl::Status> Registrar::Keep(const Context& ctx, const Connections::Entry& entry) {
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kNo);
  Registry::Row row;
  row.key = entry.key;
  row.handle = entry.handle;
  row.name = entry.name;
  row.engine = entry.engine;
  row.target = entry.target;
  row.options = entry.where.options;
  row.read_only = entry.read_only;
  row.created = entry.created;
  CO_CHECK(co_await registry_.Insert(row));
  if (!ctx.stop.stop_requested()) co_return absl::OkStatus();
  // Nobody will learn the id, so nobody could ever use or close it.
  CO_CHECK(co_await registry_.Erase(row.key));
  co_return ctx.Stopped(errors::Executed::kRolledBack);
}

Task<absl::StatusOr<Registrar::Closed>> Registrar::Close(const Context& ctx,
                                                         std::string id,
                                                         absl::Duration drain) {
  if (id == kDefaultConnection) co_return errors::ConnectionPermanent();
  CO_TRY(Connections::EntryPtr entry, connections_.Find(ctx, id));
  const ids::Hash key = entry->key;
  const std::string name = entry->name;
  if (IsKept(entry->where)) {
    CO_CHECK(co_await registry_.Erase(key));
  }
  CO_TRY(const Connections::Removed rest, connections_.Remove(key));
  options_.closed(name);
  log::Info("connections", "closed", {{"handle", entry->handle}, {"name", name}});
  entry.reset();

  Closed closed{.drained = !rest.opening, .database_closed = !rest.opening};
  if (rest.drained == nullptr) co_return closed;  // it never was open
  closed.drained = co_await rest.drained->Within(ctx, drain);
  // Transactions that did not end in that time. Those of a call that ended first have their leases.
  if (!closed.drained && !ctx.stop.stop_requested()) {
    options_.end(key);
    closed.drained = co_await rest.drained->Within(ctx, kEndOfTransactions);
  }
  closed.database_closed = closed.drained && rest.use.expired();
  if (closed.database_closed) {
    closed.database_closed = co_await rest.closed->Within(ctx, absl::InfiniteDuration());
  }
  co_return closed;
}

Task<absl::Status> Registrar::Restore() {
  CO_TRY(std::vector<Registry::Row> rows, co_await registry_.Load());
  for (Registry::Row& row : rows) {
    Connections::Entry entry;
    entry.key = row.key;
    entry.handle = std::move(row.handle);
    entry.name = std::move(row.name);
    entry.engine = row.engine;
    entry.read_only = row.read_only;
    entry.created = row.created;
    entry.where.engine = row.engine;
    entry.where.path = row.target;
    entry.where.options = std::move(row.options);
    entry.where.root = options_.sqlite_root;
    entry.where.must_exist = true;  // it was there; an empty file in its place would hide a loss
    entry.target = std::move(row.target);
    CO_CHECK(connections_.Add(std::move(entry)));
  }
  co_return absl::OkStatus();
}

}  // namespace sluice::core
