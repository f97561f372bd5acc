#include "server/db/postgres/connector.h"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <thread>

#include <poll.h>
#include <sys/socket.h>

#include <pg_config.h>

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
#include "server/db/postgres/libpq.h"
#include "server/db/postgres/sqlstate.h"

namespace sluice::postgres {
namespace {

constexpr int kMostThreads = 8;
// Threads beside those that are at something which nobody waits for any more.
constexpr int kMostStuck = 64;
constexpr absl::Duration kIdle = absl::Seconds(10);
constexpr absl::Duration kCancelLimit = absl::Seconds(5);
constexpr size_t kSqlstateLength = 5;
// Rounds that proving a password may take, about a second of work. libpq would go through as many
// as the server asks for, half an hour of them, and cannot be stopped.
constexpr int64_t kMostRounds = 1'000'000;
constexpr size_t kLoginBytes = 16'384;  // of the server's that are looked at

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
    Add();
  }

  // One of them is at something that may never end, or that has ended after all.
  void CountStuck(int change) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    stuck_ += change;
    if (!queue_.empty()) Add();
  }

 private:
  void Add() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (count_ >= kMostThreads + std::min(stuck_, kMostStuck)) return;
    ++count_;
    std::thread([this] {
      while (std::optional<std::function<void()>> next = Next()) (*next)();
    }).detach();
  }

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
  int stuck_ ABSL_GUARDED_BY(mu_) = 0;
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
};

// Attempt: something that a thread does, and somebody waits for, but not for ever. The answer is
// whichever of the two comes first.
template <class T>
class Attempt : public std::enable_shared_from_this<Attempt<T>> {
 public:
  // On an executor. `late` is the answer after `limit`.
  static Task<T> Run(Threads& threads, std::function<T()> work, absl::Duration limit, T late) {
    auto attempt = std::make_shared<Attempt>(threads);
    GiveUp give_up(*attempt, std::move(late));
    Executor::Current()->StartTimer(give_up, limit);
    T result = co_await Async<T>([&](Completion<T> done) {
      attempt->Arm(std::move(done));
      threads.Run([attempt, work = std::move(work)] {
        if (!attempt->Begin()) return;
        T result = work();
        attempt->End(std::move(result));
      });
    });
    Executor::Current()->CancelTimer(give_up);
    co_return result;
  }

  explicit Attempt(Threads& threads) : threads_(threads) {}

 private:
  struct GiveUp final : Timer {
    GiveUp(Attempt& owner, T late)
        : Timer([](Timer* timer) {
            auto* const self = static_cast<GiveUp*>(timer);
            self->attempt.GiveIn(std::move(self->answer));
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

  // False: nobody waits for it any more.
  bool Begin() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    running_ = done_.has_value();
    return running_;
  }

  // What comes too late is destroyed.
  void End(T value) ABSL_LOCKS_EXCLUDED(mu_) {
    if (!Resolve(std::move(value))) threads_.CountStuck(-1);
  }

  void GiveIn(T value) ABSL_LOCKS_EXCLUDED(mu_) {
    if (!Resolve(std::move(value))) return;
    MutexLock lock(&mu_);
    if (running_) threads_.CountStuck(1);
  }

  // False: the other was first.
  bool Resolve(T value) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (!done_.has_value()) return false;
    done_->Resolve(std::move(value));
    done_.reset();
    return true;
  }

  Threads& threads_;
  Mutex mu_;
  std::optional<Completion<T>> done_ ABSL_GUARDED_BY(mu_);
  bool running_ ABSL_GUARDED_BY(mu_) = false;
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
  socket.fd = pq.socket(connection);
  socket.events = wanted == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
  const absl::Duration left = end - Clock::System().Steady();
  if (left <= absl::ZeroDuration()) return false;
  return poll(&socket, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) > 0;
}

// Reads ahead in what the server says while it lets us in: whether it asks for a proof of the
// password that is more work than any honest server asks for. With TLS there is nothing to be read.
class Login {
 public:
  bool AsksTooMuch(const PGconn* connection) {
    const size_t before = seen_.size();
    if (before >= kLoginBytes) return false;
    seen_.resize(kLoginBytes);
    const ssize_t more =
        recv(pq.socket(connection), &seen_[before], kLoginBytes - before, MSG_PEEK | MSG_DONTWAIT);
    seen_.resize(before + static_cast<size_t>(std::max<ssize_t>(more, 0)));
    const size_t salt = seen_.find(",s=");
    const size_t rounds = salt == std::string::npos ? salt : seen_.find(",i=", salt);
    if (rounds == std::string::npos) return false;
    int64_t number = 0;
    for (size_t i = rounds + 3; i < seen_.size() && absl::ascii_isdigit(Byte(i)); ++i) {
      number = std::min(number * 10 + (seen_[i] - '0'), 10 * kMostRounds);
    }
    return number > kMostRounds;
  }

 private:
  unsigned char Byte(size_t index) const { return static_cast<unsigned char>(seen_[index]); }

  std::string seen_;
};

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
  RawConnection connection(pq.connectStartParams(names.data(), values.data(), /*expand_dbname=*/0));
  if (connection == nullptr || pq.status(connection.get()) == CONNECTION_BAD) {
    return ConnectFailed("");
  }
  pq.setErrorVerbosity(connection.get(), PQERRORS_SQLSTATE);
  // libpq would write them to our standard error.
  pq.setNoticeReceiver(
      connection.get(), [](void* /*unused*/, const PGresult* /*notice*/) {}, nullptr);
  Login login;
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status == PGRES_POLLING_WRITING || status == PGRES_POLLING_READING) {
    if (!WaitFor(connection.get(), status, end)) return ConnectFailed("");
    if (login.AsksTooMuch(connection.get())) {
      return errors::ConnectionInvalidTarget(
          "The database's server asks for a proof of the password that takes too much work.");
    }
    status = pq.connectPoll(connection.get());
  }
  if (status != PGRES_POLLING_OK) {
    return ConnectFailed(SqlstateIn(pq.errorMessage(connection.get())));
  }
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
  if (!LoadLibpq()) return errors::Internal("libpq cannot be loaded");
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
  return absl::StrCat(PG_VERSION_NUM / 10'000, ".", PG_VERSION_NUM % 10'000);
}

void FinishConnection::operator()(pg_conn* connection) const {
  pq.finish(connection);
}

absl::Duration ConnectLimit(const ConnectTarget& target) {
  return target.connect_timeout * static_cast<double>(std::max<size_t>(target.hosts.size(), 1));
}

Task<absl::StatusOr<RawConnection>> Connect(std::shared_ptr<const ConnectTarget> target,
                                            Egress egress,
                                            Keywords more) {
  using Made = absl::StatusOr<RawConnection>;
  const absl::Duration limit = ConnectLimit(*target);
  std::function<Made()> work = [target, egress, more] { return ConnectNow(*target, egress, more); };
  Made late = ConnectFailed("");
  Made made = co_await Attempt<Made>::Run(Threads::ForConnecting(), std::move(work), limit,
                                          std::move(late));
  co_return made;
}

Task<bool> Cancel(std::shared_ptr<pg_cancel> cancel) {
  std::function<bool()> work = [cancel] {
    std::array<char, 256> error{};
    return pq.cancel(cancel.get(), error.data(), static_cast<int>(error.size())) == 1;
  };
  const bool cancelled =
      co_await Attempt<bool>::Run(Threads::ForCancelling(), std::move(work), kCancelLimit, false);
  co_return cancelled;
}

}  // namespace sluice::postgres
