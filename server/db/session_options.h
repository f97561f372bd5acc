// SessionOptions: settings of a session for the length of a request or a transaction.
#ifndef SLUICE_SERVER_DB_SESSION_OPTIONS_H_
#define SLUICE_SERVER_DB_SESSION_OPTIONS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sluice::db {

// An engine says itself which of them it takes; those without sessions are given none.
struct SessionOptions {
  SessionOptions() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  std::vector<std::string> search_path;  // names of schemas, unquoted; empty: as it is
  std::string time_zone;                 // empty: as it is
  std::string role;                      // empty: the connection's user
  std::map<std::string, std::string> settings;
};

using SessionOptionsPtr = std::shared_ptr<const SessionOptions>;

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_SESSION_OPTIONS_H_
