// libpq's functions, as loaded when the first PostgreSQL target is opened: libpq brings Kerberos,
// LDAP and GnuTLS along, whose memory a process on SQLite alone does without.
#ifndef SLUICE_SERVER_DB_POSTGRES_LIBPQ_H_
#define SLUICE_SERVER_DB_POSTGRES_LIBPQ_H_

#include <libpq-fe.h>

namespace sluice::postgres {

// Each without its PQ.
// clang-format off
#define SLUICE_LIBPQ_FUNCTIONS(X)                                                               \
  X(cancel) X(connectPoll) X(connectStartParams) X(errorMessage) X(finish) X(freeCancel)        \
  X(getCancel) X(parameterStatus) X(setErrorVerbosity) X(setNoticeReceiver) X(setnonblocking)   \
  X(socket) X(sslStruct) X(status)

// clang-format on

struct Libpq {
#define SLUICE_LIBPQ_MEMBER(name) decltype(&PQ##name) name = nullptr;
  SLUICE_LIBPQ_FUNCTIONS(SLUICE_LIBPQ_MEMBER)
#undef SLUICE_LIBPQ_MEMBER
};

// Empty until LoadLibpq() has answered true.
extern Libpq pq;

// Loads it, once in a process. False: it cannot be found, or lacks a function. Any thread.
bool LoadLibpq();

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_LIBPQ_H_
