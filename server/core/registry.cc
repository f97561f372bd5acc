#include "server/core/registry.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/core/migrations.h"

namespace sluice::core {
namespace {

constexpr absl::string_view kSqlite = "sqlite";
constexpr absl::string_view kPostgresql = "postgresql";

void AddBytes(const ids::Hash& hash, db::Params& params) {
  params.Add()->set_bytes_value(hash.data(), hash.size());
}

// Names and values are our own words: no separator is in them.
std::string Packed(const std::map<std::string, std::string>& options) {
  return absl::StrJoin(options, "&", absl::PairFormatter("="));
}

std::map<std::string, std::string> Unpacked(absl::string_view text) {
  std::map<std::string, std::string> options;
  for (const absl::string_view pair : absl::StrSplit(text, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    options.emplace(parts.first, parts.second);
  }
  return options;
}

absl::StatusOr<Registry::Row> RowOf(const sluice::v1::Row& values) {
  Registry::Row row;
  const std::string& key = values.values(0).bytes_value();
  if (key.size() != row.key.size()) {
    return errors::DatabaseCorrupt("The registry of connections holds what is no key.");
  }
  std::copy(key.begin(), key.end(), row.key.begin());
  row.handle = values.values(1).string_value();
  row.name = values.values(2).string_value();
  const bool sqlite = values.values(3).string_value() == std::string(kSqlite);
  row.engine = sqlite ? db::EngineKind::kSqlite : db::EngineKind::kPostgresql;
  row.target = values.values(4).string_value();
  row.options = Unpacked(values.values(5).string_value());
  row.read_only = values.values(6).int64_value() != 0;
  row.created = absl::FromUnixMicros(values.values(7).int64_value());
  return row;
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<Registry>>> Registry::Open(
    std::shared_ptr<db::Database> database) {
  std::unique_ptr<Registry> registry(new Registry(std::move(database)));
  CO_CHECK(co_await Migrate(*registry->database_));
  CO_CHECK(co_await registry->LoadPageTokenKey());
  co_return registry;
}

Task<absl::Status> Registry::LoadPageTokenKey() {
  db::Params none;
  db::Params key;
  key.Add()->set_bytes_value(ids::NewKey());
  constexpr absl::string_view kRead = "SELECT bytes FROM server_key WHERE purpose = 'page tokens'";
  CO_TRY(auto answer, co_await RunOwn(*database_, kRead, none));
  if (answer.rows_size() == 0) {
    CO_TRY(answer,
           co_await RunOwn(*database_, "INSERT INTO server_key VALUES('page tokens', ?1)", key));
    CO_TRY(answer, co_await RunOwn(*database_, kRead, none));
  }
  page_token_key_ = answer.rows(0).values(0).bytes_value();
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::vector<Registry::Row>>> Registry::Load() {
  const db::Params none;
  CO_TRY(const auto answer,
         co_await RunOwn(*database_,
                         "SELECT key, handle, name, engine, target, options, read_only, "
                         "created_micros FROM connection ORDER BY name",
                         none));
  std::vector<Row> rows;
  rows.reserve(static_cast<size_t>(answer.rows_size()));
  for (const sluice::v1::Row& values : answer.rows()) {
    CO_TRY(Row row, RowOf(values));
    rows.push_back(std::move(row));
  }
  co_return rows;
}

Task<absl::Status> Registry::Insert(const Row& row) {
  db::Params params;
  AddBytes(row.key, params);
  params.Add()->set_string_value(row.handle);
  params.Add()->set_string_value(row.name);
  const bool sqlite = row.engine == db::EngineKind::kSqlite;
  params.Add()->set_string_value(std::string(sqlite ? kSqlite : kPostgresql));
  params.Add()->set_string_value(row.target);
  params.Add()->set_string_value(Packed(row.options));
  params.Add()->set_int64_value(row.read_only ? 1 : 0);
  params.Add()->set_int64_value(absl::ToUnixMicros(row.created));
  CO_TRY([[maybe_unused]] const auto done,
         co_await RunOwn(*database_,
                         "INSERT INTO connection(key, handle, name, engine, target, options, "
                         "read_only, created_micros) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                         params));
  co_return absl::OkStatus();
}

Task<absl::Status> Registry::Erase(const ids::Hash& key) {
  db::Params params;
  AddBytes(key, params);
  CO_TRY([[maybe_unused]] const auto done,
         co_await RunOwn(*database_, "DELETE FROM connection WHERE key = ?1", params));
  co_return absl::OkStatus();
}

}  // namespace sluice::core
