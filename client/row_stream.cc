#include "client/row_stream.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

#include "client/errors.h"

namespace sluice::client {
namespace {

// A value's size is the server's word; memory for it is taken as the parts arrive, beyond this.
constexpr uint64_t kMaxReserve = 64 << 20;

bool HasSplitValue(const v1::Row& row) {
  return std::any_of(row.values().begin(), row.values().end(),
                     [](const v1::Value& value) { return value.has_split_value(); });
}

google::protobuf::ArenaOptions MessageArena() {
  google::protobuf::ArenaOptions options;
  options.start_block_size = 64 << 10;
  options.max_block_size = 1 << 20;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RowStream>> RowStream::Open(std::unique_ptr<MessageSource> source) {
  std::unique_ptr<RowStream> stream(new RowStream(std::move(source)));
  absl::Status status = stream->ReadMessage();
  if (!status.ok()) return status;
  *stream->head_.mutable_columns() = stream->message_->columns();
  stream->head_.set_has_columns(stream->message_->has_columns());
  stream->opened_ = true;
  return stream;
}

RowStream::RowStream(std::unique_ptr<MessageSource> source)
    : source_(std::move(source)), arena_(MessageArena()) {}

RowStream::~RowStream() {
  if (done_) return;
  source_->Cancel();
  // gRPC wants a call read to its end before Finish; a cancelled one ends at once.
  v1::StreamQueryResponse rest;
  while (source_->Read(&rest)) {
  }
  source_->Finish().IgnoreError();
}

absl::StatusOr<const v1::Row*> RowStream::Next() {
  while (status_.ok()) {
    if (next_ < message_->rows_size()) {
      const v1::Row& row = message_->rows(next_++);
      if (row.values_size() != Columns().size()) {
        status_ = Broken(absl::StrCat("a row has ", row.values_size(), " values for ",
                                      Columns().size(), " columns"));
      } else if (!HasSplitValue(row)) {
        ++rows_;
        return &row;
      } else if (Drained()) {
        joined_ = row;
        status_ = JoinSplitValues();
        if (!status_.ok()) break;
        ++rows_;
        return &joined_;
      } else {
        status_ = Broken("a row came before the parts of the row ahead of it");
      }
    } else if (message_->last()) {
      if (!done_) status_ = Finish();
      if (status_.ok()) return nullptr;
    } else {
      status_ = ReadMessage();
    }
  }
  return status_;
}

absl::Status RowStream::ReadMessage() {
  arena_.Reset();
  message_ = google::protobuf::Arena::CreateMessage<v1::StreamQueryResponse>(&arena_);
  next_ = 0;
  if (source_->Read(message_)) return CheckMessage();
  done_ = true;
  message_->Clear();
  absl::Status status = source_->Finish();
  if (!status.ok()) return status;
  return Broken("it ended without its last message");
}

absl::Status RowStream::CheckMessage() const {
  if (opened_ && message_->columns_size() > 0) return Broken("columns came twice");
  if (message_->rows_size() > 0 && static_cast<uint64_t>(message_->row_offset()) != rows_) {
    return Broken(
        absl::StrCat("rows from ", message_->row_offset(), " came where row ", rows_, " was due"));
  }
  if (message_->last() && message_->rows_size() > 0) return Broken("its last message has rows");
  return absl::OkStatus();
}

absl::Status RowStream::JoinSplitValues() {
  for (int column = 0; column < joined_.values_size(); ++column) {
    v1::Value* const value = joined_.mutable_values(column);
    if (!value->has_split_value()) continue;
    const v1::SplitValue split = value->split_value();
    absl::Status status = JoinParts(column, split, value);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status RowStream::JoinParts(int column, const v1::SplitValue& split, v1::Value* value) {
  std::string data;
  data.reserve(std::min(split.size(), kMaxReserve));
  while (data.size() < split.size()) {
    absl::Status status = ReadMessage();
    if (!status.ok()) return status;
    const v1::ValuePart& part = message_->part();
    const bool fits = message_->has_part() && message_->rows_size() == 0 && !message_->last() &&
                      part.row() == rows_ && part.column() == static_cast<uint32_t>(column) &&
                      part.offset() == data.size() && !part.data().empty() &&
                      part.data().size() <= split.size() - data.size();
    if (!fits) {
      return Broken(absl::StrCat("the part at byte ", data.size(), " of column ", column,
                                 " in row ", rows_, " is missing"));
    }
    data.append(part.data());
  }
  switch (split.type()) {
    case v1::VALUE_TYPE_STRING:
      value->set_string_value(std::move(data));
      break;
    case v1::VALUE_TYPE_JSON:
      value->set_json_value(std::move(data));
      break;
    case v1::VALUE_TYPE_BYTES:
      value->set_bytes_value(std::move(data));
      break;
    case v1::VALUE_TYPE_RAW:
      // Only text that is not UTF-8 comes raw and split.
      value->mutable_raw_value()->set_format(v1::Raw::FORMAT_TEXT);
      value->mutable_raw_value()->set_data(std::move(data));
      break;
    default:
      return Broken(absl::StrCat("a split value has the type ", split.type()));
  }
  return absl::OkStatus();
}

absl::Status RowStream::Finish() {
  summary_ = *message_;
  v1::StreamQueryResponse further;
  const bool more = source_->Read(&further);
  if (more) return Broken("a message followed its last one");
  done_ = true;
  absl::Status status = source_->Finish();
  if (!status.ok()) return status;
  if (static_cast<uint64_t>(summary_.row_count()) != rows_) {
    return Broken(
        absl::StrCat("it has ", rows_, " rows, but its last message says ", summary_.row_count()));
  }
  return absl::OkStatus();
}

absl::Status RowStream::Broken(absl::string_view what) const {
  return LocalError(absl::StatusCode::kDataLoss, "STREAM_INCOMPLETE", Executed::kUnknown,
                    absl::StrCat("the streamed result is incomplete: ", what));
}

}  // namespace sluice::client
