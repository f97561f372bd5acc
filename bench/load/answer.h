#ifndef SLUICE_BENCH_LOAD_ANSWER_H_
#define SLUICE_BENCH_LOAD_ANSWER_H_

#include <cstdint>
#include <string>
#include <vector>

#include <google/protobuf/io/zero_copy_stream.h>

#include "bench/load/meter.h"
#include "bench/load/request.h"
#include "sluice/v1/query.pb.h"

namespace sluice::bench {

// What a response says about itself without being parsed: its rows are walked, not decoded.
struct ResponseFacts {
  bool well_formed = false;
  uint64_t rows = 0;
  bool last = false;  // of a stream
};

// A batch's results count as rows.
ResponseFacts Inspect(google::protobuf::io::ZeroCopyInputStream& response, Method method);

// Empty if the response is the one row that has this key in its first column; else what it is.
std::string CheckPoint(const v1::QueryResponse& response, uint64_t key);

// How much of the answer to a point read is looked at.
enum class Reading {
  kWhole,     // all is parsed, as any caller would
  kFirstKey,  // the wire format is walked to the first column of the row
};

// Takes the answer to a unary call that reads rows with these keys: counts its rows, and says what
// is wrong with it, or nothing.
std::string TakeAnswer(google::protobuf::io::ZeroCopyInputStream& response,
                       Method method,
                       const std::vector<uint64_t>& keys,
                       Reading reading,
                       Totals& totals);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_ANSWER_H_
