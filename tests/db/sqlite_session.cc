#include "tests/db/sqlite_session.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/base/status.h"

namespace sluice::sqlite {

namespace pb = db::pb;

TemporaryFolder::TemporaryFolder() {
  path_ = testing::TempDir() + "sluice_XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) std::abort();
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string TemporaryFolder::File(absl::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

TestSession::TestSession(const ConnectionOptions& options) {
  auto connection = Connection::Open(options);
  EXPECT_TRUE(connection.ok()) << connection.status();
  if (!connection.ok()) std::abort();  // every further line of the test would need it
  connection_ = *std::move(connection);
}

absl::StatusOr<pb::QueryResponse> TestSession::Execute(absl::string_view sql,
                                                       const std::vector<pb::Value>& params,
                                                       Watch* watch) {
  const db::Params values(params.begin(), params.end());
  const db::NamedParams no_names;
  TRY(Prepared* const prepared, connection_->Prepare(sql));
  TRY_STATUS(connection_->Bind(*prepared, values, no_names));
  std::string rows;
  std::vector<int> split;
  while (true) {
    TRY(const Connection::Step step, connection_->Advance(*prepared, watch));
    if (step == Connection::Step::kDone) break;
    connection_->AppendRow(*prepared, std::numeric_limits<int64_t>::max(), rows, split);
  }
  pb::QueryResponse reply;
  const bool parsed = reply.ParseFromString(prepared->columns + rows);
  connection_->Reset(*prepared);
  if (!parsed) return absl::InternalError("the rows are not in wire form");
  return reply;
}

absl::Status TestSession::Try(absl::string_view sql,
                              const std::vector<pb::Value>& params,
                              Watch* watch) {
  return Execute(sql, params, watch).status();
}

pb::Value TestSession::Value(absl::string_view sql, const std::vector<pb::Value>& params) {
  const auto reply = Execute(sql, params);
  EXPECT_TRUE(reply.ok()) << sql << ": " << reply.status();
  if (!reply.ok() || reply->rows_size() != 1 || reply->rows(0).values_size() != 1) return {};
  return reply->rows(0).values(0);
}

ConnectionOptions Writer(const std::string& path) {
  ConnectionOptions options;
  options.path = path;
  options.read_only = false;
  options.create = true;
  options.busy_timeout = absl::Milliseconds(100);
  return options;
}

ConnectionOptions Reader(const std::string& path) {
  ConnectionOptions options = Writer(path);
  options.read_only = true;
  options.create = false;
  return options;
}

pb::Value Null() {
  pb::Value value;
  value.set_null_value(google::protobuf::NULL_VALUE);
  return value;
}

pb::Value Int(int64_t number) {
  pb::Value value;
  value.set_int64_value(number);
  return value;
}

pb::Value Real(double number) {
  pb::Value value;
  value.set_double_value(number);
  return value;
}

pb::Value Text(absl::string_view text) {
  pb::Value value;
  value.set_string_value(std::string(text));
  return value;
}

pb::Value Bytes(absl::string_view bytes) {
  pb::Value value;
  value.set_bytes_value(std::string(bytes));
  return value;
}

}  // namespace sluice::sqlite
