// JSON: an array of objects, or an object a line.
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/cli/json_text.h"
#include "client/cli/printer.h"

namespace sluice::cli {
namespace {

// `"name":` for each column. Names that repeat get a number, so that no value hides another.
std::vector<std::string> Keys(const Columns& columns) {
  std::set<std::string> taken;
  for (const v1::Column& column : columns) taken.insert(column.name());
  std::set<std::string> used;
  std::vector<std::string> keys;
  for (const v1::Column& column : columns) {
    std::string name = column.name();
    for (int i = 2; !used.insert(name).second; ++i) {
      name = absl::StrCat(column.name(), "_", i);
      if (taken.contains(name)) name = column.name();
    }
    std::string key;
    AppendJsonString(name, &key);
    key.push_back(':');
    keys.push_back(std::move(key));
  }
  return keys;
}

void AppendObject(const std::vector<std::string>& keys, const v1::Row& row, std::string* out) {
  out->push_back('{');
  for (int i = 0; i < row.values_size(); ++i) {
    if (i > 0) out->push_back(',');
    out->append(keys[static_cast<size_t>(i)]);
    AppendJson(row.values(i), out);
  }
  out->push_back('}');
}

class JsonPrinter final : public Printer {
 public:
  enum class Shape { kArray, kLines };

  JsonPrinter(Shape shape, Output* out) : array_(shape == Shape::kArray), out_(*out) {}

  void Begin(const Columns& columns) override {
    keys_ = Keys(columns);
    if (array_) out_.Buffer().push_back('[');
  }

  void Row(const v1::Row& row) override {
    std::string& out = out_.Buffer();
    if (array_) out.append(first_ ? "\n" : ",\n");
    first_ = false;
    AppendObject(keys_, row, &out);
    if (!array_) out.push_back('\n');
    out_.Spill();
  }

  void End() override {
    if (array_) out_.Buffer().append(first_ ? "]\n" : "\n]\n");
  }

 private:
  const bool array_;
  Output& out_;
  std::vector<std::string> keys_;
  bool first_ = true;
};

}  // namespace

void AppendJsonRows(const Columns& columns,
                    const google::protobuf::RepeatedPtrField<v1::Row>& rows,
                    std::string* out) {
  const std::vector<std::string> keys = Keys(columns);
  out->push_back('[');
  for (int i = 0; i < rows.size(); ++i) {
    if (i > 0) out->push_back(',');
    AppendObject(keys, rows[i], out);
  }
  out->push_back(']');
}

std::unique_ptr<Printer> MakeJsonPrinter(Output* out) {
  return std::make_unique<JsonPrinter>(JsonPrinter::Shape::kArray, out);
}

std::unique_ptr<Printer> MakeNdjsonPrinter(Output* out) {
  return std::make_unique<JsonPrinter>(JsonPrinter::Shape::kLines, out);
}

}  // namespace sluice::cli
