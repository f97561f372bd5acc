// Index advice: which indexes, if they were there, would be used.
#ifndef SLUICE_SERVER_DB_SQLITE_INDEX_ADVICE_H_
#define SLUICE_SERVER_DB_SQLITE_INDEX_ADVICE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "server/db/parameters.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/plan_names.h"
#include "server/db/sqlite/schema_copy.h"
#include "sluice/v1/query.pb.h"

namespace sluice::sqlite {

// A statement and how it is run now. Borrows all of it.
struct AdviceCase {
  const std::vector<SchemaObject>& objects;
  const std::vector<Statistic>& statistics;
  const PlanNames& names;
  absl::string_view sql;
  const db::BoundParameters& values;
  const db::pb::PlanNode& plan;
};

// Tries indexes of one and two columns on an empty copy of the tables, and keeps those by which the
// engine itself would look rows up, or spare itself a sort. Adds a MISSING_INDEX for each, and its
// SQL to the findings that it cures. Never touches the file.
void AddIndexAdvice(const AdviceCase& subject,
                    const Watch& watch,
                    std::vector<db::pb::PlanFinding>& findings);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_INDEX_ADVICE_H_
