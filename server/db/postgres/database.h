// Database: one PostgreSQL target, with its pool, its lanes and all that runs on them.
#ifndef SLUICE_SERVER_DB_POSTGRES_DATABASE_H_
#define SLUICE_SERVER_DB_POSTGRES_DATABASE_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/driver.h"
#include "server/db/postgres/backend.h"
#include "server/db/postgres/catalog.h"
#include "server/db/postgres/egress.h"
#include "server/db/postgres/running_requests.h"
#include "server/db/postgres/target.h"

namespace sluice::postgres {

// Any executor: everything is handed to the reactor.
class Database final : public db::Database, public std::enable_shared_from_this<Database> {
 public:
  Database(ConnectTarget target, const Egress& egress, const db::PostgresSettings& settings);
  ~Database() override;

  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Makes a first connection, and learns whom it leads to.
  Task<absl::Status> Opened(const Context& ctx);

  Task<absl::StatusOr<db::Rows>> Execute(const Context& ctx, db::Statement statement) override;
  Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Open(const Context& ctx,
                                                         db::Statement statement) override;
  Task<absl::StatusOr<db::BatchResults>> ExecuteBatch(const Context& ctx,
                                                      const db::Batch& batch) override;
  Task<absl::StatusOr<std::unique_ptr<db::Load>>> OpenLoad(const Context& ctx,
                                                           db::LoadTarget target) override;
  absl::StatusOr<std::unique_ptr<db::Transaction>> Begin(db::TransactionOptions options) override;
  Task<absl::StatusOr<std::optional<db::BatchResults>>> Recall(const Context& ctx,
                                                               const db::RequestKey& key) override;
  Task<absl::StatusOr<db::Outcome>> OutcomeOf(const Context& ctx,
                                              std::string token,
                                              std::string scope) override;
  Task<absl::Status> KeepRequests(const Context& ctx) override;
  Task<absl::StatusOr<db::DatabaseInfo>> Inspect(const Context& ctx) override;
  Task<absl::StatusOr<std::unique_ptr<db::Snapshot>>> Copy(const Context& ctx) override;

  db::Catalog& catalog() override { return catalog_; }

  db::DatabaseLoad Load() const override;
  Task<absl::StatusOr<std::optional<db::PoolStats>>> InspectPool(const Context& ctx) override;
  void Close() override;

 private:
  absl::Status Usable(const Context& ctx) const;
  absl::Status CheckSessionOf(const db::SessionOptionsPtr& session) const;

  const std::vector<std::string> session_settings_;
  const absl::Duration open_limit_;
  const db::PostgresSettings settings_;  // with what the target says otherwise
  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<RunningRequests> requests_ = std::make_shared<RunningRequests>();
  Catalog catalog_{*backend_, session_settings_};
  std::atomic<bool> closing_{false};
  Mutex close_mu_;  // held by the one that closes
  bool closed_ ABSL_GUARDED_BY(close_mu_) = false;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_DATABASE_H_
