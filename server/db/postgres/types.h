// Types: what the driver has to know of a PostgreSQL type to read and write its values.
#ifndef SLUICE_SERVER_DB_POSTGRES_TYPES_H_
#define SLUICE_SERVER_DB_POSTGRES_TYPES_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "sluice/v1/value.pb.h"

namespace sluice::postgres {

namespace pb = ::sluice::v1;

using Oid = uint32_t;

// How values are sent: the numbers of the protocol.
enum class Format : int { kText = 0, kBinary = 1 };

// How the values of a type look. Each has a decoder for text and an encoder; all but kTextOnly and
// kUnknown have one for binary, too.
enum class Form {
  kUnknown,  // passed through as Raw
  kBool,
  kInt2,
  kInt4,
  kInt8,
  kOid,   // oid, xid, cid: 32 bits without sign, as int64_value
  kXid8,  // 64 bits without sign, as int64_value; beyond its range as numeric_value
  kFloat4,
  kFloat8,
  kNumeric,
  kString,  // binary and text forms are the same bytes: text, varchar, bpchar, name, enums, xml, …
  kBytes,
  kDate,
  kTime,
  kTimestamp,
  kTimestampTz,
  kInterval,
  kUuid,
  kJson,
  kJsonb,     // as kJson, with a version byte in binary
  kTextOnly,  // string_value in the server's text form: money, inet, geometric types, tsvector, …
  kVoid,      // null_value
  kArray,
  kRange,
  kMultirange,  // an Array of Ranges
  kComposite,
  kRecord,  // a row without a declared type; binary names the type of each field, text does not
  kDomain,
};

struct Type {
  struct Field {
    std::string name;
    Oid type = 0;
  };

  Oid oid = 0;
  std::string name;  // as format_type writes it, without a modifier: `integer`, `text[]`
  Form form = Form::kUnknown;
  // Element of an array, subtype of a range, range of a multirange, base of a domain; else 0.
  Oid inner = 0;
  char delimiter = ',';       // between the elements of an array of this type
  std::vector<Field> fields;  // of a composite
};

// int2vector or oidvector: an array whose text is its elements with a space between them.
bool IsVector(const Type& type);

// The type that a caller means by a kind of value; 0: none in particular.
Oid OidFor(pb::ValueType type);

// TypeBook: the types of one database. Built-in ones are known from the start; others are added as
// they are met. Used by one thread at a time.
class TypeBook {
 public:
  // Null: not known yet. A type stays where it is for as long as the book.
  const Type* Find(Oid oid) const;

  // Keeps what it knows of a type that is already there, unless it is not built in.
  void Add(Type type);

  // Those that have to be known, and are not, before values of `oid` can be read or written: itself
  // and whatever it is made of.
  void AppendMissing(Oid oid, std::vector<Oid>& missing) const;

  // Whether values of this type, and of whatever it is made of, can be read in binary form.
  bool HasBinary(Oid oid) const;

  // The type in the contract's terms; a domain is what it is based on.
  pb::ValueType ValueTypeOf(Oid oid) const;

  // Domains resolved; null if something on the way is not known.
  const Type* Base(Oid oid) const;

 private:
  std::unordered_map<Oid, Type> learned_;  // whose nodes do not move
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_TYPES_H_
