// Database URLs: sqlite:///file and postgresql://user:password@host/database, and the forms that
// ORMs write. Parsed once, at the start or on registration; afterwards only the parts travel.
#ifndef SLUICE_SERVER_BASE_URL_H_
#define SLUICE_SERVER_BASE_URL_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

// DatabaseHost: where a server listens.
struct DatabaseHost {
  std::string name;  // or an address, without brackets; or the folder of a Unix socket
  int port = 5432;

  bool operator==(const DatabaseHost&) const = default;
};

// DatabaseUrl: where a database is and how to log in. Holds the password, so it never goes into a
// log, an answer or a message; Redacted() does.
struct DatabaseUrl {
  std::string scheme;  // "sqlite" or "postgresql", whatever spelling was given

  // sqlite
  std::string path;          // as given: absolute, or relative to wherever the opener decides
  bool in_memory = false;    // then there is no path
  bool foreign_keys = true;  // ?foreign_keys=on|off
  bool read_only = false;    // ?readonly=on|off

  // postgresql
  std::vector<DatabaseHost> hosts;  // tried in this order; one at least
  std::string database;
  std::string user;
  std::string password;
  std::map<std::string, std::string> options;  // decoded, not judged: the driver has the list

  bool operator==(const DatabaseUrl&) const = default;

  // The URL in one spelling, with *** for the password and for options that may hold a secret.
  std::string Redacted() const;
};

// Understands
//   sqlite:///relative  sqlite:////absolute  sqlite://  sqlite::memory:  sqlite:///:memory:
//   postgresql://user:password@host:port/database?option=value  postgres://…
//   postgresql://host:port,[::1]:port/database  postgresql://%2Frun%2Fpostgresql/database
// and `+aiosqlite`, `+pysqlite`, `+asyncpg`, `+psycopg`, `+psycopg2` after the scheme, which are
// ignored. Paths, names and values may be percent-encoded. Port 5432 unless given. The options
// host, port, user, password and dbname stand for what the URL has elsewhere, and are no options
// then. A failure is CONNECTION_INVALID_TARGET and repeats nothing of the URL but the name of its
// scheme or of an option.
absl::StatusOr<DatabaseUrl> ParseDatabaseUrl(absl::string_view url);

// As a URL has them: `h1:5432,[::1]:5433`.
std::string JoinHosts(const std::vector<DatabaseHost>& hosts);

// `text` with everything percent-encoded that is not a letter, a digit or one of -._~ and `keep`.
std::string PercentEncode(absl::string_view text, absl::string_view keep = "");

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_URL_H_
