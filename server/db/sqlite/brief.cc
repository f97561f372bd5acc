#include "server/db/sqlite/brief.h"

#include <cstddef>
#include <cstdint>
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
constexpr int kChangesNothing = 0x40;  // in P2 of Delete: for a hook that nobody set

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
      {"Add", kPlain},          {"Affinity", kPlain},    {"And", kPlain},
      {"BitAnd", kPlain},       {"BitNot", kPlain},      {"BitOr", kPlain},
      {"Close", kPlain},        {"CollSeq", kPlain},     {"Copy", kPlain},
      {"DeferredSeek", kPlain}, {"Divide", kPlain},      {"FinishSeek", kPlain},
      {"FkCounter", kPlain},    {"Halt", kPlain},        {"HaltIfNull", kPlain},
      {"IdxRowid", kPlain},     {"Int64", kPlain},       {"IntCopy", kPlain},
      {"Integer", kPlain},      {"IsTrue", kPlain},      {"Move", kPlain},
      {"Multiply", kPlain},     {"NewRowid", kPlain},    {"Noop", kPlain},
      {"Not", kPlain},          {"Null", kPlain},        {"OpenRead", kPlain},
      {"OpenWrite", kPlain},    {"Or", kPlain},          {"Real", kPlain},
      {"RealAffinity", kPlain}, {"Remainder", kPlain},   {"ReopenIdx", kPlain},
      {"ResultRow", kPlain},    {"Rowid", kPlain},       {"SCopy", kPlain},
      {"ShiftLeft", kPlain},    {"ShiftRight", kPlain},  {"SoftNull", kPlain},
      {"Subtract", kPlain},     {"Transaction", kPlain}, {"TypeCheck", kPlain},
      {"ZeroOrNull", kPlain},   {"Eq", kJumps},          {"FkIfZero", kJumps},
      {"Found", kJumps},        {"Ge", kJumps},          {"Goto", kJumps},
      {"Gt", kJumps},           {"IdxGE", kJumps},       {"IdxGT", kJumps},
      {"IdxLE", kJumps},        {"IdxLT", kJumps},       {"If", kJumps},
      {"IfNot", kJumps},        {"IsNull", kJumps},      {"Le", kJumps},
      {"Lt", kJumps},           {"MustBeInt", kJumps},   {"Ne", kJumps},
      {"NoConflict", kJumps},   {"NotExists", kJumps},   {"NotFound", kJumps},
      {"NotNull", kJumps},      {"Once", kJumps},        {"SeekGE", kJumps},
      {"SeekRowid", kJumps},    {"Blob", kSizes},        {"Cast", kSizes},
      {"Column", kSizes},       {"Concat", kSizes},      {"Function", kSizes},
      {"MakeRecord", kSizes},   {"PureFunc", kSizes},    {"String", kSizes},
      {"String8", kSizes},      {"Variable", kSizes},    {"Delete", kDelete},
      {"IdxDelete", kWrites},   {"IdxInsert", kWrites},  {"Insert", kWrites},
  };
  const auto found = kinds.find(opcode);
  return found == kinds.end() ? std::nullopt : std::optional(found->second);
}

// Of the part [from, to), which is run from its beginning.
bool RunsOnce(const std::vector<Instruction>& program, size_t from, size_t to) {
  bool writes = false;
  for (size_t i = from; i < to; ++i) {
    const Instruction& each = program[i];
    const std::optional<Kind> kind = KindOf(each.opcode);
    if (!kind.has_value() || static_cast<size_t>(each.address) != i) return false;
    const bool back = kind == Kind::kJumps && each.p2 != 0 && static_cast<size_t>(each.p2) <= i;
    if (back || (kind == Kind::kSizes && writes)) return false;
    if (kind == Kind::kDelete && (each.p2 & kChangesNothing) == 0) return false;
    if (kind == Kind::kWrites) writes = true;
  }
  return true;
}

absl::StatusOr<std::vector<Instruction>> ProgramOf(Connection& connection, absl::string_view sql) {
  TRY(const std::unique_ptr<Prepared> listing, connection.Compile(absl::StrCat("EXPLAIN ", sql)));
  return ReadInstructions(connection, *listing, nullptr);
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
  return RunsOnce(program, 1, tail) && RunsOnce(program, tail, program.size() - 1);
}

void Examine(Connection& connection, absl::string_view sql) {
  Prepared* const prepared = connection.FindIdle(sql);
  if (prepared == nullptr || !prepared->writes) return;
  const absl::StatusOr<int64_t> schema = connection.SchemaVersion();
  if (!schema.ok() || prepared->examined_for == *schema) return;
  const absl::StatusOr<std::vector<Instruction>> program = ProgramOf(connection, sql);
  prepared->brief = program.ok() && IsBrief(*program);
  prepared->examined_for = *schema;
}

bool MayBeBrief(Connection& connection, absl::string_view sql) {
  const Prepared* const prepared = connection.FindIdle(sql);
  if (prepared == nullptr || !prepared->writes) return prepared != nullptr;
  if (!prepared->brief) return false;
  const absl::StatusOr<int64_t> schema = connection.SchemaVersion();
  return schema.ok() && prepared->examined_for == *schema;
}

}  // namespace sluice::sqlite
