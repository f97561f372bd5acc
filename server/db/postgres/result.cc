#include "server/db/postgres/result.h"

#include <cstring>

#include "absl/strings/numbers.h"

namespace sluice::postgres {
namespace {

constexpr int32_t kNullLength = -1;

// Takes the cell at `at`, of a row that was looked through when it came.
Cell Take(const char*& at) {
  uint32_t raw = 0;
  std::memcpy(&raw, at, sizeof raw);
  at += sizeof raw;
  const auto length = static_cast<int32_t>(__builtin_bswap32(raw));
  if (length == kNullLength) return {};
  const Cell cell{at, length};
  at += length;
  return cell;
}

}  // namespace

void Result::Cells(int row, absl::Span<Cell> out) const {
  const char* at = rows_[static_cast<size_t>(row)];
  for (Cell& cell : out) cell = Take(at);
}

Cell Result::cell(int row, int column) const {
  if (row >= rows() || column >= columns()) return {};
  const char* at = rows_[static_cast<size_t>(row)];
  for (int i = 0; i < column; ++i) Take(at);
  return Take(at);
}

absl::string_view Result::text(int row, int column) const {
  const Cell found = cell(row, column);
  return {found.data, static_cast<size_t>(found.length)};
}

const Column& Result::at(int column) const {
  static const auto* const none = new Column;
  return column < columns() ? columns_->columns[static_cast<size_t>(column)] : *none;
}

int64_t Result::affected() const {
  const size_t space = tag_.rfind(' ');
  int64_t count = 0;
  const bool counts =
      space != std::string::npos && absl::SimpleAtoi(tag_.substr(space + 1), &count);
  return counts ? count : 0;
}

const ServerError& Result::error() const {
  static const ServerError* const none = new ServerError;
  return error_ == nullptr ? *none : *error_;
}

bool Result::AppendRow(absl::string_view body) {
  if (!IsDataRow(body, all().size())) return false;
  rows_.push_back(body.data() + sizeof(int16_t));
  memory_ += body.size() + sizeof(const char*);
  return true;
}

}  // namespace sluice::postgres
