// Asking a database in one line: values in, parsed replies out, on a ManualExecutor.
#ifndef SLUICE_TESTS_SUPPORT_DATABASE_H_
#define SLUICE_TESTS_SUPPORT_DATABASE_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/db/database.h"
#include "server/db/driver.h"
#include "sluice/v1/query.pb.h"

namespace sluice::test {

namespace pb = ::sluice::v1;

pb::Value Null();
pb::Value Bool(bool value);
pb::Value Int(int64_t value);
pb::Value Real(double value);
pb::Value Text(absl::string_view value);
pb::Value Bytes(absl::string_view value);
db::Params MakeParams(std::initializer_list<pb::Value> values);

// Opens a SQLite file through the driver's table.
absl::StatusOr<std::shared_ptr<db::Database>> OpenSqlite(
    ManualExecutor& executor,
    absl::string_view path,
    const db::SqliteSettings& settings = {},
    std::map<std::string, std::string> options = {});

// Runs a statement and parses its reply.
absl::StatusOr<pb::QueryResponse> Execute(ManualExecutor& executor,
                                          db::Session& session,
                                          absl::string_view sql,
                                          std::initializer_list<pb::Value> params = {});
absl::StatusOr<pb::QueryResponse> Execute(ManualExecutor& executor,
                                          db::Session& session,
                                          const db::Statement& statement,
                                          const Context& ctx = {});
// The reply that rows make up, their facts included.
absl::StatusOr<pb::QueryResponse> Parse(absl::StatusOr<db::Rows> rows);

// Reads a cursor to its end: a message per chunk, the last with the closing facts.
absl::StatusOr<std::vector<pb::StreamQueryResponse>> ReadAll(ManualExecutor& executor,
                                                             db::Session& session,
                                                             const db::Statement& statement,
                                                             const Context& ctx = {});
pb::StreamQueryResponse ParseChunk(const db::Rows& rows);

// Pending: a statement on its way, started and not waited for. Lives until it is done.
class Pending {
 public:
  // Starts at once. `executor` has to run for it to go on.
  Pending(ManualExecutor& executor,
          db::Session& session,
          absl::string_view sql,
          Context ctx = {},
          std::initializer_list<pb::Value> params = {});

  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  bool done() const { return result_.has_value(); }

  // Runs the executor until it is done.
  absl::StatusOr<db::Rows>& Wait();

 private:
  Task<void> Run(db::Session& session);

  ManualExecutor& executor_;
  const std::string sql_;
  const Context ctx_;
  const db::Params params_;
  std::optional<absl::StatusOr<db::Rows>> result_;
};

// Runs the executor until the condition holds; fails the test after ten seconds without it.
bool RunUntil(ManualExecutor& executor, const std::function<bool()>& condition);

}  // namespace sluice::test

#endif  // SLUICE_TESTS_SUPPORT_DATABASE_H_
