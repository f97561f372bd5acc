#include "server/db/postgres/connection.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/tcp.h>
#include <malloc.h>

#include "server/async/context.h"
#include "server/async/sleep.h"
#include "server/async/task.h"
#include "server/db/postgres/connector.h"
#include "server/db/postgres/libpq.h"

namespace sluice::postgres {
namespace {

// A trip that takes longer is looked at closely: was it the server that took so long?
constexpr absl::Duration kLong = absl::Milliseconds(5);
// Of what COPY reads, in a message, and of what is received before others have their turn.
constexpr size_t kCopySlice = size_t{64} << 10;
constexpr size_t kMostAtOnce = size_t{256} << 10;
// A server is asked to end a statement for so long, with pauses in between.
constexpr absl::Duration kInsist = absl::Seconds(2);
constexpr absl::Duration kFirstPause = absl::Milliseconds(5);
constexpr absl::Duration kLongestPause = absl::Milliseconds(100);
// What is kept of the room for messages that were sent.
constexpr size_t kMostKept = size_t{256} << 10;

absl::string_view Reported(PGconn* connection, const char* name) {
  const char* const value = pq.parameterStatus(connection, name);
  return value == nullptr ? absl::string_view() : absl::string_view(value);
}

// How long the last of what a server sent has been here unread; a process that does not get its
// processor reads late. Zero where the system does not know.
absl::Duration Unread(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return absl::ZeroDuration();
  return absl::Milliseconds(info.tcpi_last_data_recv);
}

uint64_t NextSerial() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

Task<void> RunCancel(std::shared_ptr<pg_cancel> cancel,
                     std::shared_ptr<Trip> trip,
                     std::shared_ptr<Cancelling> cancelling) {
  const Clock& clock = Executor::Current()->clock();
  const absl::Duration end = clock.Steady() + kInsist;
  const Context nobody;
  absl::Duration pause = kFirstPause;
  bool acknowledged = co_await postgres::Cancel(cancel);
  while (acknowledged && !trip->ended() && clock.Steady() < end) {
    co_await SleepFor(nobody, pause);
    pause = std::min(2 * pause, kLongestPause);
    if (!trip->ended()) acknowledged = co_await postgres::Cancel(cancel);
  }
  cancelling->Answer(acknowledged);
}

std::shared_ptr<pg_cancel> CancellerOf(PGconn* connection) {
  return {pq.getCancel(connection), [](PGcancel* cancel) {
            if (cancel != nullptr) pq.freeCancel(cancel);
          }};
}

}  // namespace

Connection::Connection(Reactor& reactor, pg_conn* connection, size_t statement_limit)
    : reactor_(reactor),
      connection_(connection),
      channel_(connection),
      cancel_(CancellerOf(connection)),
      socket_(pq.socket(connection)),
      made_(reactor.clock().Steady()),
      serial_(NextSerial()),
      statements_(statement_limit) {
  pq.setnonblocking(connection_, 1);
  for (size_t i = 0; i < kReported.size(); ++i) {
    settings_[i] = std::string(Reported(connection_, kReported[i]));
  }
  for (size_t i = 0; i < kReadOnly.size(); ++i) {
    writable_[i] = Reported(connection_, kReadOnly[i]) == "off";
  }
  reactor_.Watch(socket_, this);
}

Connection::~Connection() {
  Lose();
  pq.finish(connection_);
  if (!flooded_) return;
  // The C library would keep the memory, once for each thread that ever reads such a flood.
  in_ = Input(Answers::kMost);
  malloc_trim(0);
}

Trip& Connection::Next() {
  if (next_ == nullptr) next_ = std::make_shared<Trip>();
  return *next_;
}

void Connection::Prepare(const std::string& name,
                         absl::string_view sql,
                         absl::Span<const Oid> types) {
  AppendParse(name, sql, types, put_);
  Answers::Expected expected;
  expected.parse = true;
  Next().answers_.Expect(std::move(expected));
}

void Connection::Describe(const std::string& name) {
  AppendDescribeStatement(name, put_);
  Answers::Expected expected;
  expected.parameters = expected.columns = true;
  Next().answers_.Expect(std::move(expected));
}

void Connection::Execute(const std::string& name,
                         const ParameterValues& values,
                         Format results,
                         std::shared_ptr<const Columns> columns) {
  AppendBind(name, values, results, put_);
  if (columns == nullptr) AppendDescribePortal(put_);
  AppendExecute(put_);
  Answers::Expected expected;
  expected.bind = expected.execution = true;
  expected.columns = columns == nullptr;
  expected.shape = std::move(columns);
  Next().answers_.Expect(std::move(expected));
}

void Connection::Run(absl::string_view sql) {
  Run(sql, {}, ParameterValues(), Format::kText);
}

void Connection::Command(absl::string_view sql) {
  AppendParse("", sql, {}, put_);
  AppendBind("", ParameterValues(), Format::kText, put_);
  AppendExecute(put_);
  Answers::Expected expected;
  expected.parse = expected.bind = expected.execution = true;
  Next().answers_.Expect(std::move(expected));
}

void Connection::Run(absl::string_view sql, const ParameterValues& values, Format results) {
  Run(sql, {}, values, results);
}

void Connection::Run(absl::string_view sql,
                     absl::Span<const Oid> types,
                     const ParameterValues& values,
                     Format results) {
  AppendParse("", sql, types, put_);
  AppendBind("", values, results, put_);
  AppendDescribePortal(put_);
  AppendExecute(put_);
  Answers::Expected expected;
  expected.parse = expected.bind = expected.columns = expected.execution = true;
  Next().answers_.Expect(std::move(expected));
}

void Connection::Ask(Question question) {
  std::string name = statements_.NameOf(question);
  if (name.empty() && statements_.keeps()) {
    name = statements_.NewName();
    Next().preparing_ = Trip::Preparing{question, Next().answers_.expected(), name};
    Prepare(name, SqlOf(question), {});
  }
  if (name.empty()) return Run(SqlOf(question));
  Execute(name, ParameterValues(), Format::kText, nullptr);
}

void Connection::Copy(const std::string& sql, std::string data) {
  const bool alone = next_ == nullptr && trips_.empty();
  AppendQuery(sql, put_);
  Next().answers_.ExpectCommands();
  Next().simple_ = true;
  copying_ = std::make_unique<Copying>();
  copying_->data = std::move(data);
  if (!alone) Lose();
}

std::shared_ptr<Trip> Connection::Sync() {
  Next();
  std::shared_ptr<Trip> trip = std::exchange(next_, nullptr);
  if (!trip->simple_) AppendSync(put_);
  trip->place_ = sent_ + (out_.size() - written_);
  if (out_.empty()) {
    out_.swap(put_);
  } else {
    out_ += put_;
  }
  put_.clear();
  if (put_.capacity() > kMostKept) put_.shrink_to_fit();
  if (lost_) {
    trip->unsent = true;
    trip->Finish(Trip::End::kLost);
    return trip;
  }
  if (trips_.empty()) trip->begun = reactor_.clock().Steady();
  reactor_.Expect();
  trips_.push_back(trip);
  // The first is sent at once: there may be no other.
  if (std::exchange(sent_in_, reactor_.turn()) != reactor_.turn()) {
    Write();
  } else if (!std::exchange(awaiting_, true)) {
    reactor_.AwaitTurnEnd(socket_);
  }
  return trip;
}

void Connection::OnTurnEnd() {
  awaiting_ = false;
  Write();
}

bool Connection::Alive() {
  if (!lost_ && trips_.empty()) Receive();
  return !lost_;
}

void Connection::OnReady(bool readable, bool writable) {
  if (lost_) return;
  if (writable) Write();
  if (!readable) return;
  heard_ = reactor_.clock().Steady();
  Receive();
  // To read it may have taken long, in which the server was anything but silent.
  if (!trips_.empty()) heard_ = reactor_.clock().Steady();
}

void Connection::Write() {
  do {
    Flush();
  } while (!lost_ && written_ == out_.size() && Feed());
  const bool writing = written_ < out_.size();
  if (lost_ || writing == writing_) return;
  writing_ = writing;
  reactor_.WatchWriting(socket_, writing_);
}

void Connection::Flush() {
  while (!lost_ && written_ < out_.size()) {
    const ssize_t sent = channel_.Send(absl::string_view(out_).substr(written_));
    if (sent == 0) return Forget();
    if (sent < 0) {
      // Its last words may be there to be read, and then its end.
      shutdown(socket_, SHUT_WR);
      break;
    }
    written_ += static_cast<size_t>(sent);
    sent_ += static_cast<uint64_t>(sent);
  }
  written_ = out_.size();
  Forget();
}

void Connection::Forget() {
  if (written_ < out_.size() && written_ < kMostKept) return;
  out_.erase(0, written_);
  written_ = 0;
  if (out_.empty() && out_.capacity() > kMostKept) out_.shrink_to_fit();
}

bool Connection::Feed() {
  if (copying_ == nullptr || !copying_->sending) return false;
  Copying& copying = *copying_;
  if (!copying.stopped && copying.sent < copying.data.size()) {
    const absl::string_view slice =
        absl::string_view(copying.data).substr(copying.sent, kCopySlice);
    AppendCopyData(slice, out_);
    copying.sent += slice.size();
    return true;
  }
  copying.sending = false;
  if (copying.stopped) {
    AppendCopyFail("stopped", out_);
  } else {
    AppendCopyDone(out_);
  }
  return true;
}

void Connection::Receive() {
  size_t total = 0;
  bool more = true;
  while (more && !lost_) {
    const absl::Span<char> room = in_.Room();
    const ssize_t got = channel_.Receive(room);
    if (got == 0) return;
    if (got < 0) return Lose();
    const auto count = static_cast<size_t>(got);
    in_.Add(count);
    Read();
    total += count;
    more = channel_.Pending() || (count == room.size() && total < kMostAtOnce);
  }
}

void Connection::Read() {
  while (!lost_) {
    const std::optional<ServerMessage> message = in_.Next();
    if (!message.has_value()) break;
    if (!Take(*message)) return Lose();
  }
  if (lost_) return;
  if (in_.too_long()) Flood();
  if (in_.broken() || in_.too_long()) return Lose();
  if (trips_.empty()) in_.Rest();
}

bool Connection::Take(const ServerMessage& message) {
  switch (message.type) {
    case MessageType::kNotice:
      return TakeNotice(message.body);
    case MessageType::kParameterStatus:
      return TakeSetting(message.body);
    case MessageType::kNotification:
      return true;  // nobody listens
    default:
      // Where nothing was asked, it is the server's last word.
      return !trips_.empty() && TakeAnswer(*trips_.front(), message);
  }
}

bool Connection::TakeNotice(absl::string_view body) {
  const std::optional<ServerError> notice = ReadError(body);
  if (!notice.has_value()) return false;
  // A COMMIT that was cancelled while it waited is one that was made, with this warning. Its text
  // is translated, the name of the function is not.
  if (notice->routine == "SyncRepWaitForLSN" && !trips_.empty()) {
    trips_.front()->unconfirmed = true;
  }
  return true;
}

bool Connection::TakeSetting(absl::string_view body) {
  MessageReader reader(body);
  const absl::string_view name = reader.Text();
  const absl::string_view value = reader.Text();
  for (size_t i = 0; i < kReported.size(); ++i) {
    if (name == kReported[i]) changed_[i] = value != settings_[i];
  }
  for (size_t i = 0; i < kReadOnly.size(); ++i) {
    if (name == kReadOnly[i]) read_only_[i] = writable_[i] && value == "on";
  }
  return reader.AtEnd();
}

bool Connection::TakeAnswer(Trip& trip, const ServerMessage& message) {
  switch (trip.answers_.Take(message, in_.buffer(), trip.results)) {
    case Answers::Taken::kMore:
      if (copying_ != nullptr && trip.answers_.failed()) copying_->sending = false;
      return true;
    case Answers::Taken::kCopyIn:
      if (copying_ == nullptr || copying_->sent > 0) return false;
      copying_->sending = true;
      Write();
      return true;
    case Answers::Taken::kReady:
      copying_.reset();
      FinishTrip();
      return true;
    case Answers::Taken::kTooMuch:
      Flood();
      return false;
    case Answers::Taken::kStrange:
      return false;
  }
  return false;
}

void Connection::FinishTrip() {
  const std::shared_ptr<Trip> trip = std::move(trips_.front());
  trips_.pop_front();
  reactor_.ExpectNoMore(1);
  const absl::Duration now = heard_;
  if (!trips_.empty()) trips_.front()->begun = now;
  const absl::Duration took = now - trip->begun;
  trip->over = took < kLong ? now : now - std::min(took, Unread(socket_));
  trip->block = block_ = trip->answers_.block();
  if (trip->preparing_.has_value()) {
    auto& [question, place, name] = *trip->preparing_;
    const bool prepared = place < trip->results.size() && !trip->results[place].failed();
    if (prepared) statements_.SetName(question, std::move(name));
  }
  trip->Finish(Trip::End::kDone);
}

void Connection::Flood() {
  if (!trips_.empty()) trips_.front()->flooded = flooded_ = true;
}

void Connection::Lose() {
  if (std::exchange(lost_, true)) return;
  reactor_.Unwatch(socket_);
  reactor_.ExpectNoMore(trips_.size());
  std::deque<std::shared_ptr<Trip>> trips;
  trips.swap(trips_);
  for (const std::shared_ptr<Trip>& trip : trips) {
    trip->unsent = trip->place_ >= sent_;
    trip->Finish(Trip::End::kLost);
  }
}

void Connection::Cancel() {
  if (trips_.empty() || (cancelling_ != nullptr && !cancelling_->answered())) return;
  stray_cancel_ = stray_cancel_ || (cancelling_ != nullptr && !cancelling_->acknowledged());
  cancelling_ = std::make_shared<Cancelling>();
  Spawn(RunCancel(cancel_, trips_.back(), cancelling_));
  // A server that waits for data does not see it.
  if (copying_ == nullptr) return;
  copying_->stopped = true;
  Write();
}

// The server acknowledges a cancel after its signal was delivered, and a signal that finds nothing
// running is forgotten before the next message is read.
Task<void> Connection::Settle() {
  const std::shared_ptr<Cancelling> cancelling = TakeCancelling();
  if (cancelling == nullptr) co_return;
  const bool acknowledged = co_await cancelling->Wait();
  if (stray_cancel_ || !acknowledged) Lose();
}

}  // namespace sluice::postgres
