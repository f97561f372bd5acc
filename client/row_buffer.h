// Rows on their way to the server, already in wire form.
#ifndef SLUICE_CLIENT_ROW_BUFFER_H_
#define SLUICE_CLIENT_ROW_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

#include "client/values.h"
#include "sluice/v1/value.pb.h"

namespace sluice::client {

// A chunk of rows for BulkInserter. Values are encoded as they are added, without a message object
// for each: a million rows take a fraction of a second. Used on one thread.
//
//   RowBuffer rows;
//   rows.AddRow(1, "Teapot", 24.5);
class RowBuffer {
 public:
  // Adds a row of whatever ToValue takes.
  template <class... Values>
  void AddRow(const Values&... values) {
    (Add(values), ...);
    EndRow();
  }

  // Adds the values of a row one by one; EndRow closes it.
  void AddNull();
  void AddBool(bool value);
  void AddInt64(int64_t value);
  void AddDouble(double value);
  void AddText(absl::string_view utf8);
  void AddBytes(absl::string_view bytes);
  void AddValue(const v1::Value& value);
  void EndRow();

  // Takes over the rows of another buffer, which is empty afterwards.
  void Append(RowBuffer* rows);
  // Moves the first row behind those of another buffer. REQUIRES: there is one.
  void MoveFirstRow(RowBuffer* to);
  // Forgets all rows, and the values of the one that is being built.
  void Clear();

  size_t RowCount() const { return rows_; }

  // Of the rows in wire form.
  size_t ByteSize() const { return wire_.size() - begin_; }

  bool Empty() const { return rows_ == 0; }

  // The `rows` fields of a BulkInsertRequest; the buffer is empty afterwards.
  std::string Take();

 private:
  template <class T>
  void Add(const T& value) {
    AddValue(ToValue(value));
  }

  void Add(int value) { AddInt64(value); }

  void Add(int64_t value) { AddInt64(value); }

  void Add(double value) { AddDouble(value); }

  void Add(const char* text) { AddText(text); }

  void Add(const std::string& text) { AddText(text); }

  void AddLengthDelimited(char tag, absl::string_view data);

  std::string row_;   // the values of the row that is being built
  std::string wire_;  // the rows
  size_t begin_ = 0;  // of those that were not moved away
  size_t rows_ = 0;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_ROW_BUFFER_H_
