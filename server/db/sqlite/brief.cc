#include "server/db/sqlite/brief.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/db/sqlite/plan_program.h"
#include "server/db/sqlite/statement_cache.h"

namespace sluice::sqlite {
namespace {

constexpr size_t kMostInstructions = 500;
// P2 of a Delete that removes nothing, but marks a row that is written over.
constexpr int kOverwrites = 0x44;
constexpr size_t kLongestSql = 4 << 10;

enum class Kind {
  kPlain,
  kJumps,   // to P2, perhaps
  kSizes,   // makes or reads a value, which may be too large
  kWrites,  // changes a table or an index
  kDelete,
};

// Nothing: it is none that is known to take but a moment.
std::optional<Kind> KindOf(absl::string_view opcode) {
  using enum Kind;
  static const auto& kinds = *new absl::flat_hash_map<absl::string_view, Kind>{
      {"Add", kPlain},          {"Affinity", kPlain},   {"And", kPlain},
      {"BitAnd", kPlain},       {"BitNot", kPlain},     {"BitOr", kPlain},
      {"Close", kPlain},        {"CollSeq", kPlain},    {"Copy", kPlain},
      {"DeferredSeek", kPlain}, {"Divide", kPlain},     {"FinishSeek", kPlain},
      {"Halt", kPlain},         {"HaltIfNull", kPlain}, {"IdxRowid", kPlain},
      {"Int64", kPlain},        {"IntCopy", kPlain},    {"Integer", kPlain},
      {"IsTrue", kPlain},       {"Move", kPlain},       {"Multiply", kPlain},
      {"NewRowid", kPlain},     {"Noop", kPlain},       {"Not", kPlain},
      {"Null", kPlain},         {"OpenRead", kPlain},   {"OpenWrite", kPlain},
      {"Or", kPlain},           {"Real", kPlain},       {"RealAffinity", kPlain},
      {"Remainder", kPlain},    {"ReopenIdx", kPlain},  {"ResultRow", kPlain},
      {"Rowid", kPlain},        {"SCopy", kPlain},      {"ShiftLeft", kPlain},
      {"ShiftRight", kPlain},   {"SoftNull", kPlain},   {"Subtract", kPlain},
      {"Transaction", kPlain},  {"TypeCheck", kPlain},  {"ZeroOrNull", kPlain},
      {"Eq", kJumps},           {"Found", kJumps},      {"Ge", kJumps},
      {"Goto", kJumps},         {"Gt", kJumps},         {"IdxGE", kJumps},
      {"IdxGT", kJumps},        {"IdxLE", kJumps},      {"IdxLT", kJumps},
      {"If", kJumps},           {"IfNot", kJumps},      {"IsNull", kJumps},
      {"Le", kJumps},           {"Lt", kJumps},         {"MustBeInt", kJumps},
      {"Ne", kJumps},           {"NoConflict", kJumps}, {"NotExists", kJumps},
      {"NotFound", kJumps},     {"NotNull", kJumps},    {"Once", kJumps},
      {"SeekGE", kJumps},       {"SeekRowid", kJumps},  {"Blob", kSizes},
      {"Cast", kSizes},         {"Column", kSizes},     {"Concat", kSizes},
      {"Function", kSizes},     {"MakeRecord", kSizes}, {"PureFunc", kSizes},
      {"String", kSizes},       {"String8", kSizes},    {"Variable", kSizes},
      {"Delete", kDelete},      {"IdxDelete", kWrites}, {"IdxInsert", kWrites},
      {"Insert", kWrites},
  };
  const auto found = kinds.find(opcode);
  return found == kinds.end() ? std::nullopt : std::optional(found->second);
}

// Those that take no longer than their arguments are long.
constexpr absl::string_view kFunctions[] = {
    "abs",    "current_date", "current_time", "current_timestamp",
    "date",   "datetime",     "hex",          "julianday",
    "length", "lower",        "max",          "min",
    "random", "randomblob",   "round",        "strftime",
    "substr", "time",         "typeof",       "unixepoch",
    "upper"};

bool IsKnownFunction(absl::string_view p4) {
  const absl::string_view name = p4.substr(0, p4.find('('));
  return std::find(std::begin(kFunctions), std::end(kFunctions), name) != std::end(kFunctions);
}

bool IsFunction(const Instruction& each) {
  return each.opcode == "Function" || each.opcode == "PureFunc";
}

// Whether the row that instruction `at` writes over was read before, whatever was jumped over.
bool ReadsBefore(const std::vector<Instruction>& program, size_t at) {
  for (size_t i = 1; i < at; ++i) {
    if (program[i].opcode != "Column" || program[i].p1 != program[at].p1) continue;
    const auto jumps_over = [&](const Instruction& each) {
      const auto target = static_cast<size_t>(each.p2);
      return KindOf(each.opcode) == Kind::kJumps && target > i && target <= at;
    };
    const auto begin = program.begin();
    if (std::none_of(begin, begin + static_cast<int64_t>(i), jumps_over)) return true;
  }
  return false;
}

// Of the part [from, to), which is run from its beginning.
bool RunsOnce(const std::vector<Instruction>& program, size_t from, size_t to) {
  bool writes = false;
  for (size_t i = from; i < to; ++i) {
    const Instruction& each = program[i];
    const std::optional<Kind> kind = KindOf(each.opcode);
    if (!kind.has_value() || static_cast<size_t>(each.address) != i) return false;
    const auto target = static_cast<size_t>(each.p2);
    const bool strays = kind == Kind::kJumps && each.p2 != 0 && (target <= i || target >= to);
    if (strays || (kind == Kind::kSizes && writes)) return false;
    if (IsFunction(each) && !IsKnownFunction(each.p4)) return false;
    const bool overwrites = (each.p2 & kOverwrites) == kOverwrites && ReadsBefore(program, i);
    if (kind == Kind::kDelete && !overwrites) return false;
    if (kind == Kind::kWrites) writes = true;
  }
  return true;
}

bool Has(const std::vector<Instruction>& program, absl::string_view opcode) {
  return std::any_of(program.begin(), program.end(),
                     [&](const Instruction& each) { return each.opcode == opcode; });
}

// Of a table without rowids, whose rows are in an index, it cannot be seen which is written over.
bool SeesWhatItOverwrites(const Prepared& prepared, const std::vector<Instruction>& program) {
  return prepared.verb != "UPDATE" || (Has(program, "Delete") && Has(program, "Insert"));
}

absl::StatusOr<std::vector<Instruction>> ProgramOf(Connection& connection, absl::string_view sql) {
  TRY(const std::unique_ptr<Prepared> listing, connection.Compile(absl::StrCat("EXPLAIN ", sql)));
  return ReadInstructions(connection, *listing, nullptr, kMostInstructions + 1);
}

}  // namespace

// A program begins with a jump to its end, where the transaction is entered and constants are made,
// and whence it goes on with its second instruction.
bool IsBrief(const std::vector<Instruction>& program) {
  if (program.size() < 3 || program.size() > kMostInstructions) return false;
  const Instruction& first = program.front();
  const Instruction& last = program.back();
  if (first.opcode != "Init" || last.opcode != "Goto" || last.p2 != 1) return false;
  const auto tail = static_cast<size_t>(first.p2);
  if (tail < 1 || tail >= program.size()) return false;
  return RunsOnce(program, 1, tail) && RunsOnce(program, tail, program.size() - 1) &&
         !(Has(program, "OpenWrite") && Has(program, "OpenRead"));  // a foreign key's other table
}

void Examine(Connection& connection, absl::string_view sql) {
  Prepared* const prepared = sql.size() <= kLongestSql ? connection.FindIdle(sql) : nullptr;
  if (prepared == nullptr || prepared->changes_schema) return;
  const absl::StatusOr<SchemaState> schema = connection.Schema();
  if (!schema.ok() || prepared->examined_for == *schema) return;
  const absl::StatusOr<std::vector<Instruction>> program = ProgramOf(connection, sql);
  prepared->brief = program.ok() && IsBrief(*program) && SeesWhatItOverwrites(*prepared, *program);
  prepared->examined_for = *schema;
}

bool IsKnownBrief(Connection& connection, absl::string_view sql) {
  const Prepared* const prepared = connection.FindIdle(sql);
  if (prepared == nullptr || !prepared->brief) return false;
  const absl::StatusOr<SchemaState> schema = connection.Schema();
  return schema.ok() && prepared->examined_for == *schema;
}

}  // namespace sluice::sqlite
