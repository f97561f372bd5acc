#include "server/db/postgres/answers.h"

#include <optional>
#include <string>
#include <vector>

namespace sluice::postgres {

Answers::Taken Answers::Take(const ServerMessage& message,
                             const std::shared_ptr<const Input::Buffer>& buffer,
                             Results& results) {
  if (message.type == MessageType::kReady) {
    return TakeReady(message.body, results) ? Taken::kReady : Taken::kStrange;
  }
  if (failed_) return Taken::kStrange;
  // Rows are counted with their buffers.
  const bool row = message.type == MessageType::kDataRow;
  kept_ += static_cast<int64_t>(row ? sizeof(const char*) : message.body.size() + sizeof(Result));
  bool expected = false;
  if (message.type == MessageType::kError) {
    expected = TakeError(message.body, results);
  } else if (simple_) {
    if (message.type == MessageType::kCopyIn) return Taken::kCopyIn;
    expected = TakeEnd(message, results);
  } else if (results.size() < expected_.size()) {
    expected = TakeStep(expected_[results.size()], message, buffer, results);
  }
  if (!expected) return Taken::kStrange;
  return kept_ > kMost ? Taken::kTooMuch : Taken::kMore;
}

bool Answers::TakeStep(Expected& expected,
                       const ServerMessage& message,
                       const std::shared_ptr<const Input::Buffer>& buffer,
                       Results& results) {
  using Type = MessageType;
  if (std::exchange(expected.parse, false)) {
    if (message.type != Type::kParseComplete) return false;
    if (!expected.bind) End(Result::Kind::kDone, results);
    return true;
  }
  if (std::exchange(expected.bind, false)) {
    next_.columns_ = std::move(expected.shape);
    return message.type == Type::kBindComplete;
  }
  if (std::exchange(expected.parameters, false)) {
    return message.type == Type::kParameterDescription && TakeParameters(message.body);
  }
  if (std::exchange(expected.columns, false)) {
    if (!TakeColumns(message)) return false;
    if (!expected.execution) End(Result::Kind::kDone, results);
    return true;
  }
  return message.type == Type::kDataRow ? TakeRow(message.body, buffer) : TakeEnd(message, results);
}

bool Answers::TakeParameters(absl::string_view body) {
  std::optional<std::vector<Oid>> parameters = ReadParameterDescription(body);
  if (!parameters.has_value()) return false;
  next_.parameters_ = *std::move(parameters);
  return true;
}

bool Answers::TakeColumns(const ServerMessage& message) {
  if (message.type == MessageType::kNoData) {
    static const auto* const none =
        new std::shared_ptr<const Columns>(std::make_shared<const Columns>());
    next_.columns_ = *none;
    return message.body.empty();
  }
  if (message.type != MessageType::kRowDescription) return false;
  std::optional<Columns> columns = ReadRowDescription(message.body);
  if (!columns.has_value()) return false;
  next_.columns_ = std::make_shared<const Columns>(*std::move(columns));
  return true;
}

bool Answers::TakeRow(absl::string_view body, const std::shared_ptr<const Input::Buffer>& buffer) {
  if (next_.columns_ == nullptr || !next_.columns_->rows || !next_.AppendRow(body)) return false;
  if (next_.buffers_.empty() || next_.buffers_.back() != buffer) next_.buffers_.push_back(buffer);
  if (std::exchange(last_, buffer.get()) != buffer.get()) {
    kept_ += static_cast<int64_t>(buffer->size);
  }
  return true;
}

bool Answers::TakeEnd(const ServerMessage& message, Results& results) {
  if (message.type == MessageType::kEmptyQuery) {
    End(Result::Kind::kEmpty, results);
    return message.body.empty();
  }
  if (message.type != MessageType::kCommandComplete) return false;
  MessageReader reader(message.body);
  next_.tag_ = std::string(reader.Text());
  const bool rows = next_.columns_ != nullptr && next_.columns_->rows;
  End(rows ? Result::Kind::kRows : Result::Kind::kDone, results);
  return reader.AtEnd();
}

bool Answers::TakeError(absl::string_view body, Results& results) {
  std::optional<ServerError> error = ReadError(body);
  if (!error.has_value()) return false;
  failed_ = true;
  next_ = Result();
  next_.error_ = std::make_unique<ServerError>(*std::move(error));
  End(Result::Kind::kError, results);
  return true;
}

bool Answers::TakeReady(absl::string_view body, Results& results) {
  if (body == "I") {
    block_ = Block::kNone;
  } else if (body == "T") {
    block_ = Block::kOpen;
  } else if (body == "E") {
    block_ = Block::kFailed;
  } else {
    return false;
  }
  const size_t least = simple_ ? 1 : expected_.size();
  if (!failed_ && results.size() < least) return false;
  while (results.size() < expected_.size()) End(Result::Kind::kSkipped, results);
  return true;
}

void Answers::End(Result::Kind kind, Results& results) {
  next_.kind_ = kind;
  results.push_back(std::exchange(next_, Result()));
}

}  // namespace sluice::postgres
