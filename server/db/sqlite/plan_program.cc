#include "server/db/sqlite/plan_program.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

#include "server/base/status.h"

namespace sluice::sqlite {
namespace {

// Begin to read rows by the cursor in P1.
constexpr absl::string_view kReading[] = {"Rewind", "Last",   "SeekRowid", "NotExists",
                                          "SeekGE", "SeekGT", "SeekLE",    "SeekLT"};

// Stand between a step's beginning and its reading, and read no row themselves.
constexpr absl::string_view kPreparing[] = {
    "Affinity", "Blob",   "Column",    "Copy",    "Filter",  "Int64",
    "Integer",  "IsNull", "MustBeInt", "Null",    "Once",    "OpenAutoindex",
    "Real",     "Rowid",  "SCopy",     "String8", "Variable"};

template <size_t n>
bool IsOneOf(absl::string_view opcode, const absl::string_view (&list)[n]) {
  return std::find(std::begin(list), std::end(list), opcode) != std::end(list);
}

bool Opens(absl::string_view opcode) {
  return absl::StartsWith(opcode, "Open") || opcode == "ReopenIdx" || opcode == "SorterOpen" ||
         opcode == "VOpen";
}

// In the main database, by the number of its page.
bool OpensPage(absl::string_view opcode, int database) {
  return database == 0 && (opcode == "OpenRead" || opcode == "OpenWrite" || opcode == "ReopenIdx");
}

}  // namespace

absl::StatusOr<std::vector<Instruction>> ReadInstructions(Connection& connection,
                                                          Prepared& listing,
                                                          Watch* watch,
                                                          size_t most) {
  std::vector<Instruction> instructions;
  while (instructions.size() < most) {
    TRY(const Connection::Step step, connection.Advance(listing, watch));
    if (step == Connection::Step::kDone) return instructions;
    instructions.push_back(InstructionOf(listing.stmt));
  }
  connection.Reset(listing);
  return instructions;
}

void PlanProgram::Add(Instruction instruction) {
  ended_ = ended_ || static_cast<size_t>(instruction.address) != main_.size();
  if (ended_) return;
  shifted_ = shifted_ || instruction.opcode == "Explain";
  main_.push_back(std::move(instruction));
}

// A step's id is its place in the same program with one instruction more for each step.
void PlanProgram::NameTables(const TablesByPage& pages, std::vector<PlanStep>& steps) const {
  if (shifted_) return;
  std::vector<PlanStep*> ordered;
  ordered.reserve(steps.size());
  for (PlanStep& step : steps) ordered.push_back(&step);
  std::sort(ordered.begin(), ordered.end(),
            [](const PlanStep* a, const PlanStep* b) { return a->id < b->id; });
  size_t to = main_.size();
  for (size_t i = ordered.size(); i-- > 0;) {
    if (ordered[i]->id < static_cast<int>(i)) return;
    const size_t from = static_cast<size_t>(ordered[i]->id) - i;
    ordered[i]->table = TableAt(pages, from, to);
    to = std::min(from, main_.size());
  }
}

std::optional<std::string> PlanProgram::TableAt(const TablesByPage& pages,
                                                size_t from,
                                                size_t to) const {
  while (from < to && IsOneOf(main_[from].opcode, kPreparing)) ++from;
  if (from >= to || !IsOneOf(main_[from].opcode, kReading)) return std::nullopt;
  const size_t opening = OpeningOf(main_[from].p1, from);
  if (opening == from) return std::nullopt;
  const Instruction& opened = main_[opening];
  // The table is read into such an index right behind.
  if (opened.opcode == "OpenAutoindex") return TableAt(pages, opening + 1, from);
  if (!OpensPage(opened.opcode, opened.p3)) return "";
  const auto found = pages.find(opened.p2);
  return found == pages.end() ? "" : found->second;
}

size_t PlanProgram::OpeningOf(int cursor, size_t used) const {
  for (size_t i = used; i-- > 0;) {
    if (main_[i].p1 == cursor && Opens(main_[i].opcode)) return i;
  }
  return used;
}

}  // namespace sluice::sqlite
