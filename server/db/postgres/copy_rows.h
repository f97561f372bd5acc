// Copy rows: rows in the form in which COPY ... FROM STDIN reads them.
#ifndef SLUICE_SERVER_DB_POSTGRES_COPY_ROWS_H_
#define SLUICE_SERVER_DB_POSTGRES_COPY_ROWS_H_

#include <string>

#include "absl/types/span.h"
#include "google/protobuf/repeated_ptr_field.h"

#include "server/db/postgres/types.h"

namespace sluice::postgres {

// All that a COPY into columns of these types reads, in `out`. False: a row has too many or too few
// values, or one that does not fit its column or has no such form; then `out` is of no use.
bool EncodeRows(const TypeBook& book,
                absl::Span<const Oid> types,
                const google::protobuf::RepeatedPtrField<pb::Row>& rows,
                Format format,
                std::string& out);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_COPY_ROWS_H_
