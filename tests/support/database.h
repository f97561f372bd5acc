// Asking a database in one line: values in, parsed replies out, on a ManualExecutor.
#ifndef SLUICE_TESTS_SUPPORT_DATABASE_H_
#define SLUICE_TESTS_SUPPORT_DATABASE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/repeated_ptr_field.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/async/task.h"
#include "server/db/database.h"
#include "server/db/driver.h"
#include "sluice/v1/query.pb.h"
#include "tests/support/postgres.h"

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

// Opens a PostgreSQL database through the driver's table, as the operator's.
absl::StatusOr<std::shared_ptr<db::Database>> OpenPostgres(
    ManualExecutor& executor,
    const TestDatabase& where,
    const db::PostgresSettings& settings = {},
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

// BatchMaker: a batch and what it borrows from.
class BatchMaker {
 public:
  explicit BatchMaker(db::BatchMode mode = db::BatchMode::kAtomic) { batch.mode = mode; }

  BatchMaker(const BatchMaker&) = delete;
  BatchMaker& operator=(const BatchMaker&) = delete;

  // A step with one set of values.
  BatchMaker& Add(absl::string_view sql, std::initializer_list<pb::Value> params = {});
  // Another set for the step that was added last.
  BatchMaker& AddSet(std::initializer_list<pb::Value> params);

  db::Batch batch;

 private:
  std::deque<std::string> texts_;
  std::deque<db::Params> params_;
};

absl::StatusOr<db::BatchResults> Execute(ManualExecutor& executor,
                                         db::Session& session,
                                         const db::Batch& batch,
                                         const Context& ctx = {});

// Rows of a load, values in the order of its columns.
using LoadRows = google::protobuf::RepeatedPtrField<pb::Row>;
LoadRows MakeRows(std::initializer_list<std::initializer_list<pb::Value>> rows);

// Loads the chunks, up to the first error of the whole. The content of each is what came up to it.
absl::StatusOr<std::vector<db::ChunkOutcome>> LoadAll(ManualExecutor& executor,
                                                      db::Session& session,
                                                      const db::LoadTarget& target,
                                                      const std::vector<LoadRows>& chunks,
                                                      const Context& ctx = {});

// A key as services make it, of any id and content.
db::RequestKey MakeKey(absl::string_view id, absl::string_view content);

// Started: any task on its way, started and not waited for. Lives until it is done.
template <class T>
class Started {
 public:
  Started(ManualExecutor& executor, Task<T> task) : executor_(executor) {
    executor_.Start(Keep(std::move(task)));
  }

  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;

  bool done() const { return result_.has_value(); }

  // Runs the executor until it is done.
  T& Wait();

 private:
  Task<void> Keep(Task<T> task) {
    T result = co_await task;
    result_.emplace(std::move(result));
  }

  ManualExecutor& executor_;
  std::optional<T> result_;
};

// Pending: a statement on its way, started and not waited for. Lives until it is done.
class Pending {
 public:
  // Sets what else the statement asks for.
  using Amend = std::function<void(db::Statement&)>;

  // Starts at once. `executor` has to run for it to go on.
  Pending(ManualExecutor& executor,
          db::Session& session,
          absl::string_view sql,
          Context ctx = {},
          std::initializer_list<pb::Value> params = {},
          Amend amend = nullptr);

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
  const Amend amend_;
  std::optional<absl::StatusOr<db::Rows>> result_;
};

// Runs the executor until the condition holds; fails the test after ten seconds without it.
bool RunUntil(ManualExecutor& executor, const std::function<bool()>& condition);

template <class T>
T& Started<T>::Wait() {
  RunUntil(executor_, [&] { return done(); });
  if (!done()) result_.emplace(absl::InternalError("it was not answered in time"));
  return *result_;
}

}  // namespace sluice::test

#endif  // SLUICE_TESTS_SUPPORT_DATABASE_H_
