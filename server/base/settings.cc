#include "server/base/settings.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace sluice {
namespace {

using Kind = SettingKind;

constexpr int64_t kKiB = 1 << 10;
constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kSecond = 1000;
constexpr int64_t kHour = 3600 * kSecond;
constexpr int64_t kDay = 24 * kHour;

constexpr SettingSpec Text(absl::string_view key,
                           std::string& (*field)(Settings&),
                           absl::string_view description) {
  return {key, Kind::kText, field, description};
}

constexpr SettingSpec Secret(absl::string_view key,
                             std::string& (*field)(Settings&),
                             absl::string_view description) {
  SettingSpec spec = Text(key, field, description);
  spec.secret = true;
  return spec;
}

constexpr SettingSpec Choice(absl::string_view key,
                             std::string& (*field)(Settings&),
                             absl::string_view choices,
                             absl::string_view description) {
  return {key, Kind::kChoice, field, description, 0, 0, choices};
}

constexpr SettingSpec Boolean(absl::string_view key,
                              bool& (*field)(Settings&),
                              absl::string_view description) {
  return {key, Kind::kBoolean, field, description};
}

constexpr SettingSpec Integer(absl::string_view key,
                              int64_t& (*field)(Settings&),
                              int64_t min,
                              int64_t max,
                              absl::string_view description) {
  return {key, Kind::kInteger, field, description, min, max};
}

constexpr SettingSpec Size(absl::string_view key,
                           int64_t& (*field)(Settings&),
                           int64_t min,
                           int64_t max,
                           absl::string_view description) {
  return {key, Kind::kSize, field, description, min, max};
}

constexpr SettingSpec Duration(absl::string_view key,
                               absl::Duration& (*field)(Settings&),
                               int64_t min_ms,
                               int64_t max_ms,
                               absl::string_view description) {
  return {key, Kind::kDuration, field, description, min_ms, max_ms};
}

using S = Settings;

// clang-format off
constexpr std::array kSpecs = {
    Text("listen", [](S& s) -> auto& { return s.listen; },
         "Address of the gRPC server: 127.0.0.1:PORT, [::1]:PORT (0: any) or unix:PATH"),
    Text("admin", [](S& s) -> auto& { return s.admin; },
         "Address of the HTTP admin port; there is none yet, so it must stay empty"),
    Text("data_dir", [](S& s) -> auto& { return s.data_dir; },
         "Folder of the embedded database and of the server's own state; unless set, "
         "$XDG_DATA_HOME/sluice, else ~/.local/share/sluice, else ./sluice-data"),
    Secret("database.url", [](S& s) -> auto& { return s.database.url; },
           "URL of the connection 'default'; empty: the SQLite file sluice.db in data_dir"),
    Choice("log.level", [](S& s) -> auto& { return s.log.level; }, "debug|info|warning|error|off",
           "Least level that is logged"),
    Boolean("log.sql", [](S& s) -> auto& { return s.log.sql; },
            "Log each statement; for development"),
    Boolean("monitoring", [](S& s) -> auto& { return s.monitoring; },
            "Collect figures on calls and databases"),
    Choice("reflection", [](S& s) -> auto& { return s.reflection; }, "auto|on|off",
           "gRPC server reflection; auto: where only this machine reaches the server"),
    Duration("command_timeout", [](S& s) -> auto& { return s.command_timeout; }, 1, kDay,
             "Longest time of a statement, whatever deadline the caller gave"),
    Size("limits.request_bytes", [](S& s) -> auto& { return s.limits.request_bytes; },
         kKiB, 1024 * kMiB, "Largest request message"),
    Size("limits.metadata_bytes", [](S& s) -> auto& { return s.limits.metadata_bytes; },
         kKiB, kMiB, "Largest metadata of a call"),
    Integer("limits.max_rows", [](S& s) -> auto& { return s.limits.max_rows; }, 1, 1'000'000,
            "Rows of a unary result, unless the request says otherwise"),
    Size("limits.max_bytes", [](S& s) -> auto& { return s.limits.max_bytes; }, kKiB, 64 * kMiB,
         "Bytes of a unary result, unless the request says otherwise"),
    Size("limits.chunk_bytes", [](S& s) -> auto& { return s.limits.chunk_bytes; },
         4 * kKiB, 256 * kKiB, "Bytes of a streamed chunk of rows"),
    Duration("limits.stream_stall", [](S& s) -> auto& { return s.limits.stream_stall; },
             100, kHour, "How long a stream waits for a reader that takes nothing"),
    Duration("limits.stream_idle", [](S& s) -> auto& { return s.limits.stream_idle; }, 100,
             24 * kHour, "How long a stream waits for the next message of a client that sends"),
    Integer("limits.max_calls", [](S& s) -> auto& { return s.limits.max_calls; }, 1, 1'000'000,
            "Calls in flight; more are answered RESOURCE_EXHAUSTED"),
    Integer("limits.max_streams_per_connection",
            [](S& s) -> auto& { return s.limits.max_streams_per_connection; }, 1, 100'000,
            "Calls in flight of one client connection"),
    Integer("limits.value_depth", [](S& s) -> auto& { return s.limits.value_depth; }, 1, 32,
            "Nesting of values in a request"),
    Integer("limits.connections", [](S& s) -> auto& { return s.limits.connections; }, 1, 10'000,
            "Connections that callers may register, all together"),
    Duration("shutdown.grace", [](S& s) -> auto& { return s.shutdown.grace; }, 0, kHour,
             "How long calls may finish after SIGTERM"),
    Text("sqlite.root", [](S& s) -> auto& { return s.sqlite.root; },
         "Folder that SQLite files of registered connections lie beneath; empty: databases in "
         "data_dir, made when it is needed"),
    Integer("sqlite.readers", [](S& s) -> auto& { return s.sqlite.readers; }, 1, 64,
            "Reader threads of a SQLite file"),
    Integer("sqlite.queue", [](S& s) -> auto& { return s.sqlite.queue; }, 1, 1'000'000,
            "Statements that may wait for a SQLite file's threads"),
    Duration("sqlite.busy_timeout", [](S& s) -> auto& { return s.sqlite.busy_timeout; },
             0, kHour, "How long a statement waits for a lock of another process"),
    Duration("sqlite.max_snapshot_age", [](S& s) -> auto& { return s.sqlite.max_snapshot_age; },
             kSecond, 24 * kHour, "Age at which a read is ended, so that the WAL can be reset"),
    Integer("sqlite.statement_cache", [](S& s) -> auto& { return s.sqlite.statement_cache; },
            1, 100'000, "Prepared statements kept by each SQLite connection"),
    Integer("sqlite.loop_budget", [](S& s) -> auto& { return s.sqlite.loop_budget; },
            0, 10'000'000, "VM steps that a read may take on an event loop; 0: no statement runs there"),
    Size("sqlite.journal_limit", [](S& s) -> auto& { return s.sqlite.journal_limit; },
         kMiB, 1024 * 1024 * kMiB,
         "Size of the journal from which on the reads that keep it from starting over are ended"),
    Duration("sqlite.load_idle", [](S& s) -> auto& { return s.sqlite.load_idle; }, 100, kHour,
             "How long an atomic bulk load may keep the writer waiting for its next chunk"),
    Duration("sqlite.load_limit", [](S& s) -> auto& { return s.sqlite.load_limit; }, 100,
             24 * kHour, "How long an atomic bulk load may last"),
    Duration("sqlite.writer_idle", [](S& s) -> auto& { return s.sqlite.writer_idle; }, 10, kHour,
             "How long a transaction may keep the writer without doing anything"),
    Duration("sqlite.writer_limit", [](S& s) -> auto& { return s.sqlite.writer_limit; }, 10,
             24 * kHour, "How long a transaction may have the writer"),
    Duration("transactions.idle_timeout",
             [](S& s) -> auto& { return s.transactions.idle_timeout; }, 10, 24 * kHour,
             "Longest time that a transaction may do nothing before it is rolled back"),
    Duration("transactions.max_life", [](S& s) -> auto& { return s.transactions.max_life; }, 10,
             24 * kHour, "Age at which a transaction is rolled back"),
    Integer("transactions.per_connection",
            [](S& s) -> auto& { return s.transactions.per_connection; }, 1, 1'000'000,
            "Transactions that may be open on one connection"),
    Integer("transactions.per_caller", [](S& s) -> auto& { return s.transactions.per_caller; }, 1,
            1'000'000,
            "Transactions that one caller may have open: a principal, or without authentication a "
            "client's connection to the server, where it is not a Unix socket"),
    Integer("pool.min", [](S& s) -> auto& { return s.pool.min; }, 0, 10'000,
            "PostgreSQL: connections that are kept open"),
    Integer("pool.max", [](S& s) -> auto& { return s.pool.max; }, 1, 10'000,
            "PostgreSQL: connections that are kept at most"),
    Integer("pool.overflow", [](S& s) -> auto& { return s.pool.overflow; }, 0, 10'000,
            "PostgreSQL: connections beyond pool.max for a short time"),
    Integer("pool.waiters", [](S& s) -> auto& { return s.pool.waiters; }, 0, 1'000'000,
            "PostgreSQL: calls that may wait for a connection"),
    Duration("pool.acquire_timeout", [](S& s) -> auto& { return s.pool.acquire_timeout; },
             1, kHour, "PostgreSQL: how long a call waits for a connection"),
    Duration("pool.idle_timeout", [](S& s) -> auto& { return s.pool.idle_timeout; }, kSecond, kDay,
             "PostgreSQL: how long a connection beyond pool.min is kept without work"),
    Duration("pool.recycle", [](S& s) -> auto& { return s.pool.recycle; }, 0, 30 * kDay,
             "PostgreSQL: age at which a connection is replaced; 0s: never"),
    Duration("pool.pre_ping", [](S& s) -> auto& { return s.pool.pre_ping; }, 0, kDay,
             "PostgreSQL: a connection that had no work for longer is tried before it is used; 0s: "
             "never"),
    Integer("pool.statement_cache", [](S& s) -> auto& { return s.pool.statement_cache; }, 1,
            100'000, "PostgreSQL: prepared statements kept by each connection"),
    Integer("pool.lanes", [](S& s) -> auto& { return s.pool.lanes; }, 0, 16,
            "PostgreSQL: connections that short statements of all callers share; 0: none"),
    Duration("pool.lane_allowance", [](S& s) -> auto& { return s.pool.lane_allowance; }, 10,
             10 * kSecond,
             "PostgreSQL: how long a statement may take on a lane before it is run again elsewhere"),
    Duration("pool.commit_grace", [](S& s) -> auto& { return s.pool.commit_grace; }, 100, kHour,
             "PostgreSQL: how long COMMIT is waited for before its outcome is unknown"),
    Choice("pool.session_hygiene", [](S& s) -> auto& { return s.pool.session_hygiene; },
           "auto|strict",
           "PostgreSQL: whether everything of a session is forgotten before the next one has it, or "
           "only where something may have been left"),
    Boolean("egress.loopback", [](S& s) -> auto& { return s.egress.loopback; },
            "Whether databases that callers register may be on this machine; 'default' always may"),
    Boolean("egress.private", [](S& s) -> auto& { return s.egress.private_networks; },
            "Whether databases that callers register may be in private networks"),
    Text("egress.ports", [](S& s) -> auto& { return s.egress.ports; },
         "Ports that databases which callers register may listen on; empty: any"),
};
// clang-format on

}  // namespace

std::string SettingSpec::flag() const {
  if (key == "database.url") return "--database";
  return absl::StrCat("--", absl::StrReplaceAll(key, {{".", "-"}, {"_", "-"}}));
}

std::string SettingSpec::environment() const {
  return absl::StrCat("SLUICE_", absl::AsciiStrToUpper(absl::StrReplaceAll(key, {{".", "_"}})));
}

absl::Span<const SettingSpec> SettingSpecs() {
  return kSpecs;
}

const SettingSpec* FindSetting(absl::string_view key) {
  const auto spec = std::find_if(kSpecs.begin(), kSpecs.end(),
                                 [key](const SettingSpec& s) { return s.key == key; });
  return spec == kSpecs.end() ? nullptr : &*spec;
}

}  // namespace sluice
