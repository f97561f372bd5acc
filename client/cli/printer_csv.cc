// CSV as the sqlite3 shell writes it with -csv -header, byte for byte.
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "client/cli/numbers.h"
#include "client/cli/printer.h"
#include "client/cli/value_text.h"

namespace sluice::cli {
namespace {

// The shell quotes more than RFC 4180 asks: blanks, control characters, apostrophes and all beyond
// ASCII. The empty text is quoted so that it differs from NULL.
bool NeedsQuotes(absl::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7F || byte == '"' || byte == '\'' || byte == ',') return true;
  }
  return false;
}

void AppendField(absl::string_view text, std::string* out) {
  if (!NeedsQuotes(text)) return absl::StrAppend(out, text);
  out->push_back('"');
  for (size_t quote = text.find('"'); quote != absl::string_view::npos; quote = text.find('"')) {
    absl::StrAppend(out, text.substr(0, quote + 1), "\"");
    text.remove_prefix(quote + 1);
  }
  absl::StrAppend(out, text, "\"");
}

// The shell has no header for a result without rows, so the header waits for the first one. Where
// the shell cuts a text at a NUL, all of it is written here.
class CsvPrinter final : public Printer {
 public:
  explicit CsvPrinter(Output* out) : out_(*out) {}

  void Begin(const Columns& columns) override {
    for (const v1::Column& column : columns) {
      if (!header_.empty()) header_.push_back(',');
      AppendField(column.name(), &header_);
    }
    header_.push_back('\n');
  }

  void Row(const v1::Row& row) override {
    std::string& out = out_.Buffer();
    if (!header_.empty()) {
      out.append(header_);
      header_.clear();
    }
    for (int i = 0; i < row.values_size(); ++i) {
      if (i > 0) out.push_back(',');
      AppendCell(row.values(i), &out);
    }
    out.push_back('\n');
    out_.Spill();
  }

  void End() override {}

 private:
  void AppendCell(const v1::Value& value, std::string* out) {
    switch (value.kind_case()) {
      case v1::Value::kNullValue:
        return;
      case v1::Value::kInt64Value:
        return AppendInteger(value.int64_value(), out);
      case v1::Value::kDoubleValue:
        return AppendSqliteReal(value.double_value(), out);
      case v1::Value::kStringValue:
        return AppendField(value.string_value(), out);
      case v1::Value::kBytesValue:
        return AppendField(value.bytes_value(), out);
      default:
        scratch_.clear();
        AppendText(value, &scratch_);
        AppendField(scratch_, out);
    }
  }

  Output& out_;
  std::string header_;
  std::string scratch_;
};

}  // namespace

std::unique_ptr<Printer> MakeCsvPrinter(Output* out) {
  return std::make_unique<CsvPrinter>(out);
}

}  // namespace sluice::cli
