// PrivatePostgres: a PostgreSQL server of one test's own, to be stopped and killed at will. It goes
// with the test, also when the test crashes.
#ifndef SLUICE_TESTS_SUPPORT_PRIVATE_POSTGRES_H_
#define SLUICE_TESTS_SUPPORT_PRIVATE_POSTGRES_H_

#include <map>
#include <string>

#include <sys/types.h>

#include "absl/strings/string_view.h"

namespace sluice::test {

struct PrivatePostgresOptions {
  int max_connections = 200;
  bool fsync = false;    // on a disk, and survives a power cut, which is slower
  std::string password;  // asked for by scram-sha-256; empty: none is
  std::map<std::string, std::string> settings;  // more of postgresql.conf
};

// What a stop waits for, as with pg_ctl: its clients, its checkpoint, or nothing.
enum class PostgresStop { kSmart, kFast, kImmediate };

// Used by one thread. What goes wrong fails the test.
class PrivatePostgres {
 public:
  // Starts it; made after SLUICE_NEED_POSTGRES().
  explicit PrivatePostgres(const PrivatePostgresOptions& options = {});
  ~PrivatePostgres();

  PrivatePostgres(const PrivatePostgres&) = delete;
  PrivatePostgres& operator=(const PrivatePostgres&) = delete;

  // After Stop() or Kill(); the address stays.
  void Start();
  void Stop(PostgresStop mode = PostgresStop::kFast);
  // Kills every process of the server, as a crash of its machine would.
  void Kill();

  // Of the database named postgres, as the superuser, for libpq.
  const std::string& conninfo() const { return conninfo_; }

  int port() const { return port_; }

  // The folder of its Unix socket.
  const std::string& socket_folder() const { return folder_; }

  // The postmaster's; 0 while it is stopped.
  pid_t Pid() const { return pid_; }

 private:
  void Spawn(const PrivatePostgresOptions& options);
  void Ask(absl::string_view line);
  void ReadAnswer();

  int channel_ = -1;  // the standard input and output of the process that keeps the server
  pid_t keeper_ = 0;
  std::string unread_;

  std::string conninfo_;
  std::string folder_;
  int port_ = 0;
  pid_t pid_ = 0;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_SUPPORT_PRIVATE_POSTGRES_H_
