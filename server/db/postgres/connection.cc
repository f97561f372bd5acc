#include "server/db/postgres/connection.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"

#include "server/async/task.h"
#include "server/db/postgres/connector.h"
#include "server/db/postgres/libpq.h"

namespace sluice::postgres {
namespace {

// A trip that takes longer is looked at closely: was it the server that took so long?
constexpr absl::Duration kLong = absl::Milliseconds(5);
constexpr size_t kNull = std::numeric_limits<size_t>::max();
// Of what COPY reads, in a message: with its head, as many whole pages as libpq sends at once.
constexpr size_t kCopySlice = (size_t{64} << 10) - 5;

// Settings that the server reports whenever they change.
constexpr const char* kReported[] = {"client_encoding",       "DateStyle",
                                     "IntervalStyle",         "TimeZone",
                                     "session_authorization", "standard_conforming_strings",
                                     "application_name"};

Block BlockOf(PGTransactionStatusType status) {
  switch (status) {
    case PQTRANS_IDLE:
      return Block::kNone;
    case PQTRANS_INTRANS:
      return Block::kOpen;
    case PQTRANS_INERROR:
      return Block::kFailed;
    default:
      return Block::kUnknown;
  }
}

absl::string_view Reported(PGconn* connection, const char* name) {
  const char* const value = pq.parameterStatus(connection, name);
  return value == nullptr ? absl::string_view() : absl::string_view(value);
}

// What came and was not read yet, in bytes; about that much where the connection is encrypted.
int64_t Waiting(int socket) {
  int bytes = 0;
  return ioctl(socket, FIONREAD, &bytes) == 0 ? std::max(bytes, 0) : 0;
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

Task<void> RunCancel(std::shared_ptr<pg_cancel> cancel, std::shared_ptr<Cancelling> cancelling) {
  cancelling->acknowledged = co_await postgres::Cancel(std::move(cancel));
  cancelling->answered = true;
  if (cancelling->waiter.has_value()) cancelling->waiter->Resolve(cancelling->acknowledged);
}

std::shared_ptr<pg_cancel> CancellerOf(PGconn* connection) {
  return {pq.getCancel(connection), [](PGcancel* cancel) {
            if (cancel != nullptr) pq.freeCancel(cancel);
          }};
}

}  // namespace

void ParameterValues::AddNull() {
  offsets_.push_back(kNull);
  lengths_.push_back(0);
  formats_.push_back(0);
}

void ParameterValues::Add(absl::string_view bytes, Format format) {
  offsets_.push_back(bytes_.size());
  lengths_.push_back(static_cast<int>(bytes.size()));
  formats_.push_back(static_cast<int>(format));
  bytes_.append(bytes.data(), bytes.size());
  bytes_.push_back('\0');
}

Connection::Connection(Reactor& reactor, pg_conn* connection, size_t statement_limit)
    : reactor_(reactor),
      connection_(connection),
      cancel_(CancellerOf(connection)),
      socket_(pq.socket(connection)),
      made_(reactor.clock().Steady()),
      serial_(NextSerial()),
      statements_(statement_limit) {
  pq.setnonblocking(connection_, 1);
  pq.setNoticeReceiver(connection_, &Connection::OnNotice, this);
  for (const char* const name : kReported) settings_.emplace_back(Reported(connection_, name));
  reactor_.Watch(socket_, this);
  if (pq.enterPipelineMode(connection_) != 1) Lose();
}

Connection::~Connection() {
  Lose();
  pq.finish(connection_);
}

void Connection::OnNotice(void* connection, const pg_result* result) {
  auto* const self = static_cast<Connection*>(connection);
  self->received_ = 0;  // nothing of it is kept, and there may be any number of them
  // The server's last words to a session that asked nothing.
  const char* const severity = pq.resultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity != nullptr && absl::string_view(severity) == "FATAL") self->ended_ = true;
  // A COMMIT that was cancelled while it waited is one that was made, with this warning. Its text
  // is translated, the name of the function is not.
  const char* const function = pq.resultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
  if (function != nullptr && absl::string_view(function) == "SyncRepWaitForLSN" &&
      !self->trips_.empty()) {
    self->trips_.front()->unconfirmed = true;
  }
}

void Connection::Sent(int ok) {
  if (next_ == nullptr) next_ = std::make_shared<Trip>();
  if (ok != 1) Lose();
}

void Connection::Prepare(const std::string& name,
                         absl::string_view sql,
                         absl::Span<const Oid> types) {
  const std::string text(sql);
  Sent(lost_ ? 0
             : pq.sendPrepare(connection_, name.c_str(), text.c_str(),
                              static_cast<int>(types.size()), types.data()));
}

void Connection::Describe(const std::string& name) {
  Sent(lost_ ? 0 : pq.sendDescribePrepared(connection_, name.c_str()));
}

void Connection::Execute(const std::string& name, const ParameterValues& values, Format results) {
  absl::InlinedVector<const char*, 8> pointers;
  for (const size_t offset : values.offsets_) {
    pointers.push_back(offset == kNull ? nullptr : values.bytes_.data() + offset);
  }
  Sent(lost_ ? 0
             : pq.sendQueryPrepared(connection_, name.c_str(), values.count(), pointers.data(),
                                    values.lengths_.data(), values.formats_.data(),
                                    static_cast<int>(results)));
}

void Connection::Run(absl::string_view sql) {
  Run(sql, {}, ParameterValues(), Format::kText);
}

void Connection::Run(absl::string_view sql, const ParameterValues& values, Format results) {
  Run(sql, {}, values, results);
}

void Connection::Run(absl::string_view sql,
                     absl::Span<const Oid> types,
                     const ParameterValues& values,
                     Format results) {
  const std::string text(sql);
  absl::InlinedVector<const char*, 8> pointers;
  for (const size_t offset : values.offsets_) {
    pointers.push_back(offset == kNull ? nullptr : values.bytes_.data() + offset);
  }
  Sent(lost_ ? 0
             : pq.sendQueryParams(connection_, text.c_str(), values.count(),
                                  types.empty() ? nullptr : types.data(), pointers.data(),
                                  values.lengths_.data(), values.formats_.data(),
                                  static_cast<int>(results)));
}

void Connection::Copy(std::string sql, std::string data) {
  const bool alone = next_ == nullptr && copying_ == nullptr;
  copying_ = std::make_unique<Copying>();
  copying_->sql = std::move(sql);
  copying_->data = std::move(data);
  Sent(alone ? 1 : 0);
}

std::shared_ptr<Trip> Connection::Sync() {
  std::shared_ptr<Trip> trip = std::move(next_);
  next_ = nullptr;
  if (trip == nullptr) trip = std::make_shared<Trip>();
  // The first is sent at once: there may be no other.
  if (std::exchange(sent_in_, reactor_.turn()) == reactor_.turn()) reactor_.Cork(socket_);
  if (lost_ || !(copying_ != nullptr ? BeginCopy() : pq.pipelineSync(connection_) == 1)) {
    Lose();
    trip->Finish(Trip::End::kLost);
    return trip;
  }
  if (trips_.empty()) trip->begun = reactor_.clock().Steady();
  reactor_.Expect();
  trips_.push_back(trip);
  Flush();
  return trip;
}

bool Connection::Alive() {
  if (!lost_ && trips_.empty()) OnReady(/*readable=*/true, /*writable=*/false);
  return !lost_;
}

void Connection::OnReady(bool readable, bool writable) {
  if (lost_) return;
  if (writable) Write();
  if (!lost_ && readable) {
    heard_ = reactor_.clock().Steady();
    received_ += Waiting(socket_);  // what libpq leaves there is counted twice
    if (pq.consumeInput(connection_) != 1) return Lose();
    // What is to be sent may be waiting for what the server wants to be rid of.
    if (writing_) Write();
    if (lost_) return;
    Read();
    // Notices among it were read by now, and are gone.
    if (received_ > kMostReceived && !trips_.empty()) {
      trips_.front()->flooded = true;
      return Lose();
    }
  }
}

void Connection::Flush() {
  const int left = pq.flush(connection_);
  if (left < 0) return Lose();
  const bool writing = left > 0;
  if (writing == writing_) return;
  writing_ = writing;
  reactor_.WatchWriting(socket_, writing_);
}

void Connection::Write() {
  Flush();
  if (copying_ != nullptr && copying_->sending) Feed();
}

bool Connection::BeginCopy() {
  return trips_.empty() && pq.exitPipelineMode(connection_) == 1 &&
         pq.sendQuery(connection_, copying_->sql.c_str()) == 1;
}

void Connection::Feed() {
  Copying& copying = *copying_;
  while (!lost_ && !writing_ && !copying.stopped && copying.sent < copying.data.size()) {
    const size_t slice = std::min(kCopySlice, copying.data.size() - copying.sent);
    // It has room, since nothing waits to be sent.
    if (pq.putCopyData(connection_, copying.data.data() + copying.sent, static_cast<int>(slice)) !=
        1) {
      return Lose();
    }
    copying.sent += slice;
    Flush();
  }
  if (lost_ || (!copying.stopped && copying.sent < copying.data.size())) return;
  copying.sending = false;
  if (pq.putCopyEnd(connection_, copying.stopped ? "stopped" : nullptr) != 1) return Lose();
  Flush();
}

void Connection::ReadCopy() {
  while (!lost_ && copying_ != nullptr && !copying_->sending && pq.isBusy(connection_) == 0) {
    PGresult* const raw = pq.getResult(connection_);
    if (raw == nullptr) return EndCopy();
    Result result(raw);
    if (result.kind() == Result::Kind::kCopyIn) {
      copying_->sending = true;
      Feed();
      continue;
    }
    if (result.kind() == Result::Kind::kOther) return Lose();
    trips_.front()->results.push_back(std::move(result));
  }
}

void Connection::EndCopy() {
  copying_.reset();
  if (pq.enterPipelineMode(connection_) != 1) return Lose();
  FinishTrip();
  LookAtSettings();
}

void Connection::Read() {
  if (copying_ != nullptr) return ReadCopy();
  int ends = 0;  // in a row
  const size_t before = trips_.size();
  while (!lost_ && !trips_.empty() && pq.isBusy(connection_) == 0) {
    PGresult* const raw = pq.getResult(connection_);
    if (raw == nullptr) {
      if (++ends > 2) return Lose();  // libpq has lost count, or we have
      continue;
    }
    ends = 0;
    if (pq.resultStatus(raw) == PGRES_PIPELINE_SYNC) {
      pq.clear(raw);
      FinishTrip();
      continue;
    }
    Trip& trip = *trips_.front();
    trip.results.emplace_back(raw);
    const Result::Kind kind = trip.results.back().kind();
    // COPY in a pipeline never ends, and whatever is not known cannot be trusted.
    if (kind == Result::Kind::kOther || kind == Result::Kind::kCopyIn ||
        kind == Result::Kind::kCopyOut) {
      return Lose();
    }
  }
  if (!lost_ && trips_.size() < before) LookAtSettings();
  if (trips_.empty() && !lost_) {
    // Nothing was asked, so what came is a notice, or the end.
    while (PGnotify* const notify = pq.notifies(connection_)) pq.freemem(notify);
    if (ended_ || pq.status(connection_) != CONNECTION_OK) Lose();
  }
}

void Connection::FinishTrip() {
  const std::shared_ptr<Trip> trip = std::move(trips_.front());
  trips_.pop_front();
  reactor_.ExpectNoMore(1);
  const absl::Duration now = heard_;
  received_ = 0;
  if (!trips_.empty()) trips_.front()->begun = now;
  const absl::Duration took = now - trip->begun;
  trip->over = took < kLong ? now : now - std::min(took, Unread(socket_));
  trip->block = BlockOf(pq.transactionStatus(connection_));
  trip->Finish(Trip::End::kDone);
}

void Connection::Lose() {
  if (std::exchange(lost_, true)) return;
  reactor_.Unwatch(socket_);
  reactor_.ExpectNoMore(trips_.size());
  std::deque<std::shared_ptr<Trip>> trips;
  trips.swap(trips_);
  for (const std::shared_ptr<Trip>& trip : trips) trip->Finish(Trip::End::kLost);
}

void Connection::Cancel() {
  if (lost_ || (cancelling_ != nullptr && !cancelling_->answered)) return;
  stray_cancel_ = stray_cancel_ || (cancelling_ != nullptr && !cancelling_->acknowledged);
  cancelling_ = std::make_shared<Cancelling>();
  Spawn(RunCancel(cancel_, cancelling_));
  // A server that waits for data does not see it.
  if (copying_ == nullptr) return;
  copying_->stopped = true;
  if (copying_->sending) Feed();
}

// The server acknowledges a cancel after its signal was delivered, and a signal that finds nothing
// running is forgotten before the next message is read.
Task<void> Connection::Settle() {
  const std::shared_ptr<Cancelling> cancelling = TakeCancelling();
  if (cancelling == nullptr) co_return;
  if (!cancelling->answered) {
    co_await Async<bool>(
        [&](Completion<bool> done) { cancelling->waiter.emplace(std::move(done)); });
  }
  if (stray_cancel_ || !cancelling->acknowledged) Lose();
}

Block Connection::block() const {
  return lost_ ? Block::kUnknown : BlockOf(pq.transactionStatus(connection_));
}

void Connection::LookAtSettings() {
  settings_changed_ = false;
  for (size_t i = 0; i < settings_.size() && !settings_changed_; ++i) {
    settings_changed_ = Reported(connection_, kReported[i]) != settings_[i];
  }
}

}  // namespace sluice::postgres
