#include "client/cli/printer.h"

namespace sluice::cli {

std::unique_ptr<Printer> MakePrinter(Format format,
                                     const Style& style,
                                     const TablePaging& paging,
                                     Output* out) {
  switch (format) {
    case Format::kTable:
      break;
    case Format::kJson:
      return MakeJsonPrinter(out);
    case Format::kNdjson:
      return MakeNdjsonPrinter(out);
    case Format::kCsv:
      return MakeCsvPrinter(out);
    case Format::kMarkdown:
      return MakeMarkdownPrinter(out);
  }
  return MakeTablePrinter(style, paging, out);
}

bool IsNumber(v1::ValueType type) {
  switch (type) {
    case v1::VALUE_TYPE_INT64:
    case v1::VALUE_TYPE_DOUBLE:
    case v1::VALUE_TYPE_FLOAT:
    case v1::VALUE_TYPE_NUMERIC:
      return true;
    default:
      return false;
  }
}

bool IsNumber(const v1::Value& value) {
  switch (value.kind_case()) {
    case v1::Value::kInt64Value:
    case v1::Value::kDoubleValue:
    case v1::Value::kFloatValue:
    case v1::Value::kNumericValue:
      return true;
    default:
      return false;
  }
}

}  // namespace sluice::cli
