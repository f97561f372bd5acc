// Parameters: gives each parameter of a statement its value from the request.
#ifndef SLUICE_SERVER_DB_PARAMETERS_H_
#define SLUICE_SERVER_DB_PARAMETERS_H_

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"

#include "server/db/shape.h"
#include "server/db/statement.h"

namespace sluice::db {

// Borrows from the shape and from the request.
struct BoundParameter {
  int index = 0;  // the engine's own number for it, from 1
  const Parameter* parameter = nullptr;
  const pb::Value* value = nullptr;
};

using BoundParameters = absl::InlinedVector<BoundParameter, 8>;

// A Value may hold others this deep; a plain one has depth 1.
inline constexpr int kMaxValueDepth = 32;

// Runs for every call, so it does only what depends on the values; whatever the SQL alone decides
// is in the shape. Anything that does not fit is PARAMETER_INVALID with the path of the field.
//
// Called after the engine has compiled the SQL: a text that it cannot read has no parameters to
// speak of, and the engine's own error says more.
absl::StatusOr<BoundParameters> ResolveParameters(const StatementShape& shape,
                                                  const Params& params,
                                                  const NamedParams& named_params,
                                                  Dialect dialect);

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_PARAMETERS_H_
