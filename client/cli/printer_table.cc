// Tables for people: aligned, with box drawing on a terminal.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/cli/printer.h"
#include "client/cli/utf8.h"
#include "client/cli/value_text.h"

namespace sluice::cli {
namespace {

// A page is laid out when its text has this much, whatever its rows.
constexpr size_t kMaxPageBytes = 16 << 20;
// Bytes of a blob that are shown.
constexpr size_t kShownBlobBytes = 64;

struct Cell {
  std::string text;
  size_t width = 0;
  bool right = false;  // flush right
  bool null = false;
};

// What separates cells and lines.
struct Lines {
  absl::string_view left, between, right;  // of a row
  absl::string_view dash;
  absl::string_view rule_left, rule_between, rule_right;  // under the header
  absl::string_view top_left, top_between, top_right;     // empty left: no such line
  absl::string_view bottom_left, bottom_between, bottom_right;
};

constexpr Lines kBox = {"│ ", " │ ", " │", "─",  "├─",  "─┼─", "─┤",
                        "┌─", "─┬─", "─┐", "└─", "─┴─", "─┘"};
constexpr Lines kPlain = {" ", " | ", "", "-", "-", "-+-", "-", "", "", "", "", "", ""};

Cell CellOf(const v1::Value& value) {
  Cell cell;
  cell.right = IsNumber(value);
  std::string text;
  if (value.has_null_value()) {
    cell.null = true;
    text = "NULL";
  } else if (value.has_bytes_value()) {
    const absl::string_view bytes = value.bytes_value();
    text = "x'";
    AppendHex(bytes.substr(0, kShownBlobBytes), &text);
    text.push_back('\'');
    if (bytes.size() > kShownBlobBytes) absl::StrAppend(&text, "… ", bytes.size(), " bytes");
  } else {
    AppendText(value, &text);
  }
  cell.width = AppendPrintable(text, &cell.text);
  return cell;
}

class TablePrinter final : public Printer {
 public:
  TablePrinter(const Style& style, const TablePaging& paging, Output* out)
      : style_(style), paging_(paging), lines_(style.terminal ? kBox : kPlain), out_(*out) {}

  void Begin(const Columns& columns) override {
    for (const v1::Column& column : columns) {
      Cell cell;
      cell.width = AppendPrintable(column.name(), &cell.text);
      cell.right = IsNumber(column.type());
      header_.push_back(std::move(cell));
    }
  }

  void Row(const v1::Row& row) override {
    for (const v1::Value& value : row.values()) {
      page_.push_back(CellOf(value));
      page_bytes_ += page_.back().text.size();
    }
    ++page_rows_;
    const bool full =
        paging_.rows != 0 && (page_rows_ >= paging_.rows || page_bytes_ >= kMaxPageBytes);
    if (full) PrintPage();
  }

  void End() override {
    if (!header_.empty() && (page_rows_ > 0 || !printed_)) PrintPage();
  }

 private:
  void PrintPage() {
    std::vector<size_t> widths;
    for (const Cell& cell : header_) widths.push_back(cell.width);
    for (size_t i = 0; i < page_.size(); ++i) {
      size_t& width = widths[i % header_.size()];
      width = std::max(width, page_[i].width);
    }
    std::string& out = out_.Buffer();
    if (printed_) out.push_back('\n');
    printed_ = true;
    AppendRule(widths, lines_.top_left, lines_.top_between, lines_.top_right, &out);
    AppendRow(header_.data(), widths, &out);
    AppendRule(widths, lines_.rule_left, lines_.rule_between, lines_.rule_right, &out);
    for (size_t i = 0; i < page_.size(); i += header_.size()) {
      AppendRow(&page_[i], widths, &out);
      out_.Spill();
    }
    AppendRule(widths, lines_.bottom_left, lines_.bottom_between, lines_.bottom_right, &out);
    page_.clear();
    page_rows_ = 0;
    page_bytes_ = 0;
  }

  void AppendRule(const std::vector<size_t>& widths,
                  absl::string_view left,
                  absl::string_view between,
                  absl::string_view right,
                  std::string* out) const {
    if (left.empty()) return;
    absl::StrAppend(out, left);
    for (size_t i = 0; i < widths.size(); ++i) {
      if (i > 0) absl::StrAppend(out, between);
      for (size_t dash = 0; dash < widths[i]; ++dash) absl::StrAppend(out, lines_.dash);
    }
    absl::StrAppend(out, right, "\n");
  }

  void AppendRow(const Cell* cells, const std::vector<size_t>& widths, std::string* out) const {
    const size_t start = out->size();
    absl::StrAppend(out, lines_.left);
    for (size_t i = 0; i < widths.size(); ++i) {
      if (i > 0) absl::StrAppend(out, lines_.between);
      const Cell& cell = cells[i];
      const size_t padding = widths[i] - cell.width;
      if (cell.right) out->append(padding, ' ');
      if (cells == header_.data()) {
        out->append(Painted(style_, Paint::kBold, cell.text));
      } else {
        out->append(cell.null ? Painted(style_, Paint::kDim, cell.text) : cell.text);
      }
      if (!cell.right) out->append(padding, ' ');
    }
    absl::StrAppend(out, lines_.right);
    while (out->size() > start && out->back() == ' ') out->pop_back();
    out->push_back('\n');
  }

  const Style style_;
  const TablePaging paging_;
  const Lines& lines_;
  Output& out_;
  std::vector<Cell> header_;
  std::vector<Cell> page_;  // row after row
  size_t page_rows_ = 0;
  size_t page_bytes_ = 0;
  bool printed_ = false;
};

}  // namespace

std::unique_ptr<Printer> MakeTablePrinter(const Style& style,
                                          const TablePaging& paging,
                                          Output* out) {
  return std::make_unique<TablePrinter>(style, paging, out);
}

}  // namespace sluice::cli
