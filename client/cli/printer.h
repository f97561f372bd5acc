// The output forms: how a result is written.
#ifndef SLUICE_CLIENT_CLI_PRINTER_H_
#define SLUICE_CLIENT_CLI_PRINTER_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/repeated_ptr_field.h"

#include "client/cli/output.h"
#include "client/cli/terminal.h"
#include "sluice/v1/value.pb.h"

namespace sluice::cli {

enum class Format { kTable, kJson, kNdjson, kCsv, kMarkdown };

using Columns = google::protobuf::RepeatedPtrField<v1::Column>;

// Writes one result: Begin, then Row for each row, then End. Used on one thread. A result that was
// begun and not ended stays visibly incomplete where the form can show it (JSON's closing bracket).
class Printer {
 public:
  virtual ~Printer() = default;
  virtual void Begin(const Columns& columns) = 0;
  virtual void Row(const v1::Row& row) = 0;
  virtual void End() = 0;
};

// How many rows of a table are laid out, and so held in memory, at a time.
struct TablePaging {
  size_t rows = 0;  // 0: all
};

// A printer onto `out`, which outlives it.
std::unique_ptr<Printer> MakePrinter(Format format,
                                     const Style& style,
                                     const TablePaging& paging,
                                     Output* out);

// One of each form.
std::unique_ptr<Printer> MakeTablePrinter(const Style& style,
                                          const TablePaging& paging,
                                          Output* out);
std::unique_ptr<Printer> MakeJsonPrinter(Output* out);    // an array of objects
std::unique_ptr<Printer> MakeNdjsonPrinter(Output* out);  // an object a line
std::unique_ptr<Printer> MakeCsvPrinter(Output* out);
std::unique_ptr<Printer> MakeMarkdownPrinter(Output* out);

// Appends rows as an array of objects on one line.
void AppendJsonRows(const Columns& columns,
                    const google::protobuf::RepeatedPtrField<v1::Row>& rows,
                    std::string* out);

// True for kinds and column types that are written flush right.
bool IsNumber(v1::ValueType type);
bool IsNumber(const v1::Value& value);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_PRINTER_H_
