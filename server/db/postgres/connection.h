// Connection: one session with a server, in pipeline mode. With connector.cc and result.cc the only
// place that calls libpq.
#ifndef SLUICE_SERVER_DB_POSTGRES_CONNECTION_H_
#define SLUICE_SERVER_DB_POSTGRES_CONNECTION_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

#include "server/async/completion.h"
#include "server/async/task.h"
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

// Makes a session forget which numbers it took from sequences.
inline constexpr char kForgetNumbers[] = "DISCARD SEQUENCES";

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
  bool flooded = false;          // lost, since it brought more than anybody may be sent
  bool unconfirmed = false;      // its COMMIT no longer waited for the standby that it should have

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
  // A result is kept whole until it has ended: no trip may bring more. In bytes.
  static constexpr int64_t kMostReceived = int64_t{128} << 20;

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
  // Commands, the last of which is COPY ... FROM STDIN, and what it reads. They have a trip to
  // themselves, while nothing else is under way: pipeline mode has to be left for it.
  void Copy(std::string sql, std::string data);

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

  // Since when it has been waited for a sign of the server; only while a trip is under way.
  absl::Duration silent_since() const { return std::max(trips_.front()->begun, heard_); }

  // After the last trip.
  Block block() const;

  // What was reported at the start still holds: a setting that clients can see was not changed.
  bool SettingsUnchanged() const { return !settings_changed_; }

  // Asks the server to end what runs; at most one request is under way. Only on a connection that
  // one caller has for himself.
  void Cancel();

  // Null: none was made since the last time that this was asked.
  std::shared_ptr<Cancelling> TakeCancelling() { return std::exchange(cancelling_, nullptr); }

  // Waits until a cancel that was sent can hit nothing any more that is sent from now on. Where
  // nobody can know that, the connection is lost.
  Task<void> Settle();

  // A number may have been taken from a sequence since sequences were last forgotten.
  bool counted() const { return counted_; }

  void set_counted(bool counted) { counted_ = counted; }

  StatementCache& statements() { return statements_; }

  absl::Duration made() const { return made_; }

 private:
  // A COPY, from when it is put together to its end.
  struct Copying {
    std::string sql;
    std::string data;
    size_t sent = 0;       // of the data
    bool sending = false;  // the server has asked for the data
    bool stopped = false;  // it is to fail
  };

  static void OnNotice(void* connection, const pg_result* result);

  void OnReady(bool readable, bool writable) override;
  void Flush();
  void Write();
  void Read();
  bool BeginCopy();
  // Sends as much of its data as the socket takes.
  void Feed();
  void ReadCopy();
  void EndCopy();
  void Sent(int ok);
  void FinishTrip();
  // Ends every trip.
  void Lose();
  void LookAtSettings();

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
  std::unique_ptr<Copying> copying_;
  bool writing_ = false;  // the socket took not all that is to be sent
  bool lost_ = false;
  bool ended_ = false;  // the server has said so
  bool stray_cancel_ = false;
  std::vector<std::string> settings_;  // as reported at the start
  bool settings_changed_ = false;
  absl::Duration heard_;  // when something last came
  int64_t received_ = 0;  // since the end of a trip, in bytes, about
  bool counted_ = false;
  uint64_t sent_in_ = 0;  // the reactor's turn in which something was sent last
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_CONNECTION_H_
