// Markdown: a table of GitHub's flavour.
#include "absl/strings/str_cat.h"

#include "client/cli/numbers.h"
#include "client/cli/printer.h"
#include "client/cli/utf8.h"
#include "client/cli/value_text.h"

namespace sluice::cli {
namespace {

// Appends the text so that it stays in its cell and is read as text.
void AppendCellText(absl::string_view text, std::string* out) {
  for (size_t pos = 0; pos < text.size();) {
    const Character character = DecodeAt(text, pos);
    const absl::string_view bytes = text.substr(pos, character.bytes);
    pos += character.bytes;
    if (!character.valid) {
      out->append("\xEF\xBF\xBD");
      continue;
    }
    switch (character.code) {
      case '|':
        out->append("\\|");
        break;
      case '\\':
        out->append("\\\\");
        break;
      case '<':
        out->append("&lt;");
        break;
      case '&':
        out->append("&amp;");
        break;
      case '\n':
        out->append("<br>");
        break;
      case '\r':
        break;
      default:
        absl::StrAppend(out, character.code < 0x20 ? " " : bytes);
    }
  }
}

class MarkdownPrinter final : public Printer {
 public:
  explicit MarkdownPrinter(Output* out) : out_(*out) {}

  void Begin(const Columns& columns) override {
    if (columns.empty()) return;
    std::string& out = out_.Buffer();
    for (const v1::Column& column : columns) {
      out.append("| ");
      AppendCellText(column.name(), &out);
      out.push_back(' ');
    }
    out.append("|\n");
    for (const v1::Column& column : columns) {
      out.append(IsNumber(column.type()) ? "| ---: " : "| --- ");
    }
    out.append("|\n");
  }

  void Row(const v1::Row& row) override {
    std::string& out = out_.Buffer();
    for (const v1::Value& value : row.values()) {
      out.append("| ");
      AppendValue(value, &out);
      out.push_back(' ');
    }
    out.append("|\n");
    out_.Spill();
  }

  void End() override {}

 private:
  void AppendValue(const v1::Value& value, std::string* out) {
    scratch_.clear();
    if (value.has_null_value()) {
      scratch_ = "NULL";
    } else if (value.has_bytes_value()) {
      scratch_ = "x'";
      AppendHex(value.bytes_value(), &scratch_);
      scratch_.push_back('\'');
    } else {
      AppendText(value, &scratch_);
    }
    AppendCellText(scratch_, out);
  }

  Output& out_;
  std::string scratch_;
};

}  // namespace

std::unique_ptr<Printer> MakeMarkdownPrinter(Output* out) {
  return std::make_unique<MarkdownPrinter>(out);
}

}  // namespace sluice::cli
