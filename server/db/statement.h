// Statement: one SQL text with its parameters and limits, as a service hands it to a database.
#ifndef SLUICE_SERVER_DB_STATEMENT_H_
#define SLUICE_SERVER_DB_STATEMENT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/map.h"
#include "google/protobuf/repeated_field.h"
#include "google/protobuf/repeated_ptr_field.h"

#include "server/db/request_key.h"
#include "server/db/session_options.h"
#include "sluice/v1/value.pb.h"

namespace sluice::db {

namespace pb = ::sluice::v1;
using Params = google::protobuf::RepeatedPtrField<pb::Value>;
using ParamTypes = google::protobuf::RepeatedField<int>;  // of pb::ValueType
using NamedParams = google::protobuf::Map<std::string, pb::Value>;

// Borrows text and values from the request, which outlives every operation on the statement. Not an
// aggregate: g++ 12 destroys aggregate temporaries twice when they are arguments of an awaited
// call.
class Statement {
 public:
  Statement(absl::string_view sql, const Params& params, const NamedParams& named_params)
      : sql_(sql), params_(&params), named_params_(&named_params) {}

  // A statement without parameters.
  explicit Statement(absl::string_view sql);

  absl::string_view sql() const { return sql_; }

  const Params& params() const { return *params_; }

  const NamedParams& named_params() const { return *named_params_; }

  // Types of the numbered parameters, as far as the caller says them: the engine infers the others.
  // Outlives the statement; null: it infers all.
  const ParamTypes* param_types = nullptr;
  // Limits of a unary result; streams have none.
  int64_t max_rows = 1000;
  int64_t max_bytes = 4 << 20;
  // Streams: aim at chunks of this many bytes.
  int64_t chunk_bytes = 256 << 10;
  // Refuse to write.
  bool read_only = false;
  // Undo it, and fail, if it changes more rows; 0 = no bound.
  int64_t max_affected_rows = 0;
  // Run it, answer, and undo it.
  bool validate_only = false;
  // Do it once, however often it is asked; null: each time. Outlives the statement.
  const RequestKey* request = nullptr;
  // Runs with these, in a transaction of its own; null: there are none. Not in a caller's
  // transaction, which has those that it was begun with.
  SessionOptionsPtr session;

 private:
  absl::string_view sql_;
  const Params* params_;
  const NamedParams* named_params_;
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_STATEMENT_H_
