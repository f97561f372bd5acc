// BackupService: a copy of a whole database. Part of ConnectionService.
#ifndef SLUICE_SERVER_SERVICES_BACKUP_SERVICE_H_
#define SLUICE_SERVER_SERVICES_BACKUP_SERVICE_H_

#include "absl/status/status.h"

#include "server/async/context.h"
#include "server/async/stream.h"
#include "server/async/task.h"
#include "server/core/connections.h"
#include "sluice/v1/connection.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class BackupService {
 public:
  explicit BackupService(core::Connections& connections) : connections_(connections) {}

  Task<absl::Status> Backup(const Context& ctx,
                            const pb::BackupRequest& request,
                            Sink<pb::BackupResponse>& sink);

 private:
  core::Connections& connections_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_BACKUP_SERVICE_H_
