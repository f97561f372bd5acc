// What a client consists of. Internal to the library.
#ifndef SLUICE_CLIENT_CLIENT_IMPL_H_
#define SLUICE_CLIENT_CLIENT_IMPL_H_

#include <memory>
#include <stop_token>
#include <utility>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/grpcpp.h"

#include "client/call.h"
#include "client/client.h"
#include "client/pause.h"
#include "sluice/v1/connection.grpc.pb.h"
#include "sluice/v1/monitoring.grpc.pb.h"
#include "sluice/v1/query.grpc.pb.h"
#include "sluice/v1/schema.grpc.pb.h"
#include "sluice/v1/transaction.grpc.pb.h"

namespace sluice::client {

// For calls that are not sent again: changes without a request_id, and health, which is asked now.
inline constexpr bool kOnce = false;

// A StreamQuery in flight. Owned by its RowStream.
class CallSource final : public MessageSource {
 public:
  CallSource(v1::QueryService::Stub& stub,
             const v1::StreamQueryRequest& request,
             absl::Time deadline,
             std::stop_token stop)
      : cancel_(std::move(stop), [this] { context_.TryCancel(); }) {
    SetDeadline(context_, deadline);
    reader_ = stub.StreamQuery(&context_, request);
  }

  bool Read(v1::StreamQueryResponse* message) override { return reader_->Read(message); }

  absl::Status Finish() override { return ToAbsl(reader_->Finish()); }

  void Cancel() override { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::StreamQueryResponse>> reader_;
  StopCallback cancel_;  // last: it must not fire on a context that is gone
};

struct Client::Impl {
  ClientOptions options;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::QueryService::Stub> query;
  std::unique_ptr<v1::TransactionService::Stub> transaction;
  std::unique_ptr<v1::ConnectionService::Stub> connection;
  std::unique_ptr<v1::SchemaService::Stub> schema;
  std::unique_ptr<v1::MonitoringService::Stub> monitoring;
  std::unique_ptr<grpc::health::v1::Health::Stub> health;

  absl::Time Deadline(const CallOptions& call) const {
    return absl::Now() + call.timeout.value_or(options.deadline);
  }

  // Streams last as long as they are read, or written.
  static absl::Time StreamDeadline(const CallOptions& call) {
    return call.timeout ? absl::Now() + *call.timeout : absl::InfiniteFuture();
  }

  // One unary call, with its retries.
  template <class Stub, class Request, class Response>
  absl::StatusOr<Response> Call(const std::unique_ptr<Stub>& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                             const Request&,
                                                             Response*),
                                const Request& request,
                                const CallOptions& call,
                                bool repeatable = true) const;
};

template <class Stub, class Request, class Response>
absl::StatusOr<Response> Client::Impl::Call(const std::unique_ptr<Stub>& stub,
                                            grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                         const Request&,
                                                                         Response*),
                                            const Request& request,
                                            const CallOptions& call,
                                            bool repeatable) const {
  const absl::Time deadline = Deadline(call);
  for (int attempts = 1;; ++attempts) {
    grpc::ClientContext context;
    SetDeadline(context, deadline);
    Response response;
    absl::Status status;
    {
      const StopCallback cancel(call.stop, [&context] { context.TryCancel(); });
      status = ToAbsl((stub.get()->*method)(&context, request, &response));
    }
    if (status.ok()) return response;
    if (!repeatable) return status;
    const auto delay = RetryDelay(options.retry, status, attempts, RandomFraction());
    if (!delay || absl::Now() + *delay >= deadline) return status;
    if (!Pause(*delay, call.stop)) {
      return LocalError(absl::StatusCode::kCancelled, "CALL_CANCELLED", Executed::kNo,
                        "the call was cancelled before its next attempt");
    }
  }
}

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_CLIENT_IMPL_H_
