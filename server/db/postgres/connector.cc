#include "server/db/postgres/connector.h"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <thread>

#include <libpq-fe.h>
#include <poll.h>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "server/async/executor.h"
#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/db/postgres/sqlstate.h"

namespace sluice::postgres {
namespace {

constexpr int kMostThreads = 8;
constexpr absl::Duration kIdle = absl::Seconds(10);
constexpr absl::Duration kCancelLimit = absl::Seconds(5);
constexpr size_t kSqlstateLength = 5;

// A few threads that may hang. Nobody joins them: what they work on belongs to their work alone.
class Threads {
 public:
  // They outlive every thread. A server that does not answer a cancel keeps nobody from connecting.
  static Threads& ForConnecting() {
    static auto* const threads = new Threads;
    return *threads;
  }

  static Threads& ForCancelling() {
    static auto* const threads = new Threads;
    return *threads;
  }

  void Run(std::function<void()> work) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    queue_.push_back(std::move(work));
    if (idle_ >= queue_.size()) return wake_.Signal();
    if (count_ == kMostThreads) return;
    ++count_;
    std::thread([this] {
      while (std::optional<std::function<void()>> next = Next()) (*next)();
    }).detach();
  }

 private:
  // Nothing: the thread is not needed.
  std::optional<std::function<void()>> Next() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    ++idle_;
    bool late = false;
    while (queue_.empty() && !late) late = wake_.WaitWithTimeout(&mu_, kIdle);
    --idle_;
    if (queue_.empty()) {
      --count_;
      return std::nullopt;
    }
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    return work;
  }

  Mutex mu_;
  CondVar wake_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  int count_ ABSL_GUARDED_BY(mu_) = 0;
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
};

// Attempt: something that a thread does, and somebody waits for, but not for ever. The answer is
// whichever of the two comes first.
template <class T>
class Attempt : public std::enable_shared_from_this<Attempt<T>> {
 public:
  // On an executor. `late` is the answer after `limit`.
  static Task<T> Run(Threads& threads, std::function<T()> work, absl::Duration limit, T late) {
    auto attempt = std::make_shared<Attempt>();
    GiveUp give_up(*attempt, std::move(late));
    Executor::Current()->StartTimer(give_up, limit);
    T result = co_await Async<T>([&](Completion<T> done) {
      attempt->Arm(std::move(done));
      threads.Run([attempt, work = std::move(work)] {
        if (attempt->waited_for()) attempt->Resolve(work());
      });
    });
    Executor::Current()->CancelTimer(give_up);
    co_return result;
  }

  bool waited_for() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return done_.has_value();
  }

  // What comes too late is destroyed.
  void Resolve(T value) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (!done_.has_value()) return;
    done_->Resolve(std::move(value));
    done_.reset();
  }

 private:
  struct GiveUp final : Timer {
    GiveUp(Attempt& owner, T late)
        : Timer([](Timer* timer) {
            auto* const self = static_cast<GiveUp*>(timer);
            self->attempt.Resolve(std::move(self->answer));
          }),
          attempt(owner),
          answer(std::move(late)) {}

    Attempt& attempt;
    T answer;
  };

  void Arm(Completion<T> done) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    done_.emplace(std::move(done));
  }

  mutable Mutex mu_;
  std::optional<Completion<T>> done_ ABSL_GUARDED_BY(mu_);
};

const std::string* Find(const Keywords& keywords, absl::string_view name) {
  const auto found = std::find_if(keywords.begin(), keywords.end(),
                                  [&](const auto& each) { return each.first == name; });
  return found == keywords.end() ? nullptr : &found->second;
}

// The keywords for each host by itself: a host that does not answer must not use up the time of the
// others, and libpq watches no clock where it does not wait itself.
std::vector<Keywords> PerHost(const Keywords& all) {
  std::vector<Keywords> out;
  const std::string* const host = Find(all, "host");
  const size_t count =
      host == nullptr ? 1 : std::vector<std::string>(absl::StrSplit(*host, ',')).size();
  for (size_t i = 0; i < count; ++i) {
    Keywords one;
    for (const auto& [name, value] : all) {
      if (name != "host" && name != "hostaddr" && name != "port") {
        one.emplace_back(name, value);
        continue;
      }
      const std::vector<std::string> each = absl::StrSplit(value, ',');
      one.emplace_back(name, each.size() == 1 ? each[0] : i < each.size() ? each[i] : "");
    }
    out.push_back(std::move(one));
  }
  return out;
}

