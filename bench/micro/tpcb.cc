// sluice_tpcb: how many transactions of pgbench SQLite alone makes durable. Threads with a
// connection each run them in this process, with the settings that Sluice has; prints one JSON
// object. With --create it only makes the database.

#include "bench/tpcb.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sqlite3.h>

#include <CLI/CLI.hpp>

#include "bench/load/cpu_clock.h"
#include "bench/random.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kBusyMillis = 10'000;

// pgbench's tables, with as many spaces of filler.
constexpr char kTables[] = R"sql(
CREATE TABLE pgbench_branches(bid INTEGER PRIMARY KEY, bbalance INTEGER, filler TEXT);
CREATE TABLE pgbench_tellers(tid INTEGER PRIMARY KEY, bid INTEGER, tbalance INTEGER, filler TEXT);
CREATE TABLE pgbench_accounts(aid INTEGER PRIMARY KEY, bid INTEGER, abalance INTEGER, filler TEXT);
CREATE TABLE pgbench_history(tid INTEGER, bid INTEGER, aid INTEGER, delta INTEGER, mtime TEXT,
                             filler TEXT);
)sql";

// ?1 is the number of rows, ?2 that of branches where it is asked for.
constexpr const char* kRows[] = {
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
    " INSERT INTO pgbench_branches SELECT i, 0, printf('%88s', '') FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
    " INSERT INTO pgbench_tellers SELECT i, (i - 1) % ?2 + 1, 0, printf('%84s', '') FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
    " INSERT INTO pgbench_accounts SELECT i, (i - 1) % ?2 + 1, 0, printf('%84s', '') FROM n",
};

struct Options {
  std::string database;
  bool create = false;
  TpcbSize size;
  int threads = 32;
  double warm_up = 1;
  double duration = 3;
  uint64_t seed = 1;
};

struct Closer {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }

  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

using Statement = std::unique_ptr<sqlite3_stmt, Closer>;

// One thread's connection, and the statements of the transaction. Every int is SQLite's result.
class Connection {
 public:
  bool Open(const std::string& path) {
    sqlite3* database = nullptr;
    const int rc =
        sqlite3_open_v2(path.c_str(), &database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    database_.reset(database);
    if (rc != SQLITE_OK) return false;
    sqlite3_busy_timeout(database, kBusyMillis);
    return Run("PRAGMA journal_mode=WAL") && Run("PRAGMA synchronous=FULL") &&
           Run("PRAGMA cache_size=-8192") && Run("PRAGMA secure_delete=OFF");
  }

  bool Run(const char* sql) {
    return sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK;
  }

  Statement Prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(database_.get(), sql, -1, &statement, nullptr);
    return Statement(statement);
  }

  bool PrepareTransaction() {
    begin_ = Prepare("BEGIN IMMEDIATE");
    commit_ = Prepare("COMMIT");
    rollback_ = Prepare("ROLLBACK");
    bool ok = begin_ && commit_ && rollback_;
    for (const TpcbStatement& each : kTpcbStatements) {
      statements_.push_back(Prepare(each.sql));
      ok = ok && statements_.back();
    }
    return ok;
  }

  // After an error nothing of the transaction remains.
  int Transact(const TpcbValues& values) {
    int rc = Step(begin_.get());
    if (rc != SQLITE_OK) return rc;
    for (size_t i = 0; i < statements_.size() && rc == SQLITE_OK; ++i) {
      Bind(statements_[i].get(), kTpcbStatements[i], values);
      rc = Step(statements_[i].get());
    }
    if (rc == SQLITE_OK) rc = Step(commit_.get());
    if (rc != SQLITE_OK) Step(rollback_.get());
    return rc;
  }

  static int Step(sqlite3_stmt* statement) {
    while (sqlite3_step(statement) == SQLITE_ROW) sqlite3_column_int64(statement, 0);
    return sqlite3_reset(statement);
  }

  const char* Error() const { return sqlite3_errmsg(database_.get()); }

 private:
  static void Bind(sqlite3_stmt* statement, const TpcbStatement& shape, const TpcbValues& values) {
    int at = 0;
    for (const auto param : shape.params) {
      if (param != nullptr) sqlite3_bind_int64(statement, ++at, values.*param);
    }
  }

  std::unique_ptr<sqlite3, Closer> database_;
  Statement begin_;
  Statement commit_;
  Statement rollback_;
  std::vector<Statement> statements_;
};

// What one thread did.
struct Work {
  uint64_t transactions = 0;   // from the first to the last
  uint64_t busy = 0;           // attempts that came to nothing
  std::vector<double> micros;  // of those that ended while it was measured
  std::string error;
};

