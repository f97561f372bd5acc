#include "server/db/postgres/connection.h"

#include <atomic>
#include <limits>
#include <utility>

#include <libpq-fe.h>

#include "absl/strings/str_cat.h"

#include "server/async/task.h"
#include "server/db/postgres/connector.h"

namespace sluice::postgres {
namespace {

constexpr size_t kNull = std::numeric_limits<size_t>::max();

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
  return {PQgetCancel(connection), [](PGcancel* cancel) {
            if (cancel != nullptr) PQfreeCancel(cancel);
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
      socket_(PQsocket(connection)),
      made_(reactor.clock().Steady()),
      serial_(NextSerial()),
      statements_(statement_limit) {
  PQsetnonblocking(connection_, 1);
  PQsetNoticeReceiver(connection_, &Connection::OnNotice, this);
  settings_ = Settings();
  reactor_.Watch(socket_, this);
  if (PQenterPipelineMode(connection_) != 1) Lose();
}

Connection::~Connection() {
  Lose();
  PQfinish(connection_);
}

void Connection::OnNotice(void* connection, const pg_result* result) {
  auto* const self = static_cast<Connection*>(connection);
  // The server's last words to a session that asked nothing.
  const char* const severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity != nullptr && absl::string_view(severity) == "FATAL") self->ended_ = true;
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
             : PQsendPrepare(connection_, name.c_str(), text.c_str(),
                             static_cast<int>(types.size()), types.data()));
}

void Connection::Describe(const std::string& name) {
  Sent(lost_ ? 0 : PQsendDescribePrepared(connection_, name.c_str()));
}

void Connection::Execute(const std::string& name, const ParameterValues& values, Format results) {
  absl::InlinedVector<const char*, 8> pointers;
  for (const size_t offset : values.offsets_) {
    pointers.push_back(offset == kNull ? nullptr : values.bytes_.data() + offset);
  }
  Sent(lost_ ? 0
             : PQsendQueryPrepared(connection_, name.c_str(), values.count(), pointers.data(),
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
             : PQsendQueryParams(connection_, text.c_str(), values.count(),
                                 types.empty() ? nullptr : types.data(), pointers.data(),
                                 values.lengths_.data(), values.formats_.data(),
                                 static_cast<int>(results)));
}

std::shared_ptr<Trip> Connection::Sync() {
  std::shared_ptr<Trip> trip = std::move(next_);
  next_ = nullptr;
  if (trip == nullptr) trip = std::make_shared<Trip>();
  if (lost_ || PQpipelineSync(connection_) != 1) {
    Lose();
    trip->Finish(Trip::End::kLost);
    return trip;
  }
  if (trips_.empty()) trip->begun = reactor_.clock().Steady();
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
  if (writable) Flush();
  if (!lost_ && readable) {
    if (PQconsumeInput(connection_) != 1) return Lose();
    // What is to be sent may be waiting for what the server wants to be rid of.
    if (writing_) Flush();
    if (lost_) return;
    Read();
  }
}

void Connection::Flush() {
  const int left = PQflush(connection_);
  if (left < 0) return Lose();
  const bool writing = left > 0;
  if (writing == writing_) return;
  writing_ = writing;
  reactor_.WatchWriting(socket_, writing_);
}

void Connection::Read() {
  int ends = 0;  // in a row
  while (!lost_ && !trips_.empty() && PQisBusy(connection_) == 0) {
    PGresult* const raw = PQgetResult(connection_);
    if (raw == nullptr) {
      if (++ends > 2) return Lose();  // libpq has lost count, or we have
      continue;
    }
    ends = 0;
    if (PQresultStatus(raw) == PGRES_PIPELINE_SYNC) {
      PQclear(raw);
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
  if (trips_.empty() && !lost_) {
    // Nothing was asked, so what came is a notice, or the end.
    while (PGnotify* const notify = PQnotifies(connection_)) PQfreemem(notify);
    if (ended_ || PQstatus(connection_) != CONNECTION_OK) Lose();
  }
}

void Connection::FinishTrip() {
  const std::shared_ptr<Trip> trip = std::move(trips_.front());
  trips_.pop_front();
  trip->over = reactor_.clock().Steady();
  if (!trips_.empty()) trips_.front()->begun = trip->over;
  trip->block = BlockOf(PQtransactionStatus(connection_));
  trip->Finish(Trip::End::kDone);
}

void Connection::Lose() {
  if (std::exchange(lost_, true)) return;
  reactor_.Unwatch(socket_);
  std::deque<std::shared_ptr<Trip>> trips;
  trips.swap(trips_);
  for (const std::shared_ptr<Trip>& trip : trips) trip->Finish(Trip::End::kLost);
}

void Connection::Cancel() {
  if (lost_ || (cancelling_ != nullptr && !cancelling_->answered)) return;
  stray_cancel_ = stray_cancel_ || (cancelling_ != nullptr && !cancelling_->acknowledged);
  cancelling_ = std::make_shared<Cancelling>();
  Spawn(RunCancel(cancel_, cancelling_));
}

Block Connection::block() const {
  return lost_ ? Block::kUnknown : BlockOf(PQtransactionStatus(connection_));
}

std::string Connection::Settings() const {
  std::string settings;
  for (const char* const name : kReported) {
    const char* const value = PQparameterStatus(connection_, name);
    absl::StrAppend(&settings, value == nullptr ? "" : value, "\n");
  }
  return settings;
}

bool Connection::SettingsUnchanged() const {
  return Settings() == settings_;
}

}  // namespace sluice::postgres
