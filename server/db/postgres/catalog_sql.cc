#include "server/db/postgres/catalog_sql.h"

#include "absl/strings/str_cat.h"

namespace sluice::postgres {
namespace {

// Of c, a row of pg_class.
constexpr absl::string_view kIsTable =
    "c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> 'sluice_request'";
// Of n, a row of pg_namespace.
constexpr absl::string_view kIsUsers = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
constexpr absl::string_view kMayUse = "pg_catalog.has_schema_privilege(n.oid, 'USAGE')";
// A view has no rows of its own, and -1 is not known.
constexpr absl::string_view kRowEstimate =
    "CASE WHEN c.relkind <> 'v' AND c.reltuples >= 0 THEN c.reltuples::pg_catalog.int8 END";

}  // namespace

const std::string& SchemasSql() {
  static const auto* const kSql = new std::string(absl::StrCat(
      "SELECT n.nspname, coalesce(t.tables, 0), "
      "pg_catalog.obj_description(n.oid, 'pg_namespace') FROM pg_catalog.pg_namespace n "
      "LEFT JOIN (SELECT c.relnamespace, pg_catalog.count(*) AS tables FROM pg_catalog.pg_class c "
      "WHERE ",
      kIsTable, " GROUP BY c.relnamespace) t ON t.relnamespace = n.oid WHERE ", kIsUsers, " AND ",
      kMayUse, " ORDER BY n.nspname"));
  return *kSql;
}

const std::string& TablesSql() {
  static const auto* const kSql = new std::string(absl::StrCat(
      "WITH asked AS (SELECT c.oid, n.nspname, c.relname, c.relkind, ", kRowEstimate,
      " AS rows FROM pg_catalog.pg_class c "
      "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE ",
      kIsTable, " AND ", kMayUse,
      " AND c.relkind = ANY ($3::pg_catalog.\"char\"[]) AND c.relname ILIKE $2::pg_catalog.text "
      "AND (n.nspname = $1::pg_catalog.text OR $1::pg_catalog.text = '' AND ",
      kIsUsers,
      ")) SELECT t.total, p.* FROM (SELECT pg_catalog.count(*) AS total FROM asked) t "
      "LEFT JOIN (SELECT a.nspname, a.relname, a.relkind, a.rows, "
      "pg_catalog.obj_description(a.oid, 'pg_class'), "
      "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute b WHERE b.attrelid = a.oid "
      "AND b.attnum > 0 AND NOT b.attisdropped) FROM asked a "
      "WHERE (a.nspname, a.relname) > ($4::pg_catalog.name, $5::pg_catalog.name) "
      "ORDER BY a.nspname, a.relname LIMIT $6::pg_catalog.int8) p ON true "
      "ORDER BY p.nspname, p.relname"));
  return *kSql;
}

const std::string& FindTableSql() {
  static const auto* const kSql = new std::string(absl::StrCat(
      "SELECT c.oid, n.nspname, c.relname, c.relkind, ", kRowEstimate,
      ", pg_catalog.obj_description(c.oid, 'pg_class'), "
      "CASE WHEN c.relkind IN ('v', 'm') THEN 'CREATE ' || "
      "CASE c.relkind WHEN 'm' THEN 'MATERIALIZED ' ELSE '' END || 'VIEW ' || "
      "pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) || "
      "' AS' || pg_catalog.chr(10) || pg_catalog.pg_get_viewdef(c.oid) END "
      "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE ",
      kIsTable, " AND ", kMayUse,
      " AND c.relname = $2::pg_catalog.text AND (n.nspname = $1::pg_catalog.text OR "
      "$1::pg_catalog.text = '' AND pg_catalog.pg_table_is_visible(c.oid))"));
  return *kSql;
}

const absl::string_view kTableNamesSql =
    "SELECT n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid) "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> 'sluice_request' "
    "AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' "
    "AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') ORDER BY 1, 2 LIMIT 10000";

const absl::string_view kColumnsSql =
    "SELECT a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), "
    "NOT (a.attnotnull OR t.typnotnull), pg_catalog.pg_get_expr(d.adbin, d.adrelid), "
    "a.attgenerated, "
    "a.attidentity <> '' OR EXISTS (SELECT FROM pg_catalog.pg_depend s "
    "JOIN pg_catalog.pg_class q ON q.oid = s.objid AND q.relkind = 'S' "
    "WHERE s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass "
    "AND s.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass "
    "AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum AND s.deptype = 'a' "
    "AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%'), "
    "CASE WHEN a.attcollation <> t.typcollation THEN l.collname END, "
    "pg_catalog.col_description(a.attrelid, a.attnum) "
    "FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
    "LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
    "LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation "
    "WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "ORDER BY a.attnum";

const absl::string_view kKeysSql =
    "SELECT k.conname, k.contype = 'p', a.attname FROM pg_catalog.pg_constraint k "
    "CROSS JOIN LATERAL pg_catalog.unnest(k.conkey) WITH ORDINALITY AS u(number, place) "
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number "
    "WHERE k.conrelid = $1::pg_catalog.oid AND k.contype IN ('p', 'u') ORDER BY k.conname, u.place";

// A partitioned table that is referred to has a constraint for each of its partitions, too. Of
// several arrays the server takes unnest under its bare name only.
const absl::string_view kForeignKeysSql =
    "SELECT k.oid, k.conname, n.nspname, c.relname, k.confupdtype, k.confdeltype, k.condeferred, "
    "a.attname, b.attname FROM pg_catalog.pg_constraint k "
    "JOIN pg_catalog.pg_class c ON c.oid = k.confrelid "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY "
    "AS u(number, referenced, place) "
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number "
    "JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = u.referenced "
    "WHERE k.conrelid = $1::pg_catalog.oid AND k.contype = 'f' "
    "AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.oid = k.conparentid "
    "AND o.conrelid = k.conrelid) ORDER BY k.conname, k.oid, u.place";

// Whether a part runs from high to low is told only where its order means something.
const absl::string_view kIndexesSql =
    "SELECT c.relname, i.indisunique, i.indisprimary, k.oid IS NOT NULL, "
    "pg_catalog.pg_get_expr(i.indpred, i.indrelid, true), "
    "CASE WHEN k.oid IS NULL THEN pg_catalog.pg_get_indexdef(i.indexrelid) END, m.amname, "
    "CASE WHEN i.indkey[p.place - 1] <> 0 THEN o.attname END, "
    "CASE WHEN i.indkey[p.place - 1] = 0 "
    "THEN pg_catalog.pg_get_indexdef(i.indexrelid, p.place, true) END, "
    "pg_catalog.pg_index_column_has_property(i.indexrelid, p.place, 'desc'), "
    "CASE WHEN a.attcollation <> t.typcollation THEN l.collname END "
    "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid "
    "JOIN pg_catalog.pg_am m ON m.oid = c.relam "
    "LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid "
    "AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x') "
    "CROSS JOIN LATERAL pg_catalog.generate_series(1, i.indnkeyatts) AS p(place) "
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum = p.place "
    "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
    "LEFT JOIN pg_catalog.pg_attribute o ON o.attrelid = i.indrelid "
    "AND o.attnum = i.indkey[p.place - 1] "
    "LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation "
    "WHERE i.indrelid = $1::pg_catalog.oid AND i.indislive ORDER BY c.relname, p.place";

const absl::string_view kTriggersSql =
    "SELECT t.tgname, t.tgtype, pg_catalog.pg_get_triggerdef(t.oid) FROM pg_catalog.pg_trigger t "
    "WHERE t.tgrelid = $1::pg_catalog.oid AND NOT t.tgisinternal ORDER BY t.tgname";

const absl::string_view kNotNullSql =
    "SELECT w.place, a.attnotnull OR t.typnotnull "
    "FROM unnest($1::pg_catalog.oid[], $2::pg_catalog.int2[]) WITH ORDINALITY "
    "AS w(relation, number, place) "
    "JOIN pg_catalog.pg_class c ON c.oid = w.relation AND c.relkind IN ('r', 'p') "
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = w.relation AND a.attnum = w.number "
    "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid";

}  // namespace sluice::postgres
