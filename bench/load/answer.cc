#include "bench/load/answer.h"

#include <iterator>
#include <optional>

#include <google/protobuf/io/coded_stream.h>

#include "bench/tpcb.h"

namespace sluice::bench {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::ZeroCopyInputStream;

// QueryResponse, StreamQueryResponse and StepResult number their rows alike.
constexpr uint32_t kRowsTag = 2 << 3 | 2;
constexpr uint32_t kLastTag = v1::StreamQueryResponse::kLastFieldNumber << 3 | 0;
constexpr uint32_t kResultsTag = v1::ExecuteBatchResponse::kResultsFieldNumber << 3 | 2;
constexpr uint32_t kValuesTag = v1::Row::kValuesFieldNumber << 3 | 2;
constexpr uint32_t kInt64ValueTag = v1::Value::kInt64ValueFieldNumber << 3 | 0;
static_assert(v1::QueryResponse::kRowsFieldNumber == 2);
static_assert(v1::StreamQueryResponse::kRowsFieldNumber == 2);
static_assert(v1::StepResult::kRowsFieldNumber == 2);

bool Skip(CodedInputStream& in, uint32_t tag) {
  uint64_t ignored;
  uint32_t size;
  switch (tag & 7) {
    case 0:
      return in.ReadVarint64(&ignored);
    case 1:
      return in.Skip(8);
    case 2:
      return in.ReadVarint32(&size) && in.Skip(static_cast<int>(size));
    case 5:
      return in.Skip(4);
    default:
      return false;
  }
}

// A number that lies at one place in a message, read without parsing the rest; none: it is not
// there, or there is more than one.
using Find = std::optional<uint64_t> (*)(CodedInputStream& in);

std::optional<uint64_t> InMessage(CodedInputStream& in, Find find) {
  uint32_t size;
  if (!in.ReadVarint32(&size)) return std::nullopt;
  const auto limit = in.PushLimit(static_cast<int>(size));
  const auto found = find(in);
  const bool whole = in.BytesUntilLimit() == 0;
  in.PopLimit(limit);
  return whole ? found : std::nullopt;
}

std::optional<uint64_t> InValue(CodedInputStream& in) {
  uint64_t number;
  if (in.ReadTag() != kInt64ValueTag || !in.ReadVarint64(&number)) return std::nullopt;
  return in.ReadTag() == 0 ? std::optional(number) : std::nullopt;
}

std::optional<uint64_t> InRow(CodedInputStream& in) {
  if (in.ReadTag() != kValuesTag) return std::nullopt;
  const auto found = InMessage(in, InValue);
  return in.Skip(in.BytesUntilLimit()) ? found : std::nullopt;
}

std::optional<uint64_t> InOnlyRow(CodedInputStream& in) {
  std::optional<uint64_t> found;
  while (const uint32_t tag = in.ReadTag()) {
    if (tag != kRowsTag) {
      if (!Skip(in, tag)) return std::nullopt;
    } else if (found || !(found = InMessage(in, InRow))) {
      return std::nullopt;
    }
  }
  return in.ConsumedEntireMessage() ? found : std::nullopt;
}

std::string Compare(std::optional<uint64_t> found, uint64_t key) {
  if (found == key) return "";
  return (found ? "row " + std::to_string(*found) : "not one row") + " for key " +
         std::to_string(key);
}

std::string TakePoint(ZeroCopyInputStream& response, uint64_t key, Reading reading) {
  if (reading == Reading::kFirstKey) {
    CodedInputStream in(&response);
    return Compare(InOnlyRow(in), key);
  }
  v1::QueryResponse message;
  if (!message.ParseFromZeroCopyStream(&response)) return "a response that is not a message";
  return CheckPoint(message, key);
}

std::string TakePoints(ZeroCopyInputStream& response, const std::vector<uint64_t>& keys) {
  CodedInputStream in(&response);
  size_t results = 0;
  while (const uint32_t tag = in.ReadTag()) {
    if (tag != kResultsTag) {
      if (!Skip(in, tag)) return "a response that is not a message";
      continue;
    }
    if (results == keys.size()) return "more results than keys";
    std::string error = Compare(InMessage(in, InOnlyRow), keys[results++]);
    if (!error.empty()) return error;
  }
  return results == keys.size() ? "" : "fewer results than keys";
}

}  // namespace

ResponseFacts Inspect(ZeroCopyInputStream& response, Method method) {
  ResponseFacts facts;
  const bool batch = method == Method::kBatch || method == Method::kTpcbBatch;
  const uint32_t counted = batch ? kResultsTag : kRowsTag;
  CodedInputStream in(&response);
  while (const uint32_t tag = in.ReadTag()) {
    if (tag == counted) ++facts.rows;
    if (tag == kLastTag) facts.last = true;
    if (!Skip(in, tag)) return facts;
  }
  facts.well_formed = in.ConsumedEntireMessage();
  return facts;
}

std::string CheckPoint(const v1::QueryResponse& response, uint64_t key) {
  if (response.rows_size() != 1 || response.rows(0).values_size() == 0) {
    return Compare(std::nullopt, key);
  }
  return Compare(static_cast<uint64_t>(response.rows(0).values(0).int64_value()), key);
}

std::string TakeAnswer(ZeroCopyInputStream& response,
                       Method method,
                       const std::vector<uint64_t>& keys,
                       Reading reading,
                       Totals& totals) {
  if (!keys.empty()) {
    totals.rows += keys.size();
    if (method == Method::kPoint) return TakePoint(response, keys.front(), reading);
    return TakePoints(response, keys);
  }
  const ResponseFacts facts = Inspect(response, method);
  totals.rows += facts.rows;
  if (!facts.well_formed) return "a response that is not a message";
  if (method == Method::kTpcbBatch && facts.rows != std::size(kTpcbStatements)) {
    return std::to_string(facts.rows) + " results for a transaction";
  }
  return "";
}

}  // namespace sluice::bench
