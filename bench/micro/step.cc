// sluice_step: how fast SQLite hands out rows with nothing around it. Steps one statement over and
// over in this process, reads every column, and prints one JSON object.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <sqlite3.h>

namespace sluice::bench {
namespace {

// Reads each column as its own type; the sum keeps the compiler from leaving anything out.
uint64_t ReadRow(sqlite3_stmt* statement, int columns) {
  uint64_t sum = 0;
  for (int i = 0; i < columns; ++i) {
    switch (sqlite3_column_type(statement, i)) {
      case SQLITE_INTEGER:
        sum += static_cast<uint64_t>(sqlite3_column_int64(statement, i));
        break;
      case SQLITE_FLOAT:
        sum += static_cast<uint64_t>(sqlite3_column_double(statement, i));
        break;
      case SQLITE_TEXT:
      case SQLITE_BLOB: {
        const auto* bytes = static_cast<const unsigned char*>(sqlite3_column_blob(statement, i));
        const int size = sqlite3_column_bytes(statement, i);
        if (size > 0) sum += bytes[0] + static_cast<uint64_t>(size);
        break;
      }
      default:
        break;
    }
  }
  return sum;
}

int Main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: sluice_step DATABASE SQL SECONDS\n", stderr);
    return 2;
  }
  sqlite3* database = nullptr;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_open_v2(argv[1], &database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr) !=
          SQLITE_OK ||
      sqlite3_prepare_v2(database, argv[2], -1, &statement, nullptr) != SQLITE_OK) {
    std::fprintf(stderr, "%s\n", sqlite3_errmsg(database));
    return 1;
  }
  const int columns = sqlite3_column_count(statement);
  const auto begin = std::chrono::steady_clock::now();
  const std::chrono::duration<double> enough(std::atof(argv[3]));
  std::chrono::duration<double> elapsed{};
  uint64_t rows = 0;
  uint64_t sum = 0;
  int rc = SQLITE_ROW;
  do {
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
      sum += ReadRow(statement, columns);
      ++rows;
    }
    sqlite3_reset(statement);
    elapsed = std::chrono::steady_clock::now() - begin;
  } while (rc == SQLITE_DONE && elapsed < enough);
  if (rc != SQLITE_DONE) {
    std::fprintf(stderr, "%s\n", sqlite3_errmsg(database));
    return 1;
  }
  std::printf("{\"rows\":%llu,\"rows_per_s\":%.0f,\"checksum\":%llu,\"sqlite\":\"%s\"}\n",
              static_cast<unsigned long long>(rows), static_cast<double>(rows) / elapsed.count(),
              static_cast<unsigned long long>(sum), sqlite3_libversion());
  sqlite3_finalize(statement);
  sqlite3_close(database);
  return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  return sluice::bench::Main(argc, argv);
}
