#include "server/db/postgres/channel.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "server/db/postgres/libpq.h"

namespace sluice::postgres {
namespace {

bool Again(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

int Most(size_t size) {
  return static_cast<int>(std::min<size_t>(size, std::numeric_limits<int>::max()));
}

// What a call of OpenSSL's that came to nothing means.
ssize_t Ended(const SSL* tls, int result) {
  const int why = SSL_get_error(tls, result);
  return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

}  // namespace

Channel::Channel(pg_conn* connection)
    : socket_(pq.socket(connection)), tls_(static_cast<SSL*>(pq.sslStruct(connection, "OpenSSL"))) {
  // What could not be sent at once is sent from another place, with more behind it.
  if (tls_ != nullptr) {
    SSL_set_mode(tls_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }
}

ssize_t Channel::Receive(absl::Span<char> into) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    const int got = SSL_read(tls_, into.data(), Most(into.size()));
    return got > 0 ? got : Ended(tls_, got);
  }
  const ssize_t got = recv(socket_, into.data(), into.size(), 0);
  if (got > 0) return got;
  return got < 0 && Again(errno) ? 0 : -1;
}

ssize_t Channel::Send(absl::string_view bytes) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    const int sent = SSL_write(tls_, bytes.data(), Most(bytes.size()));
    return sent > 0 ? sent : Ended(tls_, sent);
  }
  const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent >= 0) return sent;
  return Again(errno) ? 0 : -1;
}

bool Channel::Pending() const {
  return tls_ != nullptr && SSL_pending(tls_) > 0;
}

}  // namespace sluice::postgres
