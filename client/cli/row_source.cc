#include "client/cli/row_source.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "client/cli/csv.h"
#include "client/cli/json_rows.h"

namespace sluice::cli {
namespace {

absl::Status Wrong(int64_t line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", what));
}

// The names must be there, and differ.
absl::Status CheckNames(const std::vector<std::string>& names, int64_t line) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (name.empty()) return Wrong(line, "the header has a column without a name");
    if (!seen.insert(absl::AsciiStrToLower(name)).second) {
      return Wrong(line, absl::StrCat("the header names the column ", name, " twice"));
    }
  }
  return absl::OkStatus();
}

class CsvSource final : public RowSource {
 public:
  CsvSource(Input* input, char delimiter, bool header, size_t max_record_bytes)
      : reader_(input, delimiter, max_record_bytes), header_(header) {}

  absl::StatusOr<std::vector<std::string>> Columns() override {
    std::vector<std::string> names;
    if (!header_) return names;
    const auto read = reader_.Next();
    if (!read.ok()) return read.status();
    if (!*read) return Wrong(1, "the file is empty: it lacks even a header");
    for (const CsvField& field : reader_.Fields()) names.emplace_back(field.text);
    absl::Status status = CheckNames(names, reader_.Line());
    if (!status.ok()) return status;
    width_ = names.size();
    return names;
  }

  absl::StatusOr<bool> Next() override {
    for (;;) {
      const auto read = reader_.Next();
      if (!read.ok() || !*read) return read;
      if (!reader_.IsBlank() || width_ == 1) break;
    }
    const auto& fields = reader_.Fields();
    if (width_ == 0) width_ = fields.size();
    if (fields.size() != width_) {
      return Wrong(reader_.Line(),
                   absl::StrCat("it has ", fields.size(), " fields, but ",
                                header_ ? "the header" : "the first line", " has ", width_));
    }
    cells_.resize(width_);
    for (size_t i = 0; i < width_; ++i) {
      cells_[i].text = fields[i].text;
      cells_[i].quoted = fields[i].quoted;
    }
    return true;
  }

  const std::vector<Cell>& Cells() const override { return cells_; }

  int64_t Line() const override { return reader_.Line(); }

 private:
  CsvReader reader_;
  const bool header_;
  size_t width_ = 0;  // fields of a record; 0: not known yet
  std::vector<Cell> cells_;
};

class NdjsonSource final : public RowSource {
 public:
  NdjsonSource(Input* input, std::vector<std::string> columns, size_t max_record_bytes)
      : reader_(input, max_record_bytes), columns_(std::move(columns)) {}

  absl::StatusOr<std::vector<std::string>> Columns() override {
    const auto read = reader_.Next();
    if (!read.ok()) return read.status();
    if (!*read) return Wrong(1, "the file has no rows");
    pending_ = true;
    if (columns_.empty()) columns_ = reader_.Names();
    return columns_;
  }

  absl::StatusOr<bool> Next() override {
    if (!std::exchange(pending_, false)) {
      const auto read = reader_.Next();
      if (!read.ok() || !*read) return read;
    }
    auto& values = reader_.Values();
    if (reader_.Names().empty()) return TakeArray(&values);
    return TakeObject(&values);
  }

  const std::vector<Cell>& Cells() const override { return cells_; }

  int64_t Line() const override { return reader_.Line(); }

 private:
  absl::StatusOr<bool> TakeArray(std::vector<v1::Value>* values) {
    const size_t width =
        columns_.empty() ? (cells_.empty() ? values->size() : cells_.size()) : columns_.size();
    if (values->size() != width) {
      return Wrong(Line(), absl::StrCat("it has ", values->size(), " values, not ", width));
    }
    cells_.resize(width);
    for (size_t i = 0; i < width; ++i) {
      cells_[i].kind = Cell::Kind::kValue;
      cells_[i].value = std::move((*values)[i]);
    }
    return true;
  }

  absl::StatusOr<bool> TakeObject(std::vector<v1::Value>* values) {
    cells_.resize(columns_.size());
    for (Cell& cell : cells_) cell.kind = Cell::Kind::kAbsent;
    for (size_t i = 0; i < values->size(); ++i) {
      const auto column = std::find(columns_.begin(), columns_.end(), reader_.Names()[i]);
      if (column == columns_.end()) {
        return Wrong(Line(),
                     absl::StrCat("the key ", reader_.Names()[i],
                                  " is none of the columns of the first row, or of --columns"));
      }
      Cell& cell = cells_[static_cast<size_t>(column - columns_.begin())];
      cell.kind = Cell::Kind::kValue;
      cell.value = std::move((*values)[i]);
    }
    return true;
  }

  JsonRowReader reader_;
  std::vector<std::string> columns_;
  bool pending_ = false;  // a row was read to know the columns
  std::vector<Cell> cells_;
};

}  // namespace

std::unique_ptr<RowSource> MakeCsvSource(Input* input,
                                         char delimiter,
                                         bool header,
                                         size_t max_record_bytes) {
  return std::make_unique<CsvSource>(input, delimiter, header, max_record_bytes);
}

std::unique_ptr<RowSource> MakeNdjsonSource(Input* input,
                                            std::vector<std::string> columns,
                                            size_t max_record_bytes) {
  return std::make_unique<NdjsonSource>(input, std::move(columns), max_record_bytes);
}

}  // namespace sluice::cli