// The last SQLSTATE in libpq's account of a failed start, which ends with one in the verbosity that
// asks for no more; the text around it is not for anybody's eyes.
std::string SqlstateIn(absl::string_view account) {
  for (const absl::string_view line : absl::StrSplit(account, '\n')) {
    const absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.size() <= kSqlstateLength) continue;
    const absl::string_view last = text.substr(text.size() - kSqlstateLength);
    const bool alone = text[text.size() - kSqlstateLength - 1] == ' ';
    const bool code = std::all_of(last.begin(), last.end(), [](char c) {
      return absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
             absl::ascii_isupper(static_cast<unsigned char>(c));
    });
    if (alone && code) return std::string(last);
  }
  return "";
}

// Waits until the socket is ready for what libpq wants next.
bool WaitFor(const PGconn* connection, PostgresPollingStatusType wanted, absl::Duration end) {
  pollfd socket{};
  socket.fd = PQsocket(connection);
  socket.events = wanted == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
  const absl::Duration left = end - Clock::System().Steady();
  if (left <= absl::ZeroDuration()) return false;
  return poll(&socket, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) > 0;
}

absl::StatusOr<RawConnection> ConnectTo(const Keywords& keywords, absl::Duration limit) {
  std::vector<const char*> names;
  std::vector<const char*> values;
  for (const auto& [name, value] : keywords) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  const absl::Duration end = Clock::System().Steady() + limit;
  RawConnection connection(PQconnectStartParams(names.data(), values.data(), /*expand_dbname=*/0));
  if (connection == nullptr || PQstatus(connection.get()) == CONNECTION_BAD) {
    return ConnectFailed("");
  }
  PQsetErrorVerbosity(connection.get(), PQERRORS_SQLSTATE);
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status == PGRES_POLLING_WRITING || status == PGRES_POLLING_READING) {
    if (!WaitFor(connection.get(), status, end)) return ConnectFailed("");
    status = PQconnectPoll(connection.get());
  }
  if (status != PGRES_POLLING_OK) {
    return ConnectFailed(SqlstateIn(PQerrorMessage(connection.get())));
  }
  PQsetErrorVerbosity(connection.get(), PQERRORS_DEFAULT);
  return connection;
}

// Tries one host after the other, and answers the failure of the last; one that says more than that
// nobody answered goes before.
absl::StatusOr<RawConnection> ConnectToAny(const std::vector<Keywords>& hosts,
                                           absl::Duration limit) {
  absl::Status failure = ConnectFailed("");
  for (const Keywords& host : hosts) {
    absl::StatusOr<RawConnection> connection = ConnectTo(host, limit);
    if (connection.ok()) return connection;
    if (!errors::IsTransient(connection.status()) || errors::IsTransient(failure)) {
      failure = connection.status();
    }
  }
  return failure;
}

absl::StatusOr<RawConnection> ConnectNow(const ConnectTarget& target,
                                         const Egress& egress,
                                         const Keywords& more) {
  TRY(Keywords keywords, Resolve(target, egress));
  keywords.insert(keywords.end(), more.begin(), more.end());
  std::vector<Keywords> hosts = PerHost(keywords);
  const std::string* const wanted = Find(keywords, "target_session_attrs");
  if (hosts.size() == 1 || wanted == nullptr || *wanted != "prefer-standby") {
    return ConnectToAny(hosts, target.connect_timeout);
  }
  for (const absl::string_view each : {"standby", "any"}) {
    for (Keywords& host : hosts) {
      for (auto& [name, value] : host) {
        if (name == "target_session_attrs") value = std::string(each);
      }
    }
    absl::StatusOr<RawConnection> connection = ConnectToAny(hosts, target.connect_timeout);
    if (connection.ok() || each == "any") return connection;
  }
  return ConnectFailed("");
}

}  // namespace

std::string ClientVersion() {
  return absl::StrCat(PQlibVersion() / 10'000, ".", PQlibVersion() % 10'000);
}

void FinishConnection::operator()(pg_conn* connection) const {
  PQfinish(connection);
}

Task<absl::StatusOr<RawConnection>> Connect(std::shared_ptr<const ConnectTarget> target,
                                            Egress egress,
                                            Keywords more) {
  using Made = absl::StatusOr<RawConnection>;
  const absl::Duration limit =
      target->connect_timeout * static_cast<double>(std::max<size_t>(target->hosts.size(), 1));
  std::function<Made()> work = [target, egress, more] { return ConnectNow(*target, egress, more); };
  Made late = ConnectFailed("");
  Made made = co_await Attempt<Made>::Run(Threads::ForConnecting(), std::move(work), limit,
                                          std::move(late));
  co_return made;
}

Task<bool> Cancel(std::shared_ptr<pg_cancel> cancel) {
  std::function<bool()> work = [cancel] {
    std::array<char, 256> error{};
    return PQcancel(cancel.get(), error.data(), static_cast<int>(error.size())) == 1;
  };
  const bool cancelled =
      co_await Attempt<bool>::Run(Threads::ForCancelling(), std::move(work), kCancelLimit, false);
  co_return cancelled;
}

}  // namespace sluice::postgres
