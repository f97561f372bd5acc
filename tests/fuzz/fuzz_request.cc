// Reads any bytes as a request and does with it what comes before the engine: checks the statement
// and gives its parameters their values. The first byte says which request, in whose SQL, and
// whether the rest is protobuf's wire form or its text form.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/stubs/logging.h"
#include "google/protobuf/text_format.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"
#include "server/db/parameters.h"
#include "server/db/shape.h"
#include "sluice/v1/query.pb.h"
#include "tests/fuzz/check.h"

namespace sluice::db {
namespace {

class SilentErrors : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, google::protobuf::io::ColumnNumber, const std::string&) override {}
};

bool Parse(absl::string_view bytes, bool text, google::protobuf::Message& message) {
  const google::protobuf::LogSilencer silencer;
  if (!text) return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  SilentErrors errors;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.SetRecursionLimit(100);
  return parser.ParseFromString(std::string(bytes), &message);
}

void CheckRefusal(const absl::Status& status, absl::string_view reason) {
  FUZZ_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  FUZZ_CHECK(errors::ReasonOf(status) == reason);
  FUZZ_CHECK(IsValidUtf8({status.message().data(), status.message().size()}));
  FUZZ_CHECK(status.message().size() < 2048);
}

template <typename Request>
void Check(absl::string_view bytes, bool text, Dialect dialect) {
  Request request;
  if (!Parse(bytes, text, request)) return;
  const StatementShape shape = Inspect(request.sql(), dialect);
  const absl::Status allowed = CheckAllowed(shape, dialect);
  if (!allowed.ok()) {
    const bool transaction = errors::ReasonOf(allowed) == "TRANSACTION_CONTROL_REFUSED";
    CheckRefusal(allowed, transaction ? "TRANSACTION_CONTROL_REFUSED" : "STATEMENT_REFUSED");
  }
  const auto bound = ResolveParameters(shape, request.params(), request.named_params(), dialect);
  if (!bound.ok()) return CheckRefusal(bound.status(), "PARAMETER_INVALID");
  FUZZ_CHECK(bound->size() == shape.parameters.all.size());
  std::set<int> indexes;
  std::set<const pb::Value*> values;
  for (const BoundParameter& parameter : *bound) {
    FUZZ_CHECK(parameter.index > 0);
    FUZZ_CHECK(indexes.insert(parameter.index).second);
    FUZZ_CHECK(parameter.value->kind_case() != pb::Value::KIND_NOT_SET);
    values.insert(parameter.value);
  }
  // Everything that was sent is used.
  FUZZ_CHECK(values.size() ==
             static_cast<size_t>(request.params_size()) + request.named_params().size());
}

}  // namespace
}  // namespace sluice::db

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sluice::db::Dialect;
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool text = (data[0] & 1) != 0;
  const Dialect dialect = (data[0] & 2) != 0 ? Dialect::kPostgres : Dialect::kSqlite;
  if ((data[0] & 4) != 0) {
    sluice::db::Check<sluice::v1::StreamQueryRequest>(bytes, text, dialect);
  } else {
    sluice::db::Check<sluice::v1::QueryRequest>(bytes, text, dialect);
  }
  return 0;
}
