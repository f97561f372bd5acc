// ReadTable: one table with all its parts.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/nearest.h"
#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/db/postgres/catalog_sql.h"
#include "server/db/postgres/schema.h"

namespace sluice::postgres {
namespace {

using Message = pb::DescribeTableResponse;

// Of pg_trigger.tgtype.
constexpr int kBefore = 1 << 1;
constexpr int kInsteadOf = 1 << 6;

struct TriggerEvent {
  int bit;
  absl::string_view name;
};

constexpr TriggerEvent kTriggerEvents[] = {
    {1 << 2, "INSERT"}, {1 << 3, "DELETE"}, {1 << 4, "UPDATE"}, {1 << 5, "TRUNCATE"}};

// A caller's own words, of any length, in an error.
std::string InMessage(const std::string& name) {
  constexpr size_t kShownBytes = 128;
  return SanitizeForMessage(name, kShownBytes);
}

std::string WithSchema(const std::string& schema, const std::string& table) {
  return schema.empty() ? table : absl::StrCat(schema, ".", table);
}

// A name is told as a statement would have to say it.
absl::Status NotFound(const Result& names, const std::string& schema, const std::string& table) {
  std::vector<std::string> shown;
  std::vector<std::string> lowered;
  for (int row = 0; row < names.rows(); ++row) {
    const bool alone = schema.empty() && TruthAt(names, row, 2);
    shown.push_back(WithSchema(alone ? "" : TextAt(names, row, 0), TextAt(names, row, 1)));
    lowered.push_back(absl::AsciiStrToLower(shown.back()));
  }
  const std::string asked = WithSchema(schema, table);
  const std::string nearest = Nearest(absl::AsciiStrToLower(InMessage(asked)), lowered);
  const auto found = std::find(lowered.begin(), lowered.end(), nearest);
  return errors::TableNotFound(
      InMessage(asked),
      found == lowered.end() ? "" : shown[static_cast<size_t>(found - lowered.begin())]);
}

std::string ActionOf(absl::string_view letter) {
  if (letter == "r") return "RESTRICT";
  if (letter == "c") return "CASCADE";
  if (letter == "n") return "SET NULL";
  if (letter == "d") return "SET DEFAULT";
  return "NO ACTION";
}

void AddHead(const Result& result, Message& message) {
  message.set_schema(TextAt(result, 0, table_row::kSchema));
  message.set_name(TextAt(result, 0, table_row::kName));
  message.set_kind(KindOf(result.text(0, table_row::kKind)));
  if (!result.is_null(0, table_row::kRows)) {
    message.set_row_estimate(NumberAt(result, 0, table_row::kRows));
  }
  message.set_comment(TextAt(result, 0, table_row::kComment));
  message.set_sql(TextAt(result, 0, table_row::kSql));
}

void AddColumns(const Result& result, const TypeBook& types, Message& message) {
  for (int row = 0; row < result.rows(); ++row) {
    pb::TableColumn& column = *message.add_columns();
    column.set_name(TextAt(result, row, column_row::kName));
    column.set_position(message.columns_size());
    column.set_type(types.ValueTypeOf(static_cast<Oid>(NumberAt(result, row, column_row::kType))));
    column.set_native_type(TextAt(result, row, column_row::kNativeType));
    column.set_nullable(TruthAt(result, row, column_row::kNullable));
    const bool generated = !result.text(row, column_row::kGenerated).empty();
    if (!result.is_null(row, column_row::kExpression)) {
      std::string expression = TextAt(result, row, column_row::kExpression);
      if (generated) {
        column.set_generation_expression(std::move(expression));
      } else {
        column.set_default_expression(std::move(expression));
      }
    }
    column.set_stored(result.text(row, column_row::kGenerated) == "s");
    column.set_automatic(TruthAt(result, row, column_row::kAutomatic));
    column.set_collation(TextAt(result, row, column_row::kCollation));
    column.set_comment(TextAt(result, row, column_row::kComment));
  }
}

// Of what the columns' types are, those that are not known.
std::vector<Oid> MissingTypes(const Result& columns, const TypeBook& types) {
  std::vector<Oid> missing;
  for (int row = 0; row < columns.rows(); ++row) {
    types.AppendMissing(static_cast<Oid>(NumberAt(columns, row, column_row::kType)), missing);
  }
  return missing;
}

void AddKeys(const Result& result, Message& message) {
  for (int row = 0; row < result.rows(); ++row) {
    const std::string name = TextAt(result, row, key_row::kName);
    const std::string column = TextAt(result, row, key_row::kColumn);
    if (TruthAt(result, row, key_row::kPrimary)) {
      message.mutable_primary_key()->set_name(name);
      message.mutable_primary_key()->add_columns(column);
      continue;
    }
    const int keys = message.unique_keys_size();
    const bool same = keys > 0 && message.unique_keys(keys - 1).name() == name;
    pb::TableKey& key = same ? *message.mutable_unique_keys(keys - 1) : *message.add_unique_keys();
    key.set_name(name);
    key.add_columns(column);
  }
  for (pb::TableColumn& column : *message.mutable_columns()) {
    const auto& members = message.primary_key().columns();
    const auto found = std::find(members.begin(), members.end(), column.name());
    if (found == members.end()) continue;
    column.set_primary_key_position(static_cast<int>(found - members.begin()) + 1);
  }
}

void AddForeignKeys(const Result& result, Message& message) {
  int64_t last = 0;  // no OID
  for (int row = 0; row < result.rows(); ++row) {
    const int64_t oid = NumberAt(result, row, foreign_key_row::kOid);
    if (std::exchange(last, oid) != oid) {
      pb::ForeignKey& added = *message.add_foreign_keys();
      added.set_name(TextAt(result, row, foreign_key_row::kName));
      added.set_referenced_schema(TextAt(result, row, foreign_key_row::kSchema));
      added.set_referenced_table(TextAt(result, row, foreign_key_row::kTable));
      added.set_on_update(ActionOf(result.text(row, foreign_key_row::kOnUpdate)));
      added.set_on_delete(ActionOf(result.text(row, foreign_key_row::kOnDelete)));
      added.set_deferred(TruthAt(result, row, foreign_key_row::kDeferred));
    }
    pb::ForeignKey& key = *message.mutable_foreign_keys()->rbegin();
    key.add_columns(TextAt(result, row, foreign_key_row::kColumn));
    key.add_referenced_columns(TextAt(result, row, foreign_key_row::kReferenced));
  }
}

void AddIndexes(const Result& result, Message& message) {
  for (int row = 0; row < result.rows(); ++row) {
    const std::string name = TextAt(result, row, index_row::kName);
    const bool same =
        message.indexes_size() > 0 && message.mutable_indexes()->rbegin()->name() == name;
    pb::Index& index = same ? *message.mutable_indexes()->rbegin() : *message.add_indexes();
    if (!same) {
      index.set_name(name);
      index.set_unique(TruthAt(result, row, index_row::kUnique));
      index.set_primary(TruthAt(result, row, index_row::kPrimary));
      index.set_from_constraint(TruthAt(result, row, index_row::kFromConstraint));
      index.set_predicate(TextAt(result, row, index_row::kPredicate));
      index.set_sql(TextAt(result, row, index_row::kSql));
      index.set_method(TextAt(result, row, index_row::kMethod));
    }
    pb::IndexPart& part = *index.add_parts();
    part.set_column(TextAt(result, row, index_row::kColumn));
    part.set_expression(TextAt(result, row, index_row::kExpression));
    part.set_descending(TruthAt(result, row, index_row::kDescending));
    part.set_collation(TextAt(result, row, index_row::kCollation));
  }
}

void AddTriggers(const Result& result, Message& message) {
  for (int row = 0; row < result.rows(); ++row) {
    const auto type = static_cast<int>(NumberAt(result, row, trigger_row::kType));
    std::string event;
    for (const TriggerEvent& each : kTriggerEvents) {
      if ((type & each.bit) == 0) continue;
      absl::StrAppend(&event, event.empty() ? "" : " OR ", each.name);
    }
    pb::Trigger& trigger = *message.add_triggers();
    trigger.set_name(TextAt(result, row, trigger_row::kName));
    trigger.set_timing((type & kInsteadOf) != 0 ? "INSTEAD OF"
                       : (type & kBefore) != 0  ? "BEFORE"
                                                : "AFTER");
    trigger.set_event(std::move(event));
    trigger.set_sql(TextAt(result, row, trigger_row::kSql));
  }
}

}  // namespace

// All of it is one transaction, so that the parts fit each other.
Task<absl::StatusOr<Message>> ReadTable(Backend& backend,
                                        Caller& caller,
                                        const std::string& schema,
                                        const std::string& table) {
  if (backend.closing()) co_return errors::PoolClosed();
  // The server refuses a text with a NUL, which no name has.
  const bool possible = absl::StrCat(schema, table).find('\0') == std::string::npos;
  ParameterValues names;
  names.Add(possible ? schema : "", Format::kText);
  names.Add(possible ? table : "", Format::kText);
  CO_TRY(Lease lease, co_await backend.pool().Acquire(caller));
  Connection& connection = lease.connection();
  Setting setting;
  setting.read_only = true;
  connection.Run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  connection.Run(FindTableSql(), names, Format::kText);
  const Trial found = co_await backend.runner().Go(lease, caller, nullptr, 1, setting);
  if (!found.status.ok()) co_return found.status;
  const Result& head = found.trip->results[1];

  if (head.rows() == 0) {
    connection.Run(kTableNamesSql);
    connection.Run("ROLLBACK");
    const Trial others = co_await backend.runner().Go(lease, caller, nullptr, 0, setting);
    if (!others.status.ok()) co_return others.status;
    co_return NotFound(others.trip->results[0], schema, table);
  }

  ParameterValues oid;
  oid.Add(head.text(0, table_row::kOid), Format::kText);
  for (const absl::string_view sql :
       {kColumnsSql, kKeysSql, kForeignKeysSql, kIndexesSql, kTriggersSql}) {
    connection.Run(sql, oid, Format::kText);
  }
  connection.Run("ROLLBACK");
  const Trial parts = co_await backend.runner().Go(lease, caller, nullptr, 0, setting);
  if (!parts.status.ok()) co_return parts.status;
  const auto& results = parts.trip->results;
  std::vector<Oid> missing = MissingTypes(results[0], backend.types());
  if (!missing.empty()) {
    CO_CHECK(co_await backend.runner().LearnTypes(lease, caller, std::move(missing)));
  }
  Message message;
  AddHead(head, message);
  AddColumns(results[0], backend.types(), message);
  AddKeys(results[1], message);
  AddForeignKeys(results[2], message);
  AddIndexes(results[3], message);
  AddTriggers(results[4], message);
  co_return message;
}

}  // namespace sluice::postgres
