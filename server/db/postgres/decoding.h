// What the decoders of binary and of text share: how a value is read that may hold others.
#ifndef SLUICE_SERVER_DB_POSTGRES_DECODING_H_
#define SLUICE_SERVER_DB_POSTGRES_DECODING_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "server/db/postgres/types.h"

namespace sluice::postgres {

inline constexpr int kMaxDimensions = 6;      // the server has no array with more
inline constexpr int64_t kEpochDays = 10957;  // PostgreSQL's epoch: 2000-01-01
inline constexpr int64_t kMicrosPerDay = 86'400'000'000;

// Zeros that one row may come to have beyond what was sent: 1e131071 takes ten bytes in binary.
inline constexpr size_t kMaxPadding = size_t{16} << 20;

// Decoding: the state of reading one row, or one value.
struct Decoding {
  const TypeBook& book;
  int depth = 1;  // of the value being read; a cell is 1
  size_t padding_left = kMaxPadding;
};

// Appends the fields of a Value. False: the bytes are no value of the type; `out` then ends
// anywhere.
using DecodeFunction = bool (*)(Decoding& decoding,
                                const Type& type,
                                absl::string_view data,
                                std::string& out);

// By form, which is never kDomain. Null: values of the form are passed through as Raw.
DecodeFunction BinaryDecoder(Form form);
DecodeFunction TextDecoder(Form form);

// ValueReader: how values of one type are read; made once for a column, or for an array.
class ValueReader {
 public:
  ValueReader(const TypeBook& book, Oid oid, Format format);

  // Appends the fields of a Value.
  bool Read(Decoding& decoding, absl::string_view data, std::string& out) const;
  // Appends a whole Value as a field of the message that is being written.
  bool ReadNested(Decoding& decoding, int field, absl::string_view data, std::string& out) const;

  // Whether the value's bytes are the very bytes that were sent.
  bool IsVerbatim() const;

  // What a verbatim value is.
  pb::ValueType VerbatimType(absl::string_view data) const;

 private:
  void AppendRaw(absl::string_view data, std::string& out) const;

  Oid oid_;
  Format format_;
  const Type* type_;  // null where decode_ is
  DecodeFunction decode_ = nullptr;
};

// A Value that is NULL, as a field of the message that is being written.
void AppendNestedNull(int field, std::string& out);

// Fields of an Array but for its values. No dimensions: an empty array.
void AppendArrayHead(pb::ValueType element_type,
                     absl::Span<const int32_t> dimensions,
                     absl::Span<const int32_t> lower_bounds,
                     std::string& out);

// A timestamp of either type, `field` of Value, given in microseconds since 2000-01-01 or as the
// server's infinity. One so late that the contract cannot count it from 1970 is Raw.
void AppendTimestamp(int field, Oid oid, int64_t server_micros, std::string& out);
// The same for a date, in days.
void AppendDate(int32_t server_days, std::string& out);
// A number without sign: numeric_value if it is beyond int64_value.
void AppendUnsigned(uint64_t number, std::string& out);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_DECODING_H_
