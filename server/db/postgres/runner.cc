#include "server/db/postgres/runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/db/parameters.h"
#include "server/db/postgres/decode.h"
#include "server/db/postgres/encode.h"
#include "sluice/v1/query.pb.h"

namespace sluice::postgres {
namespace {

using errors::Executed;

// Types made of types made of types: each level is a question to the server.
constexpr int kMostTypeLevels = 8;
constexpr size_t kNameBytes = 4096;
constexpr absl::string_view kLockTimeout = "55P03";
constexpr absl::string_view kReadOnlyTransaction = "25006";

// What the server knows of types, for TypeBook. One row a type.
constexpr absl::string_view kTypesQuery =
    "SELECT t.oid, pg_catalog.format_type(t.oid, NULL), t.typtype, t.typcategory, t.typelem, "
    "t.typlen, t.typbasetype, t.typdelim, coalesce(r.rngsubtype, m.rngtypid, 0), "
    "(SELECT pg_catalog.string_agg(a.atttypid::text, ',' ORDER BY a.attnum) FROM "
    "pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0 "
    "AND NOT a.attisdropped), "
    "(SELECT pg_catalog.string_agg(a.attname::text, pg_catalog.chr(1) ORDER BY a.attnum) FROM "
    "pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0 "
    "AND NOT a.attisdropped) "
    "FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid "
    "LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid "
    "WHERE t.oid = ANY ($1::pg_catalog.oid[])";

Oid OidIn(absl::string_view text) {
  Oid oid = 0;
  return absl::SimpleAtoi(text, &oid) ? oid : 0;
}

Type TypeOf(const Result& result, int row) {
  const auto text = [&](int column) { return result.text(row, column); };
  Type type;
  type.oid = OidIn(text(0));
  type.name = SanitizeForMessage(std::string_view(text(1).data(), text(1).size()), kNameBytes);
  const char kind = text(2).empty() ? 'b' : text(2).front();
  const char category = text(3).empty() ? 'U' : text(3).front();
  if (!text(7).empty()) type.delimiter = text(7).front();
  switch (kind) {
    case 'e':
      type.form = Form::kString;
      break;
    case 'd':
      type.form = Form::kDomain;
      type.inner = OidIn(text(6));
      break;
    case 'r':
    case 'm':
      type.form = kind == 'r' ? Form::kRange : Form::kMultirange;
      type.inner = OidIn(text(8));
      break;
    case 'c': {
      type.form = Form::kComposite;
      const std::vector<std::string> types = absl::StrSplit(text(9), ',', absl::SkipEmpty());
      const std::vector<std::string> names = absl::StrSplit(text(10), '\1');
      for (size_t i = 0; i < types.size(); ++i) {
        type.fields.push_back({i < names.size() ? names[i] : "", OidIn(types[i])});
      }
      break;
    }
    default:
      if (category == 'A' && OidIn(text(4)) != 0) {
        type.form = Form::kArray;
        type.inner = OidIn(text(4));
      } else {
        type.form = category == 'S' ? Form::kTextOnly : Form::kUnknown;
      }
  }
  return type;
}

// As far as a reply tells of them.
bool Same(const Columns& one, const Columns& other) {
  return std::equal(one.columns.begin(), one.columns.end(), other.columns.begin(),
                    other.columns.end(), [](const Column& a, const Column& b) {
                      return a.type == b.type && a.modifier == b.modifier && a.name == b.name;
                    });
}

std::string FirstWord(absl::string_view tag) {
  return std::string(tag.substr(0, tag.find(' ')));
}

// `columns` of a reply, in wire form.
std::string EncodeColumns(const Result& description, const TypeBook& types) {
  pb::QueryResponse reply;
  for (int i = 0; i < description.columns(); ++i) {
    const Oid oid = description.type(i);
    const absl::string_view name = description.name(i);
    pb::Column& told = *reply.add_columns();
    told.set_name(SanitizeForMessage(std::string_view(name.data(), name.size()), kNameBytes));
    told.set_type(types.ValueTypeOf(oid));
    const Type* const type = types.Find(oid);
    if (type != nullptr) told.set_native_type(type->name);
    told.set_oid(oid);
    told.set_type_modifier(description.modifier(i));
  }
  return reply.SerializeAsString();
}

Executed Lost(const Setting& setting) {
  if (setting.in_transaction) return Executed::kRolledBack;
  return setting.read_only ? Executed::kNo : Executed::kUnknown;
}

Executed Lost(const Trip& trip, const Setting& setting) {
  return trip.unsent && !setting.in_transaction ? Executed::kNo : Lost(setting);
}

}  // namespace

void AddFacts(const Result& result, const Plan& plan, db::Rows& rows) {
  const absl::string_view tag = result.tag();
  const std::string word = FirstWord(tag);
  if (word == "SELECT" || word == "FETCH") {
    rows.command_tag = plan.reads ? absl::StrCat("SELECT ", rows.count) : std::string(tag);
    if (!plan.reads && word == "SELECT") rows.rows_affected = result.affected();
    return;
  }
  const bool counts =
      tag.size() > word.size() && absl::ascii_isdigit(static_cast<unsigned char>(tag.back()));
  rows.command_tag = counts ? std::string(tag) : word;
  if (counts) rows.rows_affected = result.affected();
}

Task<absl::Status> Runner::LearnTypes(Link& link, Caller& caller, std::vector<Oid> wanted) {
  Setting asking;
  asking.read_only = true;
  for (int level = 0; level < kMostTypeLevels && !wanted.empty(); ++level) {
    ParameterValues values;
    values.Add(absl::StrCat("{", absl::StrJoin(wanted, ","), "}"), Format::kText);
    link.connection().Run(kTypesQuery, values, Format::kText);
    const Trial trial = co_await Go(link, caller, nullptr, 0, asking);
    if (!trial.status.ok()) co_return trial.status;
    const Result& result = trial.trip->results[0];
    for (int row = 0; row < result.rows(); ++row) types_.Add(TypeOf(result, row));
    std::vector<Oid> next;
    for (const Oid oid : wanted) {
      if (types_.Find(oid) == nullptr) {
        Type unknown;
        unknown.oid = oid;
        types_.Add(unknown);  // dropped meanwhile, or never there
      }
      types_.AppendMissing(oid, next);
    }
    wanted = std::move(next);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Runner::Learn(Link& link,
                                 Caller& caller,
                                 std::shared_ptr<Plan> plan,
                                 const Setting& setting) {
  if (plan->described) co_return absl::OkStatus();
  Connection& connection = link.connection();
  const StatementCache::Prepared* prepared = connection.statements().Find(plan->id);
  const bool fresh = prepared == nullptr;
  if (fresh) {
    prepared = &connection.statements().Add(plan->id);
    connection.Prepare(prepared->name, plan->sql, plan->asked);
  }
  connection.Describe(prepared->name);
  Setting asking = setting;
  asking.read_only = true;  // to compile a statement writes nothing
  const Trial trial = co_await Go(link, caller, plan.get(), fresh ? 1 : 0, asking);
  if (fresh) Keep(connection, *plan, trial, 0);
  if (!trial.status.ok()) co_return trial.status;
  const Result& description = trial.trip->results[static_cast<size_t>(trial.first)];
  std::vector<Oid> missing;
  for (int i = 0; i < description.parameters(); ++i) {
    types_.AppendMissing(description.parameter(i), missing);
  }
  for (int i = 0; i < description.columns(); ++i) {
    types_.AppendMissing(description.type(i), missing);
  }
  if (!missing.empty()) {
    CO_CHECK(co_await LearnTypes(link, caller, std::move(missing)));
  }
  Keep(description, *plan);
  co_return absl::OkStatus();
}

void Runner::Keep(const Result& description, Plan& plan) const {
  plan.parameters.clear();
  for (int i = 0; i < description.parameters(); ++i) {
    plan.parameters.push_back(description.parameter(i));
  }
  bool binary = true;
  for (int i = 0; i < description.columns(); ++i) {
    binary = binary && types_.HasBinary(description.type(i));
  }
  plan.columns = description.shape();
  plan.told = nullptr;
  plan.has_columns = description.columns() > 0 || plan.reads;
  plan.results = binary ? Format::kBinary : Format::kText;
  plan.encoded_columns = EncodeColumns(description, types_);
  plan.described = true;
}

std::string Runner::Head(const Result& result, const Plan& plan) const {
  if (result.shape() == plan.told || Same(*result.shape(), *plan.columns)) {
    return plan.encoded_columns;
  }
  plans_.Forget(plan);
  return EncodeColumns(result, types_);
}

absl::Status Runner::Bind(const Plan& plan,
                          const db::Statement& statement,
                          ParameterValues& values) const {
  TRY(const db::BoundParameters bound,
      db::ResolveParameters(plan.shape, statement.params(), statement.named_params(),
                            db::Dialect::kPostgres));
  // By their numbers; one that is missing from the text was refused.
  absl::InlinedVector<const db::BoundParameter*, 8> ordered(plan.parameters.size(), nullptr);
  for (const db::BoundParameter& each : bound) {
    const auto index = static_cast<size_t>(each.index) - 1;
    if (index < ordered.size()) ordered[index] = &each;
  }
  std::string bytes;
  for (size_t i = 0; i < ordered.size(); ++i) {
    if (ordered[i] == nullptr || ordered[i]->value->has_null_value()) {
      values.AddNull();
      continue;
    }
    const db::Parameter& parameter = *ordered[i]->parameter;
    const std::string path = parameter.form == db::ParameterForm::kNamed
                                 ? absl::StrCat("named_params[\"", parameter.name, "\"]")
                                 : absl::StrCat("params[", parameter.number - 1, "]");
    bytes.clear();
    Format format = Format::kText;
    TRY_STATUS(EncodeValue(types_, plan.parameters[i], *ordered[i]->value, path,
                           parameter.place.position, bytes, format));
    values.Add(bytes, format);
  }
  return absl::OkStatus();
}

void Runner::Send(Connection& connection,
                  const Plan& plan,
                  const ParameterValues& values,
                  bool again) const {
  const StatementCache::Prepared* prepared = connection.statements().Find(plan.id);
  if (prepared == nullptr) {
    prepared = &connection.statements().Add(plan.id);
    // With the types that its values are for: a server that would see it otherwise now says so.
    if (!again) connection.Prepare(prepared->name, plan.sql, plan.parameters);
  }
  connection.Execute(prepared->name, values, plan.results, prepared->columns);
  if (plan.counts) connection.set_counted(true);
}

void Runner::Remember(Connection& connection, Plan& plan, const Result& result) const {
  // A prepared FETCH, and what else is no query, gives whatever the name stands for by then.
  if (result.shape() == plan.told || !plan.plain) return;
  StatementCache::Prepared* const prepared = connection.statements().Find(plan.id);
  if (prepared == nullptr || prepared->columns != nullptr) return;
  if (plan.told == nullptr && Same(*result.shape(), *plan.columns)) plan.told = result.shape();
  const bool same = plan.told != nullptr && Same(*result.shape(), *plan.told);
  prepared->columns = same ? plan.told : result.shape();
}

Task<Trial> Runner::Go(
    Link& link, Caller& caller, const Plan* plan, int first, const Setting& setting) {
  Connection& connection = link.connection();
  if (connection.cancelling()) co_await connection.Settle();
  Trial trial = co_await Await(link, caller, plan, connection.Sync(), first, setting);
  co_return trial;
}

Task<Trial> Runner::Await(Link& link,
                          Caller& caller,
                          const Plan* plan,
                          std::shared_ptr<Trip> trip,
                          int first,
                          const Setting& setting) {
  Trial trial;
  trial.first = first;
  trial.trip = std::move(trip);
  trial.end = co_await link.Await(trial.trip, caller);
  if (trial.end != Trip::End::kDone) {
    trial.status = WhyLost(trial, caller, setting);
    co_return trial;
  }
  for (const Result& result : trial.trip->results) {
    if (result.kind() != Result::Kind::kError) continue;
    trial.error = result.error();
    trial.sqlstate = trial.error.sqlstate;
    trial.status = Why(result, caller, setting, link.connection().demoted());
    trial.stale = plan != nullptr && IsStalePlan(trial.error);
    if (IsForgottenStatement(trial.error)) {
      // A session that has forgotten one has mostly forgotten all.
      link.connection().statements().Clear();
      habits_.forget = true;
    }
    break;
  }
  if (trial.trip->unconfirmed && trial.status.ok()) trial.status = errors::CommitUnconfirmed();
  if (trial.stale) Outdate(link.connection(), *plan);
  co_return trial;
}

// What no longer fits must not be taken for prepared.
void Runner::Outdate(Connection& connection, const Plan& plan) const {
  connection.statements().Remove(plan.id);
}

void Runner::Ask(Connection& connection, Question question) const {
  if (habits_.forget) return connection.Run(SqlOf(question));
  connection.Ask(question);
}

void Runner::Keep(Connection& connection, const Plan& plan, const Trial& trial, int place) const {
  const auto index = static_cast<size_t>(place);
  const bool prepared = trial.end == Trip::End::kDone && index < trial.trip->results.size() &&
                        trial.trip->results[index].kind() == Result::Kind::kDone;
  if (!prepared) connection.statements().Remove(plan.id);
}

Task<absl::StatusOr<db::Rows>> Runner::Execute(Link& link,
                                               Caller& caller,
                                               const db::Statement& statement,
                                               const Around& around,
                                               const Setting& setting,
                                               Report& report) {
  bool retry = !setting.in_transaction && !setting.may_commit;
  while (true) {
    const std::shared_ptr<Plan> plan = plans_.Find(statement);
    CO_CHECK(plan->refusal);
    const absl::Status known = co_await Learn(link, caller, plan, setting);
    if (!known.ok()) {
      report.failed = true;
      const std::string sqlstate = errors::MetadataOf(known, "sqlstate");
      report.unlearnt = !caller.stopped() && (IsCancelled(sqlstate) || sqlstate == kLockTimeout);
      co_return known;
    }
    ParameterValues values;
    CO_CHECK(Bind(*plan, statement, values));
    Connection& connection = link.connection();
    for (const std::string& command : around.before) connection.Command(command);
    const bool prepared = connection.statements().Find(plan->id) != nullptr;
    Send(connection, *plan, values);
    for (const std::string& command : around.after) connection.Run(command);
    if (around.question.has_value()) Ask(connection, *around.question);
    const int first = static_cast<int>(around.before.size()) + (prepared ? 0 : 1);
    report.sent = true;
    const Trial trial = co_await Go(link, caller, plan.get(), first, setting);
    if (!prepared) Keep(connection, *plan, trial, first - 1);
    if (!setting.in_transaction) Evict(connection);
    report.ran = trial.end == Trip::End::kDone;
    report.lost = trial.end == Trip::End::kLost;
    report.unsent = trial.trip->unsent;
    report.flooded = trial.trip->flooded;
    if (report.flooded) plan->LearnWide();
    report.took = trial.trip->over - trial.trip->begun;
    report.timed_out =
        !caller.stopped() && (IsCancelled(trial.sqlstate) || trial.sqlstate == kLockTimeout);
    if (trial.stale) {
      plans_.Forget(*plan);
      if (std::exchange(retry, false)) continue;
    }
    report.failed = !trial.status.ok();
    if (report.failed) co_return trial.status;
    report.trip = trial.trip;
    report.first = first;
    const Result& result = trial.trip->results[static_cast<size_t>(first)];
    Remember(connection, *plan, result);
    if (report.whole) co_return FactsOf(result, *plan);
    // What was done is not told undone, whatever of its rows cannot be told.
    const bool done = !setting.in_transaction && !plan->reads;
    Room room{statement.max_rows, statement.max_bytes, report.shares, report.shares || done,
              report.columns};
    absl::StatusOr<db::Rows> rows = Collect(result, *plan, room);
    if (done && !rows.ok()) rows = errors::WithExecuted(rows.status(), Executed::kUnknown);
    report.failed = !rows.ok();
    co_return rows;
  }
}

void Runner::Evict(Connection& connection) const {
  const std::optional<std::string> name = connection.statements().Evict();
  if (!name.has_value() || connection.lost()) return;
  connection.Run(absl::StrCat("DEALLOCATE ", *name));
  connection.Sync();  // nobody waits for it
}

db::Rows FactsOf(const Result& result, const Plan& plan) {
  db::Rows rows;
  rows.has_columns = result.kind() == Result::Kind::kRows;
  rows.count = result.rows();
  AddFacts(result, plan, rows);
  return rows;
}

void Runner::AppendHead(const Result& result, const Plan& plan, Room& room, db::Rows& rows) const {
  rows.has_columns = result.kind() == Result::Kind::kRows;
  if (!rows.has_columns) return;
  std::string head = Head(result, plan);
  const bool fits =
      !room.shared || head.size() <= static_cast<size_t>(std::max<int64_t>(room.bytes, 0));
  rows.truncated = room.columns && !fits;
  if (room.columns && fits) rows.wire = std::move(head);
  room.head = rows.wire.size();
}

absl::Status Runner::AppendRows(const Result& result,
                                Plan& plan,
                                const Room& room,
                                db::Rows& rows) const {
  absl::InlinedVector<RowDecoder::Column, 16> columns;
  for (int i = 0; i < result.columns(); ++i) {
    columns.push_back({result.type(i), result.format(i)});
  }
  const auto bytes = static_cast<size_t>(std::max<int64_t>(room.bytes, 0));
  const size_t most = bytes + (room.shared ? 0 : room.head);
  const RowDecoder decoder(types_, columns);
  absl::InlinedVector<Cell, 16> cells(columns.size());
  std::vector<int> split;
  for (int row = 0; row < result.rows(); ++row) {
    rows.truncated = rows.truncated || rows.count == room.rows;
    if (rows.truncated) break;
    result.Cells(row, absl::MakeSpan(cells));
    const size_t before = rows.wire.size();
    TRY_STATUS(decoder.Append(cells, room.bytes, rows.wire, split));
    const bool too_large = !split.empty() || rows.wire.size() - before > bytes;
    if (too_large && !room.cuts) return errors::ValueTooLarge("A row", room.bytes, "StreamQuery");
    rows.truncated = too_large || rows.wire.size() > most;
    if (rows.truncated) {
      rows.wire.resize(before);
      break;
    }
    ++rows.count;
  }
  plan.large = plan.large || rows.truncated;
  if (result.rows() > 0) plan.row_bytes = static_cast<int64_t>(result.memory()) / result.rows();
  return absl::OkStatus();
}

absl::StatusOr<db::Rows> Runner::Collect(const Result& result, Plan& plan, Room room) const {
  db::Rows rows;
  AppendHead(result, plan, room, rows);
  if (rows.has_columns) {
    TRY_STATUS(AppendRows(result, plan, room, rows));
  }
  AddFacts(result, plan, rows);
  return rows;
}

absl::Status Runner::Why(const Result& result,
                         Caller& caller,
                         const Setting& setting,
                         bool demoted) const {
  const ServerError error = result.error();
  if (IsCancelled(error.sqlstate) && caller.stopped()) return caller.Why(Executed::kRolledBack);
  // Nothing of it was done, and another server takes it by now, or will soon.
  const bool elsewhere = demoted && !setting.read_only_policy && !setting.may_commit;
  if (elsewhere && error.sqlstate == kReadOnlyTransaction) {
    return errors::WithMetadata(errors::BackendLost(Executed::kNo, setting.in_transaction),
                                "sqlstate", error.sqlstate);
  }
  ErrorContext context;
  // An honest server gives each of its errors a code.
  const bool untold = error.sqlstate.empty() || EndsSession(error.sqlstate);
  context.executed = untold ? Lost(setting) : Executed::kRolledBack;
  if (setting.may_commit && !setting.in_transaction) context.executed = Executed::kUnknown;
  context.in_transaction = setting.in_transaction;
  context.read_only_policy = setting.read_only_policy;
  return ToStatus(error, context);
}

absl::Status Runner::WhyLost(const Trial& trial, Caller& caller, const Setting& setting) const {
  if (trial.end == Trip::End::kAbandoned) return caller.Why(Lost(setting));
  if (trial.trip->flooded) {
    return errors::WithExecuted(errors::ValueTooLarge("The result", Answers::kMost, "StreamQuery"),
                                Lost(setting));
  }
  return errors::BackendLost(Lost(*trial.trip, setting), setting.in_transaction);
}

}  // namespace sluice::postgres
