// Registry: the connections that outlive the server, on disk.
#ifndef SLUICE_SERVER_CORE_REGISTRY_H_
#define SLUICE_SERVER_CORE_REGISTRY_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/task.h"
#include "server/base/ids.h"
#include "server/db/database.h"
#include "server/db/driver.h"

namespace sluice::core {

// Owned by the app; any executor. A change is on disk when its task is done. Holds no id, only
// hashes of ids, and no secret of any target.
class Registry {
 public:
  // A connection as it is kept.
  struct Row {
    ids::Hash key{};
    std::string handle;
    std::string name;
    db::EngineKind engine = db::EngineKind::kSqlite;
    std::string target;  // without user, password or options
    std::map<std::string, std::string> options;
    bool read_only = false;
    absl::Time created;
  };

  // Brings the database's tables up to date. Error: FAILED_PRECONDITION if a newer server made
  // them.
  static Task<absl::StatusOr<std::unique_ptr<Registry>>> Open(
      std::shared_ptr<db::Database> database);

  Task<absl::StatusOr<std::vector<Row>>> Load();

  // Both take their time, whatever becomes of the caller: half a change helps nobody. Errors: what
  // the disk brought.
  Task<absl::Status> Insert(const Row& row);
  Task<absl::Status> Erase(const ids::Hash& key);

  // Signs page tokens; the same for ever.
  const std::string& page_token_key() const { return page_token_key_; }

  // Never on an executor with calls in flight.
  void Close() { database_->Close(); }

 private:
  explicit Registry(std::shared_ptr<db::Database> database) : database_(std::move(database)) {}

  Task<absl::Status> LoadPageTokenKey();

  const std::shared_ptr<db::Database> database_;
  std::string page_token_key_;  // set by Open
};

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_REGISTRY_H_
