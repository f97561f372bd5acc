#include "server/db/sqlite/inserter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/nearest.h"
#include "server/base/status.h"
#include "server/db/sqlite/codec.h"
#include "server/db/sqlite/question.h"

namespace sluice::sqlite {
namespace {

// Rows between two looks at the watch: an insert of one row is too short for the engine to look.
constexpr int kRowsBetweenLooks = 128;

std::string Listed(const std::vector<std::string>& names) {
  return absl::StrJoin(names, ", ", [](std::string* out, const std::string& name) {
    absl::StrAppend(out, QuotedName(name));
  });
}

bool Holds(const std::vector<std::string>& names, absl::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& each) { return absl::EqualsIgnoreCase(each, name); });
}

// The codec speaks of a parameter; the caller knows rows.
absl::Status OfRow(const absl::Status& failure, absl::string_view column) {
  if (!absl::IsInvalidArgument(failure)) return failure;
  const absl::string_view message = failure.message();
  const size_t colon = message.find(": ");
  const absl::string_view why =
      colon == absl::string_view::npos ? message : message.substr(colon + 2);
  return errors::ParameterInvalid("rows", absl::StrCat("the value for ", column, ": ", why));
}

}  // namespace

absl::Status Inserter::Insert(const google::protobuf::RepeatedPtrField<db::pb::Row>& rows,
                              int64_t first_row,
                              int64_t& affected) {
  if (sql_.empty()) {
    TRY_STATUS(Plan());
  }
  TRY(Prepared* const prepared, connection_.Prepare(sql_));
  for (int i = 0; i < rows.size(); ++i) {
    if (i % kRowsBetweenLooks == 0 && watch_.Over()) return absl::CancelledError();
    absl::Status inserted = InsertRow(*prepared, rows[i]);
    if (!inserted.ok()) {
      return errors::WithMetadata(std::move(inserted), "row", absl::StrCat(first_row + i));
    }
    affected += connection_.Changes();
  }
  return absl::OkStatus();
}

absl::Status Inserter::InsertRow(Prepared& prepared, const db::pb::Row& row) {
  if (row.values_size() != static_cast<int>(columns_.size())) {
    return errors::ParameterInvalid(
        "rows", absl::StrCat("a row has ", row.values_size(), " values, and there are ",
                             columns_.size(), " columns"));
  }
  TRY_STATUS(Bind(prepared, row));
  const absl::StatusOr<Connection::Step> step = connection_.Advance(prepared, &watch_);
  if (!step.ok()) return errors::WithExecuted(step.status(), errors::Executed::kRolledBack);
  connection_.Reset(prepared);
  return absl::OkStatus();
}

absl::Status Inserter::Bind(Prepared& prepared, const db::pb::Row& row) {
  prepared.bound = true;
  for (int i = 0; i < row.values_size(); ++i) {
    const absl::Status bound =
        BindValue(prepared.stmt, parameters_[static_cast<size_t>(i)], row.values(i));
    if (bound.ok()) continue;
    connection_.Reset(prepared);
    return OfRow(bound, columns_[static_cast<size_t>(i)]);
  }
  return absl::OkStatus();
}

absl::Status Inserter::Plan() {
  if (!target_.schema.empty() && !absl::EqualsIgnoreCase(target_.schema, "main")) {
    return errors::TableNotFound(absl::StrCat(target_.schema, ".", target_.table), "");
  }
  TRY(const std::vector<Column> all, ReadColumns());
  if (all.empty()) return TableMissing();
  TRY_STATUS(ChooseColumns(all));
  TRY(const std::string conflict, ConflictClause(all));
  std::vector<std::string> places;
  for (size_t i = 0; i < columns_.size(); ++i) {
    db::Parameter& parameter = parameters_.emplace_back();
    parameter.index = static_cast<int>(i) + 1;
    parameter.number = parameter.index;
    places.push_back(absl::StrCat("?", parameter.index));
  }
  sql_ = absl::StrCat("INSERT INTO ", QuotedName(target_.table), " (", Listed(columns_),
                      ") VALUES (", absl::StrJoin(places, ", "), ")", conflict);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Inserter::Column>> Inserter::ReadColumns() {
  Question question(connection_, watch_);
  TRY_STATUS(question.Ask("SELECT name, hidden, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1",
                          {target_.table}));
  std::vector<Column> columns;
  while (true) {
    TRY(const bool more, question.Next());
    if (!more) return columns;
    Column& column = columns.emplace_back();
    column.name = question.Text(0);
    column.generated = question.Number(1) != 0;
    column.key = question.Number(2);
  }
}

absl::Status Inserter::TableMissing() {
  std::vector<std::string> names;
  Question question(connection_, watch_);
  TRY_STATUS(
      question.Ask("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name "
                   "NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_sluice\\_%' "
                   "ESCAPE '\\' LIMIT 500"));
  while (true) {
    TRY(const bool more, question.Next());
    if (!more) break;
    names.push_back(question.Text(0));
  }
  return errors::TableNotFound(Shown(target_.table), Nearest(target_.table, names));
}

absl::Status Inserter::ChooseColumns(const std::vector<Column>& all) {
  if (target_.columns.empty()) {
    for (const Column& column : all) {
      if (!column.generated) columns_.push_back(column.name);
    }
    return absl::OkStatus();
  }
  for (size_t i = 0; i < target_.columns.size(); ++i) {
    const std::string& name = target_.columns[i];
    const std::string field = absl::StrCat("columns[", i, "]");
    const auto found = std::find_if(all.begin(), all.end(), [&](const Column& column) {
      return absl::EqualsIgnoreCase(column.name, name);
    });
    if (found == all.end()) {
      return errors::ParameterInvalid(field, absl::StrCat("the table has no column ", Shown(name)));
    }
    if (found->generated) {
      return errors::ParameterInvalid(
          field, absl::StrCat(found->name, " is computed and cannot be given"));
    }
    if (Holds(columns_, name)) {
      return errors::ParameterInvalid(field, absl::StrCat(found->name, " is named twice"));
    }
    columns_.push_back(found->name);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Inserter::ConflictClause(const std::vector<Column>& all) const {
  if (target_.on_conflict == db::ConflictAction::kFail) return "";
  if (target_.on_conflict == db::ConflictAction::kSkip) return " ON CONFLICT DO NOTHING";
  std::vector<std::string> key = target_.conflict_columns;
  if (key.empty()) {
    std::vector<Column> parts;
    std::copy_if(all.begin(), all.end(), std::back_inserter(parts),
                 [](const Column& column) { return column.key > 0; });
    std::sort(parts.begin(), parts.end(),
              [](const Column& one, const Column& other) { return one.key < other.key; });
    for (const Column& part : parts) key.push_back(part.name);
  }
  if (key.empty()) {
    return errors::ParameterInvalid("conflict_columns",
                                    "the table has no primary key; name the columns of a key");
  }
  std::vector<std::string> changes;
  for (const std::string& column : columns_) {
    const std::string name = QuotedName(column);
    if (!Holds(key, column)) changes.push_back(absl::StrCat(name, " = excluded.", name));
  }
  if (changes.empty()) return absl::StrCat(" ON CONFLICT (", Listed(key), ") DO NOTHING");
  return absl::StrCat(" ON CONFLICT (", Listed(key), ") DO UPDATE SET ",
                      absl::StrJoin(changes, ", "));
}

}  // namespace sluice::sqlite
