#include "server/db/postgres/types.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace sluice::postgres {
namespace {

using enum Form;

struct BuiltIn {
  Oid oid;
  Oid array;  // 0: there is none
  const char* name;
  Form form;
  Oid inner = 0;
  char delimiter = ',';
};

// pg_type of PostgreSQL 15, but for row types of the catalog and for pseudo-types that no result
// has. What has no exact binary form that is simple to read is kTextOnly.
constexpr BuiltIn kBuiltIn[] = {
    {16, 1000, "boolean", kBool},
    {17, 1001, "bytea", kBytes},
    {18, 1002, "\"char\"", kTextOnly},
    {19, 1003, "name", kString},
    {20, 1016, "bigint", kInt8},
    {21, 1005, "smallint", kInt2},
    {22, 1006, "int2vector", kArray, 21},
    {23, 1007, "integer", kInt4},
    {24, 1008, "regproc", kTextOnly},
    {25, 1009, "text", kString},
    {26, 1028, "oid", kOid},
    {27, 1010, "tid", kTextOnly},
    {28, 1011, "xid", kOid},
    {29, 1012, "cid", kOid},
    {30, 1013, "oidvector", kArray, 26},
    {114, 199, "json", kJson},
    {142, 143, "xml", kString},
    {194, 0, "pg_node_tree", kString},
    {600, 1017, "point", kTextOnly},
    {601, 1018, "lseg", kTextOnly},
    {602, 1019, "path", kTextOnly},
    {603, 1020, "box", kTextOnly, 0, ';'},
    {604, 1027, "polygon", kTextOnly},
    {628, 629, "line", kTextOnly},
    {650, 651, "cidr", kTextOnly},
    {700, 1021, "real", kFloat4},
    {701, 1022, "double precision", kFloat8},
    {705, 0, "unknown", kString},
    {718, 719, "circle", kTextOnly},
    {774, 775, "macaddr8", kTextOnly},
    {790, 791, "money", kTextOnly},
    {829, 1040, "macaddr", kTextOnly},
    {869, 1041, "inet", kTextOnly},
    {1033, 1034, "aclitem", kTextOnly},
    {1042, 1014, "character", kString},
    {1043, 1015, "character varying", kString},
    {1082, 1182, "date", kDate},
    {1083, 1183, "time without time zone", kTime},
    {1114, 1115, "timestamp without time zone", kTimestamp},
    {1184, 1185, "timestamp with time zone", kTimestampTz},
    {1186, 1187, "interval", kInterval},
    {1266, 1270, "time with time zone", kTextOnly},
    {1560, 1561, "bit", kTextOnly},
    {1562, 1563, "bit varying", kTextOnly},
    {1700, 1231, "numeric", kNumeric},
    {1790, 2201, "refcursor", kString},
    {2202, 2207, "regprocedure", kTextOnly},
    {2203, 2208, "regoper", kTextOnly},
    {2204, 2209, "regoperator", kTextOnly},
    {2205, 2210, "regclass", kTextOnly},
    {2206, 2211, "regtype", kTextOnly},
    {2249, 2287, "record", kRecord},
    {2275, 1263, "cstring", kString},
    {2277, 0, "anyarray", kTextOnly},
    {2278, 0, "void", kVoid},
    {2950, 2951, "uuid", kUuid},
    {2970, 2949, "txid_snapshot", kTextOnly},
    {3220, 3221, "pg_lsn", kTextOnly},
    {3361, 0, "pg_ndistinct", kTextOnly},
    {3402, 0, "pg_dependencies", kTextOnly},
    {3614, 3643, "tsvector", kTextOnly},
    {3615, 3645, "tsquery", kTextOnly},
    {3642, 3644, "gtsvector", kTextOnly},
    {3734, 3735, "regconfig", kTextOnly},
    {3769, 3770, "regdictionary", kTextOnly},
    {3802, 3807, "jsonb", kJsonb},
    {3904, 3905, "int4range", kRange, 23},
    {3906, 3907, "numrange", kRange, 1700},
    {3908, 3909, "tsrange", kRange, 1114},
    {3910, 3911, "tstzrange", kRange, 1184},
    {3912, 3913, "daterange", kRange, 1082},
    {3926, 3927, "int8range", kRange, 20},
    {4072, 4073, "jsonpath", kTextOnly},
    {4089, 4090, "regnamespace", kTextOnly},
    {4096, 4097, "regrole", kTextOnly},
    {4191, 4192, "regcollation", kTextOnly},
    {4451, 6150, "int4multirange", kMultirange, 3904},
    {4532, 6151, "nummultirange", kMultirange, 3906},
    {4533, 6152, "tsmultirange", kMultirange, 3908},
    {4534, 6153, "tstzmultirange", kMultirange, 3910},
    {4535, 6155, "datemultirange", kMultirange, 3912},
    {4536, 6157, "int8multirange", kMultirange, 3926},
    {4600, 0, "pg_brin_bloom_summary", kTextOnly},
    {4601, 0, "pg_brin_minmax_multi_summary", kTextOnly},
    {5017, 0, "pg_mcv_list", kTextOnly},
    {5038, 5039, "pg_snapshot", kTextOnly},
    {5069, 271, "xid8", kXid8},
};

constexpr Oid kInt2Vector = 22;
constexpr Oid kOidVector = 30;
constexpr int kMaxDomains = 32;  // one on top of the other

using Table = absl::flat_hash_map<Oid, Type>;

Table MakeTable() {
  Table table;
  for (const BuiltIn& entry : kBuiltIn) {
    Type type;
    type.oid = entry.oid;
    type.name = entry.name;
    type.form = entry.form;
    type.inner = entry.inner;
    type.delimiter = entry.delimiter;
    Type array = type;
    table.emplace(entry.oid, std::move(type));
    if (entry.array == 0) continue;
    array.oid = entry.array;
    absl::StrAppend(&array.name, "[]");
    array.form = kArray;
    array.inner = entry.oid;
    table.emplace(entry.array, std::move(array));
  }
  return table;
}

const Table& BuiltIns() {
  static const Table& table = *new Table(MakeTable());  // for good
  return table;
}

pb::ValueType FormValueType(Form form) {
  switch (form) {
    case kBool:
      return pb::VALUE_TYPE_BOOL;
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
    case kXid8:
      return pb::VALUE_TYPE_INT64;
    case kFloat4:
      return pb::VALUE_TYPE_FLOAT;
    case kFloat8:
      return pb::VALUE_TYPE_DOUBLE;
    case kNumeric:
      return pb::VALUE_TYPE_NUMERIC;
    case kString:
    case kTextOnly:
      return pb::VALUE_TYPE_STRING;
    case kBytes:
      return pb::VALUE_TYPE_BYTES;
    case kDate:
      return pb::VALUE_TYPE_DATE;
    case kTime:
      return pb::VALUE_TYPE_TIME;
    case kTimestamp:
      return pb::VALUE_TYPE_TIMESTAMP;
    case kTimestampTz:
      return pb::VALUE_TYPE_TIMESTAMPTZ;
    case kInterval:
      return pb::VALUE_TYPE_INTERVAL;
    case kUuid:
      return pb::VALUE_TYPE_UUID;
    case kJson:
    case kJsonb:
      return pb::VALUE_TYPE_JSON;
    case kVoid:
      return pb::VALUE_TYPE_UNSPECIFIED;
    case kArray:
      return pb::VALUE_TYPE_ARRAY;
    case kRange:
    case kMultirange:
      return pb::VALUE_TYPE_RANGE;
    case kComposite:
    case kRecord:
      return pb::VALUE_TYPE_COMPOSITE;
    case kUnknown:
    case kDomain:
      return pb::VALUE_TYPE_RAW;
  }
  return pb::VALUE_TYPE_RAW;
}

void AppendParts(const Type& type, std::vector<Oid>& parts) {
  if (type.inner != 0) parts.push_back(type.inner);
  for (const Type::Field& field : type.fields) parts.push_back(field.type);
}

}  // namespace

