// Link: a connection that statements may be sent on, and how their ends are waited for.
#ifndef SLUICE_SERVER_DB_POSTGRES_LINK_H_
#define SLUICE_SERVER_DB_POSTGRES_LINK_H_

#include <memory>

#include "server/async/task.h"
#include "server/db/postgres/caller.h"
#include "server/db/postgres/connection.h"

namespace sluice::postgres {

class Link {
 public:
  virtual Connection& connection() const = 0;

  // Waits for the end of a trip. A stopped caller is let go before it, sooner or later.
  virtual Task<Trip::End> Await(std::shared_ptr<Trip> trip, Caller& caller) = 0;

 protected:
  ~Link() = default;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_LINK_H_
