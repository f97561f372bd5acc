#include "server/db/parameters.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/utf8.h"

namespace sluice::db {
namespace {

constexpr size_t kShownBytes = 64;

std::string NumberedPath(int index) {
  return absl::StrCat("params[", index, "]");
}

std::string NamedPath(absl::string_view name) {
  return absl::StrCat("named_params[\"",
                      SanitizeForMessage({name.data(), name.size()}, kShownBytes), "\"]");
}

// Why a value cannot be bound, and where in the value.
struct Fault {
  absl::string_view why;
  std::string path;
};

bool IsBindable(const pb::Value& value, Dialect dialect, int depth, Fault& fault);

template <typename Values>
bool AreBindable(
    const Values& values, absl::string_view field, Dialect dialect, int depth, Fault& fault) {
  for (int i = 0; i < values.size(); ++i) {
    if (IsBindable(values[i], dialect, depth, fault)) continue;
    fault.path = absl::StrCat(field, "[", i, "]", fault.path);
    return false;
  }
  return true;
}

bool IsBoundBindable(
    const pb::Value& bound, absl::string_view field, Dialect dialect, int depth, Fault& fault) {
  if (IsBindable(bound, dialect, depth, fault)) return true;
  fault.path = absl::StrCat(field, fault.path);
  return false;
}

bool IsText(const std::string& text, Dialect dialect, Fault& fault) {
  if (dialect == Dialect::kSqlite || text.find('\0') == std::string::npos) return true;
  fault.why = "text on PostgreSQL cannot hold a NUL; send bytes_value";
  return false;
}

bool IsBindable(const pb::Value& value, Dialect dialect, int depth, Fault& fault) {
  if (depth > kMaxValueDepth) {
    fault.why = "values are nested more than 32 deep";
    return false;
  }
  switch (value.kind_case()) {
    case pb::Value::KIND_NOT_SET:
      fault.why = "the value has no kind; an SQL NULL is null_value";
      return false;
    case pb::Value::kSplitValue:
      fault.why = "split_value stands in streamed results only";
      return false;
    case pb::Value::kRawValue:
      if (value.raw_value().format() != pb::Raw::FORMAT_UNSPECIFIED) return true;
      fault.why = "raw_value needs a format";
      return false;
    case pb::Value::kStringValue:
      return IsText(value.string_value(), dialect, fault);
    case pb::Value::kJsonValue:
      return IsText(value.json_value(), dialect, fault);
    case pb::Value::kNumericValue:
      return IsText(value.numeric_value(), dialect, fault);
    case pb::Value::kArrayValue:
      return AreBindable(value.array_value().values(), ".array_value.values", dialect, depth + 1,
                         fault);
    case pb::Value::kCompositeValue:
      return AreBindable(value.composite_value().values(), ".composite_value.values", dialect,
                         depth + 1, fault);
    case pb::Value::kRangeValue: {
      const pb::Range& range = value.range_value();
      return (!range.has_lower() ||
              IsBoundBindable(range.lower(), ".range_value.lower", dialect, depth + 1, fault)) &&
             (!range.has_upper() ||
              IsBoundBindable(range.upper(), ".range_value.upper", dialect, depth + 1, fault));
    }
    default:
      return true;
  }
}

const Parameter* FindNumber(const StatementShape& shape, int number) {
  for (const Parameter& parameter : shape.parameters.all) {
    if (parameter.number == number) return &parameter;
  }
  return nullptr;
}

std::string Count(int n, absl::string_view what) {
  return absl::StrCat(n, " ", what, n == 1 ? "" : "s");
}

absl::Status CountMismatch(const StatementShape& shape, int given, Dialect dialect) {
  const int wanted = shape.parameters.numbered;
  const std::string path = NumberedPath(std::min(wanted, given));
  if (given < wanted) {
    const Parameter* const missing = FindNumber(shape, given + 1);
    return errors::ParameterInvalidAt(
        path,
        absl::StrCat("the statement takes ", Count(wanted, "value"), ", and params has ", given),
        missing == nullptr ? 0 : missing->place.position);
  }
  if (wanted > 0) {
    return errors::ParameterInvalid(
        path,
        absl::StrCat("the statement takes ", Count(wanted, "value"), ", and params has ", given));
  }
  absl::string_view hint = "write ?, $1 or :name in the SQL where a value belongs";
  if (dialect == Dialect::kPostgres)
    hint = "write $1 in the SQL where a value belongs; ? is an operator";
  if (shape.parameters.named > 0) hint = "give the values of named parameters in named_params";
  return errors::ParameterInvalidAt(
      path, absl::StrCat("the statement has no numbered parameters, and params has ", given), 0,
      hint);
}

absl::Status NamedMissing(const Parameter& parameter) {
  const std::string path = NamedPath(parameter.name);
  return errors::ParameterInvalidAt(path, "the statement takes this value, and it is not given",
                                    parameter.place.position);
}

// Some name is given that no parameter has; of several, the first in order of the alphabet.
absl::Status NamedUnused(const StatementShape& shape, const NamedParams& named_params) {
  const std::string* unused = nullptr;
  for (const auto& [name, value] : named_params) {
    const bool used =
        std::any_of(shape.parameters.all.begin(), shape.parameters.all.end(),
                    [&name = name](const Parameter& parameter) {
                      return parameter.form == ParameterForm::kNamed && parameter.name == name;
                    });
    if (!used && (unused == nullptr || name < *unused)) unused = &name;
  }
  if (unused == nullptr) return errors::Internal("named parameters do not add up");
  absl::string_view hint;
  if (!unused->empty() &&
      (unused->front() == ':' || unused->front() == '@' || unused->front() == '$')) {
    hint = "names are given without the character that they begin with in the SQL";
  }
  return errors::ParameterInvalidAt(NamedPath(*unused), "the statement has no such parameter", 0,
                                    hint);
}

absl::Status Unbindable(const Parameter& parameter, const Fault& fault) {
  const std::string path = parameter.form == ParameterForm::kNamed
                               ? NamedPath(parameter.name)
                               : NumberedPath(parameter.number - 1);
  return errors::ParameterInvalidAt(absl::StrCat(path, fault.path), fault.why,
                                    parameter.place.position);
}

}  // namespace

absl::StatusOr<BoundParameters> ResolveParameters(const StatementShape& shape,
                                                  const Params& params,
                                                  const NamedParams& named_params,
                                                  Dialect dialect) {
  const ParameterList& list = shape.parameters;
  TRY_STATUS(list.problem);
  if (params.size() != list.numbered) return CountMismatch(shape, params.size(), dialect);
  BoundParameters bound;
  bound.reserve(list.all.size());
  for (const Parameter& parameter : list.all) {
    const pb::Value* value = nullptr;
    if (parameter.form == ParameterForm::kNamed) {
      const auto found = named_params.find(parameter.name);
      if (found == named_params.end()) return NamedMissing(parameter);
      value = &found->second;
    } else {
      value = &params[parameter.number - 1];
    }
    Fault fault;
    if (!IsBindable(*value, dialect, 1, fault)) return Unbindable(parameter, fault);
    bound.push_back(BoundParameter{parameter.index, &parameter, value});
  }
  // Every name has its value, so one value more is one that no name takes.
  if (named_params.size() != static_cast<size_t>(list.named)) {
    return NamedUnused(shape, named_params);
  }
  return bound;
}

}  // namespace sluice::db
