// Values in the text form of PostgreSQL, written without the driver: what the server would say.
#ifndef SLUICE_TESTS_DB_POSTGRES_TEXT_H_
#define SLUICE_TESTS_DB_POSTGRES_TEXT_H_

#include <string>

#include "server/db/postgres/types.h"

namespace sluice::postgres {

// As the type's output function writes `value`, which is not NULL, with DateStyle=ISO,
// IntervalStyle=postgres, bytea_output=hex, TimeZone=UTC and extra_float_digits=1. A composite
// needs the types of its fields, so a value of `record` cannot be given.
std::string FormatText(const TypeBook& book, Oid oid, const pb::Value& value);

}  // namespace sluice::postgres

#endif  // SLUICE_TESTS_DB_POSTGRES_TEXT_H_