int Complain(const char* error) {
  std::fprintf(stderr, "%s\n", error);
  return 1;
}

int Create(const Options& options) {
  Connection connection;
  if (!connection.Open(options.database) || !connection.Run("BEGIN") || !connection.Run(kTables)) {
    return Complain(connection.Error());
  }
  const uint64_t counts[] = {options.size.branches, options.size.tellers(), options.size.accounts};
  for (size_t i = 0; i < std::size(kRows); ++i) {
    const Statement insert = connection.Prepare(kRows[i]);
    sqlite3_bind_int64(insert.get(), 1, static_cast<sqlite3_int64>(counts[i]));
    sqlite3_bind_int64(insert.get(), 2, static_cast<sqlite3_int64>(options.size.branches));
    if (Connection::Step(insert.get()) != SQLITE_OK) return Complain(connection.Error());
  }
  if (!connection.Run("COMMIT") || !connection.Run("PRAGMA wal_checkpoint(TRUNCATE)")) {
    return Complain(connection.Error());
  }
  return 0;
}

void RunThread(const Options& options,
               uint64_t seed,
               Clock::time_point from,
               Clock::time_point end,
               Work& work) {
  Connection connection;
  if (!connection.Open(options.database) || !connection.PrepareTransaction()) {
    work.error = connection.Error();
    return;
  }
  Random random(seed);
  for (auto now = Clock::now(); now < end;) {
    const TpcbValues values = RandomTpcb(options.size, random);
    const auto begin = now;
    int rc = connection.Transact(values);
    for (; rc == SQLITE_BUSY; rc = connection.Transact(values)) ++work.busy;
    if (rc != SQLITE_OK) {
      work.error = connection.Error();
      return;
    }
    ++work.transactions;
    now = Clock::now();
    if (now < from || now >= end) continue;
    work.micros.push_back(std::chrono::duration<double, std::micro>(now - begin).count());
  }
}

int Print(const Options& options, const std::vector<Work>& works, int64_t cpu_nanos) {
  uint64_t transactions = 0;
  uint64_t busy = 0;
  std::vector<double> micros;
  for (const Work& work : works) {
    if (!work.error.empty()) return Complain(work.error.c_str());
    transactions += work.transactions;
    busy += work.busy;
    micros.insert(micros.end(), work.micros.begin(), work.micros.end());
  }
  if (micros.empty()) return Complain("no transaction ended in time");
  std::sort(micros.begin(), micros.end());
  const auto count = static_cast<double>(micros.size());
  std::printf(
      "{\"transactions\":%llu,\"busy\":%llu,\"transactions_per_s\":%.0f,\"p50_us\":%.1f,"
      "\"p99_us\":%.1f,\"max_us\":%.1f,\"cpu_us_per_transaction\":%.1f}\n",
      static_cast<unsigned long long>(transactions), static_cast<unsigned long long>(busy),
      count / options.duration, micros[micros.size() / 2],
      micros[static_cast<size_t>(count * 0.99)], micros.back(),
      static_cast<double>(cpu_nanos) / 1e3 / count);
  return 0;
}

int Run(const Options& options) {
  const auto from = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                       std::chrono::duration<double>(options.warm_up));
  const auto end = from + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(options.duration));
  std::vector<Work> works(static_cast<size_t>(options.threads));
  std::vector<std::thread> threads;
  for (Work& work : works) {
    const uint64_t seed = options.seed + (uint64_t{threads.size()} << 32);
    threads.emplace_back(
        [&options, &work, seed, from, end] { RunThread(options, seed, from, end, work); });
  }
  std::this_thread::sleep_until(from);
  const int64_t cpu = ProcessCpuNanos(0);
  std::this_thread::sleep_until(end);
  const int64_t cpu_nanos = ProcessCpuNanos(0) - cpu;
  for (std::thread& thread : threads) thread.join();
  return Print(options, works, cpu_nanos);
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Runs the transactions of pgbench through the SQLite library alone.");
  app.add_option("database", options.database, "The database file")->required();
  app.add_flag("--create", options.create, "Only make the database");
  app.add_option("--branches", options.size.branches, "Branches; of tellers there are ten each")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--accounts", options.size.accounts, "Accounts in all")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Threads, with a connection each")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--warmup", options.warm_up, "Seconds before measuring")->capture_default_str();
  app.add_option("--duration", options.duration, "Seconds to measure")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Seed of the random values")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return options.create ? Create(options) : Run(options);
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  return sluice::bench::Main(argc, argv);
}
