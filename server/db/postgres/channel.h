// Channel: the bytes of a session that libpq has opened, in the clear or through its TLS.
#ifndef SLUICE_SERVER_DB_POSTGRES_CHANNEL_H_
#define SLUICE_SERVER_DB_POSTGRES_CHANNEL_H_

#include <cstddef>

#include <sys/types.h>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

struct pg_conn;
struct ssl_st;

namespace sluice::postgres {

// Borrows the session, whose socket must not block. libpq reads and writes nothing of it any more,
// until it closes it.
class Channel {
 public:
  explicit Channel(pg_conn* connection);

  // Bytes that were received, or taken to be sent; 0: none can be just now; -1: never again.
  ssize_t Receive(absl::Span<char> into);
  ssize_t Send(absl::string_view bytes);

  // There may be more to receive that the socket does not tell of.
  bool Pending() const;

 private:
  const int socket_;
  ssl_st* const tls_;  // null in the clear
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_CHANNEL_H_