bool IsVector(const Type& type) {
  return type.oid == kInt2Vector || type.oid == kOidVector;
}

const Type* TypeBook::Find(Oid oid) const {
  const auto built_in = BuiltIns().find(oid);
  if (built_in != BuiltIns().end()) return &built_in->second;
  const auto learned = learned_.find(oid);
  return learned == learned_.end() ? nullptr : &learned->second;
}

void TypeBook::Add(Type type) {
  const Oid oid = type.oid;
  if (BuiltIns().contains(oid)) return;
  learned_[oid] = std::move(type);
}

void TypeBook::AppendMissing(Oid oid, std::vector<Oid>& missing) const {
  // A row type may have an array of itself, so no type is looked at twice.
  absl::flat_hash_set<Oid> seen(missing.begin(), missing.end());
  std::vector<Oid> open = {oid};
  while (!open.empty()) {
    const Oid next = open.back();
    open.pop_back();
    if (!seen.insert(next).second) continue;
    const Type* const type = Find(next);
    if (type == nullptr) {
      missing.push_back(next);
    } else {
      AppendParts(*type, open);
    }
  }
}

bool TypeBook::HasBinary(Oid oid) const {
  absl::flat_hash_set<Oid> seen;
  std::vector<Oid> open = {oid};
  while (!open.empty()) {
    const Oid next = open.back();
    open.pop_back();
    if (!seen.insert(next).second) continue;
    const Type* const type = Find(next);
    if (type == nullptr || type->form == kTextOnly || type->form == kUnknown) return false;
    AppendParts(*type, open);
  }
  return true;
}

pb::ValueType TypeBook::ValueTypeOf(Oid oid) const {
  const Type* const type = Base(oid);
  return type == nullptr ? pb::VALUE_TYPE_RAW : FormValueType(type->form);
}

const Type* TypeBook::Base(Oid oid) const {
  const Type* type = Find(oid);
  for (int domains = 0; type != nullptr && type->form == kDomain; ++domains) {
    if (domains == kMaxDomains) return nullptr;
    type = Find(type->inner);
  }
  return type;
}

Oid OidFor(pb::ValueType type) {
  switch (type) {
    case pb::VALUE_TYPE_BOOL:
      return 16;
    case pb::VALUE_TYPE_INT64:
      return 20;
    case pb::VALUE_TYPE_DOUBLE:
      return 701;
    case pb::VALUE_TYPE_FLOAT:
      return 700;
    case pb::VALUE_TYPE_STRING:
      return 25;
    case pb::VALUE_TYPE_BYTES:
      return 17;
    case pb::VALUE_TYPE_NUMERIC:
      return 1700;
    case pb::VALUE_TYPE_DATE:
      return 1082;
    case pb::VALUE_TYPE_TIME:
      return 1083;
    case pb::VALUE_TYPE_TIMESTAMP:
      return 1114;
    case pb::VALUE_TYPE_TIMESTAMPTZ:
      return 1184;
    case pb::VALUE_TYPE_INTERVAL:
      return 1186;
    case pb::VALUE_TYPE_UUID:
      return 2950;
    case pb::VALUE_TYPE_JSON:
      return 3802;
    default:
      return 0;
  }
}

}  // namespace sluice::postgres
