// What the tests of the SQLite driver's core share: a folder of their own, and a connection to
// which they give SQL and from which they get a parsed reply.
#ifndef SLUICE_TESTS_DB_SQLITE_SESSION_H_
#define SLUICE_TESTS_DB_SQLITE_SESSION_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/db/sqlite/connection.h"
#include "sluice/v1/query.pb.h"

namespace sluice::sqlite {

// TemporaryFolder: an empty folder that goes, with all that is in it, when the test ends.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();

  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

  std::string File(absl::string_view name) const;

 private:
  std::string path_;
};

// TestSession: one connection.
class TestSession {
 public:
  // Fails the test if the database does not open.
  explicit TestSession(const ConnectionOptions& options);

  // All rows in one reply.
  absl::StatusOr<db::pb::QueryResponse> Execute(absl::string_view sql,
                                                const std::vector<db::pb::Value>& params = {},
                                                Watch* watch = nullptr);
  // Only whether it works.
  absl::Status Try(absl::string_view sql,
                   const std::vector<db::pb::Value>& params = {},
                   Watch* watch = nullptr);
  // The only value of the only row; a value without a kind if there is another number of them.
  db::pb::Value Value(absl::string_view sql, const std::vector<db::pb::Value>& params = {});

  Connection& operator*() { return *connection_; }

  Connection* operator->() { return connection_.get(); }

 private:
  std::unique_ptr<Connection> connection_;
};

// The writer of a new database, and a reader beside it.
ConnectionOptions Writer(const std::string& path);
ConnectionOptions Reader(const std::string& path);

db::pb::Value Null();
db::pb::Value Int(int64_t value);
db::pb::Value Real(double value);
db::pb::Value Text(absl::string_view value);
db::pb::Value Bytes(absl::string_view value);

}  // namespace sluice::sqlite

#endif  // SLUICE_TESTS_DB_SQLITE_SESSION_H_
