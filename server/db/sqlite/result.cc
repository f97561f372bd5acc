#include "server/db/sqlite/result.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/wire.h"

namespace sluice::sqlite {
namespace {

using db::AppendVarint;

// Room for a short row beside the columns, so that a point read's reply is allocated once.
constexpr size_t kShortRow = 256;

void AppendTag(int field, int wire_type, std::string& out) {
  AppendVarint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type), out);
}

// Bytes that a part has beside its data, at most.
constexpr int64_t kPartOverhead = 64;

int64_t Size(const std::string& bytes) {
  return static_cast<int64_t>(bytes.size());
}

bool ChangesRows(absl::string_view verb) {
  return verb == "INSERT" || verb == "REPLACE" || verb == "UPDATE" || verb == "DELETE";
}

}  // namespace

absl::StatusOr<db::Rows> CollectRows(Connection& connection,
                                     Prepared& prepared,
                                     const RowLimits& limits,
                                     Watch* watch) {
  const absl::Cleanup reset = [&] { connection.Reset(prepared); };
  TRY(Connection::Step step, connection.Advance(prepared, watch));
  // After the first step: it may have compiled the statement anew, for other columns.
  db::Rows rows;
  rows.has_columns = prepared.has_columns;
  if (limits.columns) {
    rows.wire.reserve(prepared.columns.size() + kShortRow);
    rows.wire = prepared.columns;
  }
  const int64_t most_bytes = limits.max_bytes + (limits.shares ? 0 : Size(rows.wire));
  if (Size(rows.wire) > most_bytes) {
    rows.wire.clear();
    rows.truncated = true;
  }
  std::vector<int> split;
  while (step == Connection::Step::kRow) {
    if (!rows.truncated) {
      rows.truncated = rows.count == limits.max_rows;
    }
    if (!rows.truncated) {
      const int64_t before = Size(rows.wire);
      connection.AppendRow(prepared, limits.max_bytes, rows.wire, split);
      const bool too_large = !split.empty() || Size(rows.wire) - before > limits.max_bytes;
      if (too_large && !limits.shares) {
        return errors::ValueTooLarge("A row", limits.max_bytes, "StreamQuery");
      }
      rows.truncated = too_large || Size(rows.wire) > most_bytes;
      if (rows.truncated) rows.wire.resize(static_cast<size_t>(before));
      if (!rows.truncated) ++rows.count;
    }
    if (rows.truncated && !limits.run_to_end) break;
    TRY(step, connection.Advance(prepared, watch));
  }
  AddFacts(connection, prepared, rows);
  return rows;
}

void AddFacts(const Connection& connection, const Prepared& prepared, db::Rows& rows) {
  const absl::string_view verb = prepared.verb;
  if (!prepared.writes) {
    const bool gives_rows = verb == "SELECT" || verb == "VALUES";
    rows.command_tag = gives_rows ? absl::StrCat("SELECT ", rows.count) : std::string(verb);
    return;
  }
  if (!ChangesRows(verb)) {
    rows.command_tag = std::string(verb);
    return;
  }
  rows.rows_affected = connection.Changes();
  const bool inserts = verb == "INSERT" || verb == "REPLACE";
  if (inserts && rows.rows_affected > 0) rows.last_insert_rowid = connection.LastInsertRowid();
  rows.command_tag = absl::StrCat(verb, verb == "INSERT" ? " 0 " : " ", rows.rows_affected);
}

absl::Status CheckAffected(const db::Rows& facts, int64_t limit) {
  if (limit == 0 || facts.rows_affected <= limit) return absl::OkStatus();
  return errors::AffectedRowsExceeded(facts.rows_affected, limit);
}

int64_t BytesOf(const db::Statement& statement) {
  size_t bytes = statement.sql().size();
  const auto add = [&](const db::pb::Value& value) {
    bytes += sizeof value;
    if (value.has_string_value()) bytes += value.string_value().size();
    if (value.has_bytes_value()) bytes += value.bytes_value().size();
  };
  for (const db::pb::Value& value : statement.params()) add(value);
  for (const auto& [name, value] : statement.named_params()) add(value);
  return static_cast<int64_t>(bytes);
}

