// Lanes: the few connections that short statements of everybody share, one behind the other.
#ifndef SLUICE_SERVER_DB_POSTGRES_LANES_H_
#define SLUICE_SERVER_DB_POSTGRES_LANES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/async/task.h"
#include "server/db/postgres/caller.h"
#include "server/db/postgres/link.h"
#include "server/db/postgres/plan.h"
#include "server/db/postgres/pool.h"
#include "server/db/postgres/runner.h"
#include "server/db/postgres/wait_list.h"
#include "server/db/rows.h"
#include "server/db/statement.h"

namespace sluice::postgres {

// A statement on a lane has a Sync of its own, so that its failure is nobody else's, and an
// allowance: the server ends what takes longer, and it is run again on a connection of its own. Who
// cannot be let in runs there at once.
//
// Let in is what leaves nothing behind in the session by its verb and text, and is not known to be
// slow; of what is not known at all, one at a time on each lane. The reactor's thread only.
class Lanes {
 public:
  struct Options {
    int count = 2;
    absl::Duration allowance = absl::Milliseconds(250);
  };

  Lanes(Reactor& reactor, Pool& pool, Runner& runner, const Options& options);
  ~Lanes();

  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  // The statement's answer; nothing: it is to run on a connection of its own, and nothing remains
  // of what was tried here.
  Task<std::optional<absl::StatusOr<db::Rows>>> TryExecute(Caller& caller,
                                                           const db::Statement& statement,
                                                           std::shared_ptr<Plan> plan);

  // Closes them; what is under way ends as lost.
  void Close();

  // Nothing is under way any more.
  Task<void> Idle();

  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

 private:
  class Lane;
  class Seat;

  static void GiveVerdict(Plan& plan);
  // Waits for room on a lane. False: none can be had.
  Task<bool> Enter(Caller& caller, bool unknown, Seat& seat);
  void Leave(Seat& seat);
  void LeaveLater(Seat seat, std::shared_ptr<Plan> plan);
  Lane* Pick(bool unknown);
  // Whether too many of those that were not known turned out to be slow of late.
  bool TooManySlow();

  Reactor& reactor_;
  Pool& pool_;
  Runner& runner_;
  const Options options_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  WaitList queue_;  // for room
  WaitList idle_;
  bool closed_ = false;
  std::atomic<int64_t> in_flight_{0};
  absl::Duration second_;  // that the counts below are of
  int ran_ = 0;
  int overran_ = 0;
  bool cautious_ = false;  // in the second before, too many overran
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_LANES_H_
