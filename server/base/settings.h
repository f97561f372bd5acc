// What can be set: the values as the server uses them, and the table that says for each its key,
// kind, limits and purpose. Flag and environment names follow from the key.
#ifndef SLUICE_SERVER_BASE_SETTINGS_H_
#define SLUICE_SERVER_BASE_SETTINGS_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace sluice {

// Settings: the whole configuration, checked. Made once at the start, constant afterwards.
struct Settings {
  std::string listen = "127.0.0.1:50051";  // or [::1]:PORT, unix:PATH; port 0: any
  std::string admin;                       // there is no admin port yet: always empty
  std::string data_dir = "./sluice-data";
  std::string reflection = "auto";  // auto, on, off
  bool monitoring = true;
  absl::Duration command_timeout = absl::Seconds(60);

  struct Database {
    std::string url;  // empty: sluice.db in data_dir; may hold a password
  } database;

  struct Log {
    std::string level = "info";  // debug, info, warning, error, off
    bool sql = false;
  } log;

  struct Limits {
    int64_t request_bytes = 16 << 20;
    int64_t metadata_bytes = 8 << 10;
    int64_t max_rows = 1000;
    int64_t max_bytes = 4 << 20;
    int64_t chunk_bytes = 256 << 10;
    absl::Duration stream_stall = absl::Seconds(30);
    absl::Duration stream_idle = absl::Seconds(60);
    int64_t max_calls = 1000;
    int64_t max_streams_per_connection = 100;
    int64_t value_depth = 32;
    int64_t connections = 100;  // registered ones
  } limits;

  struct Shutdown {
    absl::Duration grace = absl::Seconds(10);
  } shutdown;

  struct Sqlite {
    std::string root;  // empty: databases in data_dir
    int64_t readers = 4;
    int64_t queue = 1024;
    absl::Duration busy_timeout = absl::Seconds(5);
    absl::Duration max_snapshot_age = absl::Seconds(60);
    int64_t statement_cache = 256;
    int64_t loop_budget = 5000;  // VM steps; 0: no statement runs on a loop
    int64_t journal_limit = 256 << 20;
    absl::Duration load_idle = absl::Seconds(5);
    absl::Duration load_limit = absl::Seconds(60);
    absl::Duration writer_idle = absl::Seconds(5);
    absl::Duration writer_limit = absl::Seconds(60);
  } sqlite;

  struct Transactions {
    absl::Duration idle_timeout = absl::Seconds(30);
    absl::Duration max_life = absl::Minutes(10);
    int64_t per_connection = 1000;
    int64_t per_caller = 250;
  } transactions;

  struct Pool {
    int64_t min = 0;
    int64_t max = 10;
    int64_t overflow = 20;
    int64_t waiters = 1024;
    absl::Duration acquire_timeout = absl::Seconds(30);
    absl::Duration idle_timeout = absl::Minutes(10);
    absl::Duration recycle = absl::Seconds(3600);  // zero: never
    absl::Duration pre_ping = absl::Seconds(5);    // zero: never
    int64_t statement_cache = 200;
    int64_t lanes = 2;  // 0: none
    absl::Duration lane_allowance = absl::Milliseconds(250);
    absl::Duration commit_grace = absl::Seconds(30);
    std::string session_hygiene = "auto";  // auto, strict
  } pool;

  // Where the server connects because a caller said so.
  struct Egress {
    bool loopback = true;
    bool private_networks = true;
    std::string ports = "5432,6432";  // empty: any
  } egress;

  // Reflection is on by `auto` where only this machine can reach the server, which today is always.
  bool reflection_on() const { return reflection != "off"; }
};

// How a value is written.
enum class SettingKind {
  kText,
  kChoice,    // one of a few words
  kBoolean,   // true or false; on, off, yes, no, 1, 0 outside the file
  kInteger,   //
  kSize,      // bytes: 512, 8KiB, 16MiB, 1GiB
  kDuration,  // 250ms, 30s, 5m, 1h, 1h30m
};

// SettingSpec: one row of the table.
struct SettingSpec {
  // The field, by its type.
  using Field = std::variant<std::string& (*)(Settings&),
                             bool& (*)(Settings&),
                             int64_t& (*)(Settings&),
                             absl::Duration& (*)(Settings&)>;

  absl::string_view key;  // "limits.max_rows": also its place in the file
  SettingKind kind;
  Field field;
  absl::string_view description;
  int64_t min = 0;                 // durations: milliseconds
  int64_t max = 0;                 // 0 where the kind has no range
  absl::string_view choices = "";  // "auto|on|off"
  bool secret = false;             // shown without its secret part

  std::string flag() const;         // "--limits-max-rows"; the database's is "--database"
  std::string environment() const;  // "SLUICE_LIMITS_MAX_ROWS"
};

// Every setting, in the order in which they are shown.
absl::Span<const SettingSpec> SettingSpecs();

// nullptr if there is none.
const SettingSpec* FindSetting(absl::string_view key);

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_SETTINGS_H_
