// Connection: one session with a server, which libpq has opened and will close. What goes to and
// fro in between is written and read here: libpq sends once for each Sync, and makes an object of
// its own of each result.
#ifndef SLUICE_SERVER_DB_POSTGRES_CONNECTION_H_
#define SLUICE_SERVER_DB_POSTGRES_CONNECTION_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

#include "server/async/completion.h"
#include "server/async/task.h"
#include "server/db/postgres/answers.h"
#include "server/db/postgres/channel.h"
#include "server/db/postgres/input.h"
#include "server/db/postgres/protocol.h"
#include "server/db/postgres/reactor.h"
#include "server/db/postgres/result.h"
#include "server/db/postgres/statement_cache.h"
#include "server/db/postgres/timeline.h"

struct pg_cancel;
struct pg_conn;

namespace sluice::postgres {

// Cancelling: requests to end what a session runs, all of which must be answered before the session
// may serve anybody else: they would hit him. The reactor's thread only.
class Cancelling {
 public:
  // Waits until none of them is on its way any more; true if the server has acknowledged each. One
  // may wait, once.
  auto Wait() {
    return Async<bool>([this](Completion<bool> done) {
      if (answered_) return done.Resolve(acknowledged_);
      waiter_.emplace(std::move(done));
    });
  }

  bool answered() const { return answered_; }

  bool acknowledged() const { return acknowledged_; }

  void Answer(bool acknowledged) {
    answered_ = true;
    acknowledged_ = acknowledged;
    if (waiter_.has_value()) std::exchange(waiter_, std::nullopt)->Resolve(acknowledged);
  }

 private:
  bool answered_ = false;
  bool acknowledged_ = false;
  std::optional<Completion<bool>> waiter_;
};

// Makes a session forget which numbers it took from sequences.
inline constexpr char kForgetNumbers[] = "DISCARD SEQUENCES";

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

  Results results;
  Block block = Block::kUnknown;  // after its Sync
  absl::Duration begun;           // when the server came to it, on the steady clock
  absl::Duration over;            // when its Sync came back
  std::function<void()> on_end;   // for what goes on though nobody waits
  bool flooded = false;           // lost, since it brought more than anybody may be sent
  bool unconfirmed = false;       // its COMMIT no longer waited for the standby that it should have
  bool unsent = false;            // lost, and the server got nothing of it

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
  Answers answers_;

  // A question that is prepared in it: where, and under which name.
  struct Preparing {
    Question question;
    size_t place;
    std::string name;
  };

  std::optional<Preparing> preparing_;
  bool simple_ = false;  // in the simple protocol
  uint64_t place_ = 0;   // of its first byte among all that are sent
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
  // `columns`: what its rows are, as an execution of the same statement on this connection said;
  // null: the server is asked.
  void Execute(const std::string& name,
               const ParameterValues& values,
               Format results,
               std::shared_ptr<const Columns> columns);
  // Prepares and executes without a name; results in text.
  void Run(absl::string_view sql);
  // The same for what gives no rows, and is not asked for any.
  void Command(absl::string_view sql);
  void Run(absl::string_view sql, const ParameterValues& values, Format results);
  // The same with types, which the server is to keep to.
  void Run(absl::string_view sql,
           absl::Span<const Oid> types,
           const ParameterValues& values,
           Format results);
  // A question of our own, results in text: prepared, where that is kept, when it is first asked.
  // Then it has two results, the last of which is the answer.
  void Ask(Question question);
  // Commands, the last of which is COPY ... FROM STDIN, and what it reads. They have a trip to
  // themselves, while nothing else is under way.
  void Copy(const std::string& sql, std::string data);

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

  // After the last trip; not known while one is under way.
  Block block() const { return lost_ || !trips_.empty() ? Block::kUnknown : block_; }

  // What was reported at the start still holds: a setting that clients can see was not changed.
  bool SettingsUnchanged() const {
    return std::none_of(changed_.begin(), changed_.end(), [](bool changed) { return changed; });
  }

  // The server took writes when it was made, as it must, and takes none any more: it reports that
  // with its first answer since.
  bool demoted() const {
    return must_write_ &&
           std::any_of(read_only_.begin(), read_only_.end(), [](bool now) { return now; });
  }

