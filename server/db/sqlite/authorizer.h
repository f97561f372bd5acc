// Authorizer: what a client's SQL may do. It is an allow-list, asked by SQLite while a statement is
// compiled, and again when a cached one is compiled anew because the schema changed.
#ifndef SLUICE_SERVER_DB_SQLITE_AUTHORIZER_H_
#define SLUICE_SERVER_DB_SQLITE_AUTHORIZER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

struct sqlite3;

namespace sluice::sqlite {

// What one statement turned out to do.
struct Verdict {
  bool writes = false;         // may change the file, DDL included
  bool ddl = false;            // changes the schema
  std::string refused;         // what is not allowed, as the start of a sentence; empty: nothing
  absl::string_view use = "";  // what to call instead
};

// Owned by its connection, used by one thread at a time.
class Authorizer {
 public:
  // From now on `db` asks this authorizer, which must not move or go before it.
  void Attach(sqlite3* db);

  // Forgets the last statement. Before a client's statement is compiled, or stepped for the first
  // time.
  void Start() { verdict_ = Verdict(); }

  const Verdict& verdict() const { return verdict_; }

  // The error of a statement that was refused; OK if none was.
  absl::Status Refusal() const;

  // While it lives, what is compiled is our own and allowed everything.
  class Suspension {
   public:
    explicit Suspension(Authorizer& authorizer) : authorizer_(authorizer) {
      ++authorizer_.suspended_;
    }

    ~Suspension() { --authorizer_.suspended_; }

    Suspension(const Suspension&) = delete;
    Suspension& operator=(const Suspension&) = delete;

   private:
    Authorizer& authorizer_;
  };

 private:
  static int OnAction(void* self,
                      int action,
                      const char* first,
                      const char* second,
                      const char* schema,
                      const char* origin);

  bool Allow(int action, absl::string_view first, absl::string_view second);
  bool AllowChange(absl::string_view table);
  bool AllowSchemaChange(absl::string_view name, absl::string_view table);
  bool AllowRead(absl::string_view table);
  bool AllowFunction(absl::string_view name);
  bool AllowPragma(absl::string_view name, bool has_argument);
  bool RefuseTemporary();
  bool Refuse(std::string what, absl::string_view use);

  int suspended_ = 0;
  Verdict verdict_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_AUTHORIZER_H_
