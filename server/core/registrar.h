// Registrar: how connections come and go while the server runs.
#ifndef SLUICE_SERVER_CORE_REGISTRAR_H_
#define SLUICE_SERVER_CORE_REGISTRAR_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/base/ids.h"
#include "server/base/url.h"
#include "server/core/connections.h"
#include "server/core/registry.h"
#include "server/db/driver.h"

namespace sluice::core {

// The target of a postgresql:// URL, as a caller's.
db::Target PostgresTarget(const DatabaseUrl& url);

// Where it leads, without user, password or options: a path, or hosts with ports and the database.
std::string ShowTarget(const db::Target& target);

// A connection to it comes back after a restart: nothing of it is secret, and it is not private.
bool IsKept(const db::Target& target);

struct RegistrarOptions {
  std::string sqlite_root;  // absolute: beneath it are all files that callers may name
  db::Egress egress;        // where targets of callers may lead
  int64_t max_connections = 100;
  // Told the name of a connection that came or went; any executor.
  std::function<void(absl::string_view name)> opened = [](absl::string_view) {};
  std::function<void(absl::string_view name)> closed = [](absl::string_view) {};
  // Ends what is still open on a connection that was closed: its transactions.
  std::function<void(const ids::Hash& key)> end = [](const ids::Hash&) {};
};

// Keeps the registry, the connections and the databases in step: what a caller was told is on disk,
// but for what no registry may hold, which is in memory only: targets with passwords.
// Owned by the app, which outlives every call; constant, so any executor.
class Registrar {
 public:
  Registrar(Connections& connections,
            Registry& registry,
            RegistrarOptions options,
            const Clock& clock)
      : connections_(connections),
        registry_(registry),
        options_(std::move(options)),
        clock_(clock) {}

  // What a caller asks for.
  struct Request {
    DatabaseUrl url;
    std::string name;  // empty: the handle
    bool read_only = false;
    bool must_exist = false;
    bool keep_requests = false;  // make it able to keep the answers of requests with an id
  };

  struct Registered {
    std::string id;  // the only time that it is shown
    Connections::EntryPtr entry;
  };

  // Opens a database and answers the new connection to it. Errors: CONNECTION_EXISTS,
  // CONNECTION_LIMIT, CONNECTION_INVALID_TARGET, and what opening it brought.
  Task<absl::StatusOr<Registered>> Register(const Context& ctx, Request request);

  struct Closed {
    bool drained = false;          // no call has the connection any more
    bool database_closed = false;  // nor has anyone else its database
  };

  // Errors: PARAMETER_INVALID (no id), CONNECTION_NOT_FOUND, CONNECTION_PERMANENT.
  Task<absl::StatusOr<Closed>> Close(const Context& ctx, std::string id, absl::Duration drain);

  // Adds what the registry holds, unopened. Once, at the start.
  Task<absl::Status> Restore();

 private:
  db::Target TargetOf(const Request& request) const;
  Task<absl::Status> Keep(const Context& ctx, const Connections::Entry& entry);

  Connections& connections_;
  Registry& registry_;
  const RegistrarOptions options_;
  const Clock& clock_;
};

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_REGISTRAR_H_
