// InteractService: a conversation in which a transaction lives no longer than its stream. Part of
// TransactionService.
#ifndef SLUICE_SERVER_SERVICES_INTERACT_SERVICE_H_
#define SLUICE_SERVER_SERVICES_INTERACT_SERVICE_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/reply.h"
#include "server/async/stream.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/services/batch_service.h"
#include "server/services/query_service.h"
#include "server/services/venue.h"
#include "sluice/v1/transaction.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class InteractService {
 public:
  // `command_timeout`: longest time of one request. `idle`: how long a client may send nothing
  // while it has no transaction.
  InteractService(const Venues& venues,
                  QueryService& query,
                  BatchService& batch,
                  absl::Duration command_timeout,
                  absl::Duration idle,
                  const Clock& clock)
      : venues_(venues),
        query_(query),
        batch_(batch),
        command_timeout_(command_timeout),
        idle_(idle),
        clock_(clock) {}

  Task<absl::Status> Interact(const Context& ctx,
                              Source<pb::InteractRequest>& requests,
                              Sink<Reply<pb::InteractResponse>>& responses);

 private:
  class Conversation;

  const Venues& venues_;
  QueryService& query_;
  BatchService& batch_;
  const absl::Duration command_timeout_;
  const absl::Duration idle_;
  const Clock& clock_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_INTERACT_SERVICE_H_
