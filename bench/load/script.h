#ifndef SLUICE_BENCH_LOAD_SCRIPT_H_
#define SLUICE_BENCH_LOAD_SCRIPT_H_

#include <memory>
#include <string>

#include "bench/load/request.h"
#include "bench/random.h"
#include "sluice/v1/common.pb.h"
#include "sluice/v1/query.pb.h"

namespace sluice::bench {

// The statements that one worker runs in transactions, and what it expects of their answers. BEGIN
// rides with the first statement of a transaction and COMMIT with the last.
class Script {
 public:
  virtual ~Script() = default;

  // Draws the values of the next call, which is one statement or more.
  virtual void Begin(Random& random) = 0;

  // The statement to run now.
  virtual v1::QueryRequest& Statement() = 0;

  // Takes the answer to it and goes on to the next; what is wrong with the answer, or empty.
  virtual std::string Take(const v1::QueryResponse& response,
                           const v1::TransactionStatus& transaction) = 0;

  virtual bool AtEnd() const = 0;

  // After an error: the next call begins a new transaction.
  virtual void Forget() = 0;
};

// For the methods whose calls are made of statements in a transaction.
std::unique_ptr<Script> MakeScript(const RequestOptions& options);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_SCRIPT_H_