absl::Status WhyEnded(absl::Status failure,
                      const Watch& watch,
                      const Context& ctx,
                      absl::Duration limit,
                      bool closing,
                      errors::Executed executed) {
  if (!absl::IsCancelled(failure)) return failure;
  if (const int64_t journal = watch.relieved.load(std::memory_order_relaxed); journal > 0) {
    return errors::SnapshotInTheWay(journal);
  }
  if (watch.ended == Watch::Ended::kDeadline) {
    // The two clocks are not read in one instant, so a little before the deadline counts as at it.
    const bool at_deadline = limit == absl::InfiniteDuration() ||
                             ctx.deadline <= Clock::System().Unset() + absl::Milliseconds(5);
    return at_deadline ? errors::DeadlineExceeded(executed) : errors::SnapshotTooOld(limit);
  }
  if (closing && !ctx.stop.stop_requested()) {
    return executed == errors::Executed::kRolledBack ? errors::ServerDraining(executed)
                                                     : errors::PoolClosed();
  }
  return ctx.Stopped(executed);
}

absl::Duration SteadyDeadline(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return absl::InfiniteDuration();
  const Clock& clock = Clock::System();
  return clock.Steady() + (deadline - clock.Unset());
}

bool DeadlinePassed(const Context& ctx) {
  return ctx.deadline != absl::InfiniteFuture() && ctx.deadline <= Clock::System().Unset();
}

absl::StatusOr<std::optional<db::Rows>> ChunkMaker::Next(Watch* watch) {
  if (part_ < split_.size() && carried_.empty()) return NextPart();
  db::Rows chunk;
  const bool first = std::exchange(first_, false);
  if (!carried_.empty()) {
    chunk.wire = std::exchange(carried_, std::string());
    ++chunk.count;
  }
  // A row that has parts ends its chunk, since they follow it at once.
  while (!done_ && carried_.empty() && part_ == split_.size() && Size(chunk.wire) < chunk_bytes_) {
    TRY_STATUS(AppendNextRow(first, watch, chunk));
  }
  if (chunk.count == 0 && !first) return std::nullopt;
  return chunk;
}

absl::Status ChunkMaker::AppendNextRow(bool with_columns, Watch* watch, db::Rows& chunk) {
  TRY(const Connection::Step step, connection_.Advance(prepared_, watch));
  if (with_columns && rows_ == 0) {
    chunk.has_columns = prepared_.has_columns;
    chunk.wire = prepared_.columns;
  }
  if (step == Connection::Step::kDone) {
    done_ = true;
    return absl::OkStatus();
  }
  ++rows_;
  split_.clear();
  part_ = 0;
  offset_ = 0;
  const size_t before = chunk.wire.size();
  connection_.AppendRow(prepared_, chunk_bytes_, chunk.wire, split_);
  if (Size(chunk.wire) - static_cast<int64_t>(before) > 2 * chunk_bytes_) {
    // Many values, each just small enough to stay whole, would make one huge message: send the
    // larger ones in parts.
    chunk.wire.resize(before);
    split_.clear();
    const int64_t share = chunk_bytes_ / (prepared_.column_count + 1);
    connection_.AppendRow(prepared_, std::max<int64_t>(share, 256), chunk.wire, split_);
  }
  if (chunk.count > 0 && Size(chunk.wire) > chunk_bytes_) {
    carried_ = chunk.wire.substr(before);
    chunk.wire.resize(before);
  } else {
    ++chunk.count;
  }
  return absl::OkStatus();
}

db::Rows ChunkMaker::NextPart() {
  const int column = split_[part_];
  const absl::string_view value = connection_.SplitBytes(prepared_, column);
  const size_t most = static_cast<size_t>(std::max<int64_t>(chunk_bytes_ - kPartOverhead, 1));
  const absl::string_view piece = value.substr(static_cast<size_t>(offset_), most);

  std::string head;
  AppendTag(1, 0, head);
  AppendVarint(static_cast<uint64_t>(rows_ - 1), head);
  AppendTag(2, 0, head);
  AppendVarint(static_cast<uint64_t>(column), head);
  AppendTag(3, 0, head);
  AppendVarint(offset_, head);
  AppendTag(4, 2, head);
  AppendVarint(piece.size(), head);

  db::Rows part;
  part.wire.reserve(piece.size() + static_cast<size_t>(kPartOverhead));
  AppendTag(db::kPartField, 2, part.wire);
  AppendVarint(head.size() + piece.size(), part.wire);
  part.wire += head;
  part.wire.append(piece.data(), piece.size());

  offset_ += piece.size();
  if (offset_ >= value.size()) {
    ++part_;
    offset_ = 0;
  }
  return part;
}

db::Rows EndOf(const Connection& connection, const Prepared& prepared, const ChunkMaker& maker) {
  db::Rows end;
  end.count = maker.rows();
  AddFacts(connection, prepared, end);
  end.count = 0;
  end.end = true;
  return end;
}

}  // namespace sluice::sqlite
