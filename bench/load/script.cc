#include "bench/load/script.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

#include "bench/load/answer.h"
#include "bench/tpcb.h"

namespace sluice::bench {
namespace {

std::string InState(const v1::TransactionStatus& transaction, v1::TransactionState state) {
  if (transaction.state() == state) return "";
  return "a transaction in state " + v1::TransactionState_Name(transaction.state());
}

// pgbench's transaction: a call is all of its statements.
class TpcbScript final : public Script {
 public:
  explicit TpcbScript(const RequestOptions& options)
      : size_(options.tpcb), in_stream_(InStream(options.method)) {
    for (const TpcbStatement& each : kTpcbStatements) {
      requests_.emplace_back().set_sql(each.sql);
    }
    requests_.front().set_connection_id(options.connection_id);
    requests_.front().mutable_transaction()->mutable_begin();
    requests_.back().mutable_transaction()->set_commit(true);
  }

  void Begin(Random& random) override {
    const TpcbValues values = RandomTpcb(size_, random);
    for (size_t i = 0; i < requests_.size(); ++i) {
      SetParams(kTpcbStatements[i], values, *requests_[i].mutable_params());
    }
    at_ = 0;
  }

  v1::QueryRequest& Statement() override { return requests_[at_]; }

  std::string Take(const v1::QueryResponse& response,
                   const v1::TransactionStatus& transaction) override {
    const bool reads = kTpcbStatements[at_].reads;
    if ((reads ? response.rows_size() : response.rows_affected()) != 1) {
      return "not one row for " + requests_[at_].sql();
    }
    if (at_ == 0 && !in_stream_) {
      for (size_t i = 1; i < requests_.size(); ++i) {
        v1::TransactionSelector& selector = *requests_[i].mutable_transaction();
        selector.set_transaction_id(transaction.transaction_id());
      }
    }
    ++at_;
    return InState(transaction,
                   AtEnd() ? v1::TRANSACTION_STATE_COMMITTED : v1::TRANSACTION_STATE_ACTIVE);
  }

  bool AtEnd() const override { return at_ == requests_.size(); }

  void Forget() override {}

 private:
  const TpcbSize size_;
  const bool in_stream_;
  std::vector<v1::QueryRequest> requests_;
  size_t at_ = 0;
};

// Point reads in one snapshot, which lasts as long as the run: a call is one of them.
class PointScript final : public Script {
 public:
  explicit PointScript(const RequestOptions& options)
      : connection_id_(options.connection_id),
        keys_(options.keys),
        in_stream_(InStream(options.method)) {
    request_.set_sql(options.sql);
    request_.add_params();
    Forget();
  }

  void Begin(Random& random) override {
    key_ = random.UpTo(keys_);
    request_.mutable_params(0)->set_int64_value(static_cast<int64_t>(key_));
    at_end_ = false;
  }

  v1::QueryRequest& Statement() override { return request_; }

  std::string Take(const v1::QueryResponse& response,
                   const v1::TransactionStatus& transaction) override {
    at_end_ = true;
    std::string error = CheckPoint(response, key_);
    if (error.empty()) error = InState(transaction, v1::TRANSACTION_STATE_ACTIVE);
    request_.clear_connection_id();
    request_.clear_transaction();
    if (!in_stream_) {
      request_.mutable_transaction()->set_transaction_id(transaction.transaction_id());
    }
    return error;
  }

  bool AtEnd() const override { return at_end_; }

  void Forget() override {
    request_.set_connection_id(connection_id_);
    request_.mutable_transaction()->mutable_begin()->set_read_only(true);
  }

 private:
  const std::string connection_id_;
  const uint64_t keys_;
  const bool in_stream_;
  v1::QueryRequest request_;
  uint64_t key_ = 0;
  bool at_end_ = true;
};

}  // namespace

std::unique_ptr<Script> MakeScript(const RequestOptions& options) {
  if (options.method == Method::kTpcbCalls || options.method == Method::kInteract) {
    return std::make_unique<TpcbScript>(options);
  }
  return std::make_unique<PointScript>(options);
}

}  // namespace sluice::bench
