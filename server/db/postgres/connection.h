// Connection: one session with a server, in pipeline mode. With result.cc and session.cc the only
// place that calls libpq.
#ifndef SLUICE_SERVER_DB_POSTGRES_CONNECTION_H_
#define SLUICE_SERVER_DB_POSTGRES_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

#include "server/async/completion.h"
#include "server/db/postgres/reactor.h"
#include "server/db/postgres/result.h"
#include "server/db/postgres/statement_cache.h"

struct pg_conn;
struct pg_cancel;

namespace sluice::postgres {

// Values for the parameters of one execution, as libpq takes them.
class ParameterValues {
 public:
  void AddNull();
  // `bytes` is copied.
  void Add(absl::string_view bytes, Format format);

  int count() const { return static_cast<int>(lengths_.size()); }

 private:
  friend class Connection;

  absl::InlinedVector<size_t, 8> offsets_;  // into bytes_; kNull for NULL
  absl::InlinedVector<int, 8> lengths_;
  absl::InlinedVector<int, 8> formats_;
  std::string bytes_;  // each ends with a NUL, as libpq wants of text
};

// Cancelling: a request to end what a session runs, which must be answered before the session may
// serve anybody else: it would hit him.
struct Cancelling {
  bool answered = false;
  bool acknowledged = false;
  std::optional<Completion<bool>> waiter;
};

// Whether the session is in a transaction, as the server says at each Sync.
enum class Block { kNone, kOpen, kFailed, kUnknown };

// Trip: messages that were sent together, up to a Sync, and what came back for them. Shared by the
// connection and whoever waits; the reactor's thread only.
class Trip {
 public:
  enum class End {
    kDone,       // its Sync came back
    kLost,       // the connection ended first
    kAbandoned,  // nobody waits any more; the connection goes on with it
  };

  // Waits for the end of the trip. One may wait, once.
  auto Wait() {
    return Async<End>([this](Completion<End> done) {
      if (ended_) return done.Resolve(end_);
      waiter_.emplace(std::move(done));
    });
  }

  // Lets the one who waits go, before the end.
  void Abandon() { Resolve(End::kAbandoned); }

  bool ended() const { return ended_; }

  absl::InlinedVector<Result, 3> results;
  // After its Sync; not known to libpq while another trip is under way.
  Block block = Block::kUnknown;
  absl::Duration begun;          // when the server came to it, on the steady clock
  absl::Duration over;           // when its Sync came back
  std::function<void()> on_end;  // for what goes on though nobody waits

 private:
  friend class Connection;

  void Finish(End end) {
    ended_ = true;
    end_ = end;
    Resolve(end);
    if (on_end) std::exchange(on_end, nullptr)();
  }

  void Resolve(End end) {
    if (!waiter_.has_value()) return;
    Completion<End> waiter = *std::move(waiter_);
    waiter_.reset();
    waiter.Resolve(end);
  }

  std::optional<Completion<End>> waiter_;
  bool ended_ = false;
  End end_ = End::kDone;
};

// Owned by its pool; the reactor's thread only.
class Connection final : public Watcher {
 public:
  // Takes over a connection that was made.
  Connection(Reactor& reactor, pg_conn* connection, size_t statement_limit);
  ~Connection() override;

  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // What follows is sent with the next Sync. Every message has one result in its trip.
  void Prepare(const std::string& name, absl::string_view sql, absl::Span<const Oid> types);
  void Describe(const std::string& name);
  void Execute(const std::string& name, const ParameterValues& values, Format results);
  // Prepares and executes without a name; results in text.
  void Run(absl::string_view sql);
  void Run(absl::string_view sql, const ParameterValues& values, Format results);
  // The same with types, which the server is to keep to.
  void Run(absl::string_view sql,
           absl::Span<const Oid> types,
           const ParameterValues& values,
           Format results);

  // Ends the trip and sends it.
  std::shared_ptr<Trip> Sync();

  // Ends it: what is under way is lost.
  void Abort() { Lose(); }

  // No answer can be expected from it any more.
  bool lost() const { return lost_; }

  // The same for one on which nothing is under way, after a look at its socket.
  bool Alive();

  bool cancelling() const { return cancelling_ != nullptr; }

  // A cancel was sent of which nobody knows whether it arrived.
  bool stray_cancel() const { return stray_cancel_; }

  size_t trips() const { return trips_.size(); }

  // Different for each in the process.
  uint64_t serial() const { return serial_; }

  // When the server came to the oldest trip under way; only while there is one.
  absl::Duration busy_since() const { return trips_.front()->begun; }

  // After the last trip.
  Block block() const;

  // What was reported at the start still holds: a setting that clients can see was not changed.
  bool SettingsUnchanged() const;

  // Asks the server to end what runs; at most one request is under way. Only on a connection that
  // one caller has for himself.
  void Cancel();

  // Null: none was made since the last time that this was asked.
  std::shared_ptr<Cancelling> TakeCancelling() { return std::exchange(cancelling_, nullptr); }

  StatementCache& statements() { return statements_; }

  absl::Duration made() const { return made_; }

 private:
  static void OnNotice(void* connection, const pg_result* result);

  void OnReady(bool readable, bool writable) override;
  void Flush();
  void Read();
  void Sent(int ok);
  void FinishTrip();
  // Ends every trip.
  void Lose();
  std::string Settings() const;

  Reactor& reactor_;
  pg_conn* const connection_;
  const std::shared_ptr<pg_cancel> cancel_;
  std::shared_ptr<Cancelling> cancelling_;
  const int socket_;
  const absl::Duration made_;
  const uint64_t serial_;
  StatementCache statements_;
  std::deque<std::shared_ptr<Trip>> trips_;
  std::shared_ptr<Trip> next_;  // being put together
  bool writing_ = false;        // the socket took not all that is to be sent
  bool lost_ = false;
  bool ended_ = false;  // the server has said so
  bool stray_cancel_ = false;
  std::string settings_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_CONNECTION_H_
