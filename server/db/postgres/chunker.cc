#include "server/db/postgres/chunker.h"

#include <algorithm>
#include <utility>

#include "server/base/status.h"
#include "server/db/wire.h"

namespace sluice::postgres {
namespace {

using db::AppendVarint;

// Bytes that a part has beside its data, at most.
constexpr int64_t kPartOverhead = 64;

void AppendTag(int field, int wire_type, std::string& out) {
  AppendVarint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type), out);
}

int64_t Size(const std::string& bytes) {
  return static_cast<int64_t>(bytes.size());
}

}  // namespace

Chunker::Chunker(const TypeBook& types,
                 std::shared_ptr<Trip> trip,
                 int index,
                 int64_t chunk_bytes,
                 int64_t first_row)
    : trip_(std::move(trip)), index_(index), chunk_bytes_(chunk_bytes), first_row_(first_row) {
  std::vector<RowDecoder::Column> columns;
  for (int i = 0; i < result().columns(); ++i) {
    columns.push_back({result().type(i), result().format(i)});
  }
  decoder_ = std::make_unique<RowDecoder>(types, columns);
  cells_.resize(columns.size());
}

absl::Status Chunker::Fill(db::Rows& chunk) {
  if (part_ < split_.size() && carried_.empty()) {
    // Parts come alone in their message.
    return chunk.wire.empty() ? NextPart(chunk) : absl::OkStatus();
  }
  if (!carried_.empty()) {
    if (chunk.count > 0) return absl::OkStatus();
    chunk.wire += std::exchange(carried_, std::string());
    ++chunk.count;
  }
  // A row that has parts ends its chunk, since they follow it at once.
  while (row_ < result().rows() && part_ == split_.size() && Size(chunk.wire) < chunk_bytes_) {
    result().Cells(row_, absl::MakeSpan(cells_));
    split_.clear();
    part_ = 0;
    offset_ = 0;
    const size_t before = chunk.wire.size();
    TRY_STATUS(decoder_->Append(cells_, chunk_bytes_, chunk.wire, split_));
    if (Size(chunk.wire) - static_cast<int64_t>(before) > 2 * chunk_bytes_) {
      // Many values, each just small enough to stay whole, would make one huge message: send the
      // larger ones in parts.
      chunk.wire.resize(before);
      split_.clear();
      const int64_t share = chunk_bytes_ / (static_cast<int64_t>(cells_.size()) + 1);
      TRY_STATUS(decoder_->Append(cells_, std::max<int64_t>(share, 256), chunk.wire, split_));
    }
    ++row_;
    if (chunk.count > 0 && Size(chunk.wire) > chunk_bytes_) {
      carried_ = chunk.wire.substr(before);
      chunk.wire.resize(before);
      return absl::OkStatus();
    }
    ++chunk.count;
  }
  return absl::OkStatus();
}

absl::Status Chunker::NextPart(db::Rows& chunk) {
  const int column = split_[part_];
  TRY(const absl::string_view value,
      decoder_->SplitBytes(column, result().cell(row_ - 1, column), unescaped_));
  const size_t most = static_cast<size_t>(std::max<int64_t>(chunk_bytes_ - kPartOverhead, 1));
  const absl::string_view piece = value.substr(static_cast<size_t>(offset_), most);

  std::string head;
  AppendTag(1, 0, head);
  AppendVarint(static_cast<uint64_t>(first_row_ + row_ - 1), head);
  AppendTag(2, 0, head);
  AppendVarint(static_cast<uint64_t>(column), head);
  AppendTag(3, 0, head);
  AppendVarint(offset_, head);
  AppendTag(4, 2, head);
  AppendVarint(piece.size(), head);

  AppendTag(db::kPartField, 2, chunk.wire);
  AppendVarint(head.size() + piece.size(), chunk.wire);
  chunk.wire += head;
  chunk.wire.append(piece.data(), piece.size());

  offset_ += piece.size();
  if (offset_ >= value.size()) {
    ++part_;
    offset_ = 0;
  }
  return absl::OkStatus();
}

}  // namespace sluice::postgres