  // Its target is a server that takes writes, whichever that is.
  void set_must_write(bool must_write) { must_write_ = must_write; }

  // Asks the server to end what is under way, again and again until it is over, but not for longer
  // than two seconds: one who has not begun with it yet takes no notice. One request at a time.
  // Only on a connection that one caller has for himself.
  void Cancel();

  // Null: none was made since the last time that this was asked.
  std::shared_ptr<Cancelling> TakeCancelling() { return std::exchange(cancelling_, nullptr); }

  // Waits until a cancel that was sent can hit nothing any more that is sent from now on. Where
  // nobody can know that, the connection is lost.
  Task<void> Settle();

  // A number may have been taken from a sequence since sequences were last forgotten.
  bool counted() const { return counted_; }

  void set_counted(bool counted) { counted_ = counted; }

  // Null: not known, or it cannot write.
  const std::shared_ptr<const Timeline>& timeline() const { return timeline_; }

  void set_timeline(std::shared_ptr<const Timeline> timeline) { timeline_ = std::move(timeline); }

  StatementCache& statements() { return statements_; }

  absl::Duration made() const { return made_; }

 private:
  // A COPY, from when it is put together to its end.
  struct Copying {
    std::string data;
    size_t sent = 0;       // of the data
    bool sending = false;  // the server has asked for the data
    bool stopped = false;  // it is to fail
  };

  void OnReady(bool readable, bool writable) override;
  void OnTurnEnd() override;

  // The trip that is put together.
  Trip& Next();
  // Sends as much as the socket takes.
  void Write();
  void Flush();
  // Lets go of what was sent.
  void Forget();
  // Appends some more of a COPY's data. False: there is nothing to be appended.
  bool Feed();

  void Receive();
  // Takes the messages that are here.
  void Read();
  // False: it is not what a server says here, and the connection is not to be trusted.
  bool Take(const ServerMessage& message);
  bool TakeAnswer(Trip& trip, const ServerMessage& message);
  bool TakeSetting(absl::string_view body);
  bool TakeNotice(absl::string_view body);
  void FinishTrip();
  // What was brought is more than anybody may be sent.
  void Flood();
  // Ends every trip.
  void Lose();

  // Settings that the server reports whenever they change.
  static constexpr std::array<const char*, 7> kReported = {
      "client_encoding",       "DateStyle",
      "IntervalStyle",         "TimeZone",
      "session_authorization", "standard_conforming_strings",
      "application_name"};
  // The same, of whether transactions may write.
  static constexpr std::array<const char*, 2> kReadOnly = {"default_transaction_read_only",
                                                           "in_hot_standby"};

  Reactor& reactor_;
  pg_conn* const connection_;
  Channel channel_;
  const std::shared_ptr<pg_cancel> cancel_;
  std::shared_ptr<Cancelling> cancelling_;
  const int socket_;
  const absl::Duration made_;
  const uint64_t serial_;
  StatementCache statements_;
  std::shared_ptr<const Timeline> timeline_;

  std::deque<std::shared_ptr<Trip>> trips_;
  std::shared_ptr<Trip> next_;  // being put together
  std::unique_ptr<Copying> copying_;
  std::string put_;        // the messages of next_
  std::string out_;        // those of trips, from `written_` on still to be sent
  size_t written_ = 0;     // of out_
  uint64_t sent_ = 0;      // bytes in all
  uint64_t sent_in_ = 0;   // the reactor's turn in which something was sent last
  bool awaiting_ = false;  // the end of that turn, to send the rest
  bool writing_ = false;   // the socket took not all that is to be sent

  Input in_{Answers::kMost};
  absl::Duration heard_;  // when something last came

  Block block_ = Block::kNone;
  bool lost_ = false;
  bool flooded_ = false;  // lost for the size of what came
  bool stray_cancel_ = false;
  bool counted_ = false;
  std::array<std::string, kReported.size()> settings_;  // as reported at the start
  std::array<bool, kReported.size()> changed_{};
  std::array<bool, kReadOnly.size()> writable_{};   // at the start
  std::array<bool, kReadOnly.size()> read_only_{};  // since then
  bool must_write_ = false;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_CONNECTION_H_
