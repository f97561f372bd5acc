// Reads any bytes as what a PostgreSQL server sends, in pieces of any size, and as the answers to
// some messages: whatever it is, no byte beyond it is touched, and the same comes out however it is
// cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

#include "server/db/postgres/answers.h"
#include "server/db/postgres/input.h"
#include "server/db/postgres/protocol.h"
#include "tests/fuzz/check.h"

namespace sluice::postgres {
namespace {

constexpr size_t kLimit = 1 << 20;

struct Read {
  std::vector<std::string> messages;
  bool broken = false;
  bool too_long = false;
};

void ReadBody(const ServerMessage& message) {
  switch (message.type) {
    case MessageType::kRowDescription: {
      const std::optional<Columns> columns = ReadRowDescription(message.body);
      FUZZ_CHECK(!columns.has_value() || columns->rows);
      break;
    }
    case MessageType::kParameterDescription:
      ReadParameterDescription(message.body);
      break;
    case MessageType::kError:
    case MessageType::kNotice:
      ReadError(message.body);
      break;
    case MessageType::kDataRow:
      for (const size_t columns : {0, 1, 2, 3}) {
        if (!IsDataRow(message.body, columns)) continue;
        MessageReader reader(message.body);
        FUZZ_CHECK(static_cast<size_t>(reader.Int16()) == columns);
      }
      break;
    default:
      break;
  }
}

// What a batch asks: two prepared statements, one of them described before.
Answers MakeAnswers() {
  Answers answers;
  Answers::Expected expected;
  expected.parse = true;
  answers.Expect(expected);
  expected.parse = false;
  expected.parameters = expected.columns = true;
  answers.Expect(expected);
  expected.parameters = false;
  expected.bind = expected.execution = true;
  answers.Expect(expected);
  answers.Expect(std::move(expected));
  return answers;
}

void AppendResults(const Results& results, std::vector<std::string>& out) {
  for (const Result& result : results) {
    out.emplace_back(result.tag());
    std::vector<Cell> cells(static_cast<size_t>(result.columns()));
    for (int row = 0; row < result.rows(); ++row) {
      result.Cells(row, absl::MakeSpan(cells));
      for (int column = 0; column < result.columns(); ++column) {
        const absl::string_view text = result.text(row, column);
        FUZZ_CHECK(text.data() == cells[static_cast<size_t>(column)].data);
        out.emplace_back(text);
      }
    }
  }
}

Read ReadAll(absl::string_view bytes, size_t most) {
  Input input(kLimit);
  Answers answers = MakeAnswers();
  Results results;
  Answers::Taken taken = Answers::Taken::kMore;
  Read read;
  while (!bytes.empty() && !input.broken() && !input.too_long()) {
    const absl::Span<char> room = input.Room();
    const size_t count = std::min({room.size(), bytes.size(), most});
    FUZZ_CHECK(count > 0);
    std::memcpy(room.data(), bytes.data(), count);
    bytes.remove_prefix(count);
    input.Add(count);
    while (const std::optional<ServerMessage> message = input.Next()) {
      read.messages.push_back(static_cast<char>(message->type) + std::string(message->body));
      ReadBody(*message);
      if (taken != Answers::Taken::kMore) continue;
      taken = answers.Take(*message, input.buffer(), results);
      FUZZ_CHECK(taken != Answers::Taken::kCopyIn);
    }
  }
  FUZZ_CHECK(taken != Answers::Taken::kReady || results.size() >= 4);
  AppendResults(results, read.messages);
  read.broken = input.broken();
  read.too_long = input.too_long();
  return read;
}

}  // namespace
}  // namespace sluice::postgres

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sluice::postgres::ReadAll;
  if (size < 2) return 0;
  const size_t most = 1 + data[0];
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = ReadAll(bytes, bytes.size());
  const auto cut = ReadAll(bytes, most);
  FUZZ_CHECK(whole.messages == cut.messages);
  FUZZ_CHECK(whole.broken == cut.broken && whole.too_long == cut.too_long);
  return 0;
}
