// sluice_insert: how fast SQLite alone makes single rows durable. Inserts one row per transaction
// in this process, with the settings that Sluice has, and prints one JSON object.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <sqlite3.h>

namespace sluice::bench {
namespace {

bool Run(sqlite3* database, const char* sql) {
  return sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

int Main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: sluice_insert DATABASE SQL SECONDS\n", stderr);
    return 2;
  }
  sqlite3* database = nullptr;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_open_v2(argv[1], &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr) !=
          SQLITE_OK ||
      !Run(database, "PRAGMA journal_mode=WAL") || !Run(database, "PRAGMA synchronous=FULL") ||
      sqlite3_prepare_v2(database, argv[2], -1, &statement, nullptr) != SQLITE_OK) {
    std::fprintf(stderr, "%s\n", sqlite3_errmsg(database));
    return 1;
  }
  using Clock = std::chrono::steady_clock;
  std::vector<double> micros;
  const auto begin = Clock::now();
  const std::chrono::duration<double> enough(std::atof(argv[3]));
  auto last = begin;
  int rc = SQLITE_DONE;
  do {
    sqlite3_bind_int64(statement, 1, static_cast<sqlite3_int64>(micros.size()));
    rc = sqlite3_step(statement);
    sqlite3_reset(statement);
    const auto now = Clock::now();
    micros.push_back(std::chrono::duration<double, std::micro>(now - last).count());
    last = now;
  } while (rc == SQLITE_DONE && last - begin < enough);
  if (rc != SQLITE_DONE) {
    std::fprintf(stderr, "%s\n", sqlite3_errmsg(database));
    return 1;
  }
  const std::chrono::duration<double> elapsed = last - begin;
  const auto count = static_cast<double>(micros.size());
  std::sort(micros.begin(), micros.end());
  std::printf("{\"rows\":%.0f,\"rows_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", count,
              count / elapsed.count(), micros[micros.size() / 2],
              micros[static_cast<size_t>(count * 0.99)]);
  sqlite3_finalize(statement);
  sqlite3_close(database);
  return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  return sluice::bench::Main(argc, argv);
}
