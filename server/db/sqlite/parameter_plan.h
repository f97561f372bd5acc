// ParameterPlan: what binding needs to know of a statement.
#ifndef SLUICE_SERVER_DB_SQLITE_PARAMETER_PLAN_H_
#define SLUICE_SERVER_DB_SQLITE_PARAMETER_PLAN_H_

#include "server/db/shape.h"

namespace sluice::sqlite {

// Each parameter of the shape has the index under which SQLite binds it, checked against what the
// engine itself says when the statement is compiled.
struct ParameterPlan {
  db::StatementShape shape;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_PARAMETER_PLAN_H_
