#include "server/db/postgres/result.h"

#include <string>

#include "absl/strings/numbers.h"

#include "server/db/postgres/libpq.h"

namespace sluice::postgres {
namespace {

absl::string_view View(const char* text) {
  return text == nullptr ? absl::string_view() : absl::string_view(text);
}

std::string Field(const PGresult* result, int code) {
  return std::string(View(pq.resultErrorField(result, code)));
}

}  // namespace

void Result::Clear::operator()(pg_result* result) const {
  pq.clear(result);
}

Result::Kind Result::kind() const {
  switch (pq.resultStatus(result_.get())) {
    case PGRES_TUPLES_OK:
      return Kind::kRows;
    case PGRES_COMMAND_OK:
      return Kind::kDone;
    case PGRES_EMPTY_QUERY:
      return Kind::kEmpty;
    case PGRES_FATAL_ERROR:
      return Kind::kError;
    case PGRES_PIPELINE_ABORTED:
      return Kind::kSkipped;
    case PGRES_COPY_IN:
      return Kind::kCopyIn;
    case PGRES_COPY_OUT:
      return Kind::kCopyOut;
    default:
      return Kind::kOther;
  }
}

int Result::rows() const {
  return pq.ntuples(result_.get());
}

int Result::columns() const {
  return pq.nfields(result_.get());
}

Cell Result::cell(int row, int column) const {
  if (is_null(row, column)) return {};
  return {pq.getvalue(result_.get(), row, column), pq.getlength(result_.get(), row, column)};
}

absl::string_view Result::text(int row, int column) const {
  return {pq.getvalue(result_.get(), row, column),
          static_cast<size_t>(pq.getlength(result_.get(), row, column))};
}

bool Result::is_null(int row, int column) const {
  return pq.getisnull(result_.get(), row, column) != 0;
}

absl::string_view Result::name(int column) const {
  return View(pq.fname(result_.get(), column));
}

Oid Result::type(int column) const {
  return pq.ftype(result_.get(), column);
}

int Result::modifier(int column) const {
  return pq.fmod(result_.get(), column);
}

Oid Result::table(int column) const {
  return pq.ftable(result_.get(), column);
}

int Result::table_column(int column) const {
  return pq.ftablecol(result_.get(), column);
}

Format Result::format(int column) const {
  return pq.fformat(result_.get(), column) == 0 ? Format::kText : Format::kBinary;
}

int Result::parameters() const {
  return pq.nparams(result_.get());
}

Oid Result::parameter(int index) const {
  return pq.paramtype(result_.get(), index);
}

absl::string_view Result::tag() const {
  return View(pq.cmdStatus(result_.get()));
}

int64_t Result::affected() const {
  int64_t count = 0;
  return absl::SimpleAtoi(View(pq.cmdTuples(result_.get())), &count) ? count : 0;
}

ServerError Result::error() const {
  const PGresult* const result = result_.get();
  ServerError error;
  error.severity = Field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  error.sqlstate = Field(result, PG_DIAG_SQLSTATE);
  error.message = Field(result, PG_DIAG_MESSAGE_PRIMARY);
  error.detail = Field(result, PG_DIAG_MESSAGE_DETAIL);
  error.hint = Field(result, PG_DIAG_MESSAGE_HINT);
  error.schema = Field(result, PG_DIAG_SCHEMA_NAME);
  error.table = Field(result, PG_DIAG_TABLE_NAME);
  error.column = Field(result, PG_DIAG_COLUMN_NAME);
  error.datatype = Field(result, PG_DIAG_DATATYPE_NAME);
  error.routine = Field(result, PG_DIAG_SOURCE_FUNCTION);
  error.constraint = Field(result, PG_DIAG_CONSTRAINT_NAME);
  if (!absl::SimpleAtoi(Field(result, PG_DIAG_STATEMENT_POSITION), &error.position)) {
    error.position = 0;
  }
  return error;
}

absl::string_view Result::sqlstate() const {
  return View(pq.resultErrorField(result_.get(), PG_DIAG_SQLSTATE));
}

size_t Result::memory() const {
  return pq.resultMemorySize(result_.get());
}

}  // namespace sluice::postgres
