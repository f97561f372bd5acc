#include "server/services/interact_service.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/async/channel.h"
#include "server/async/executor.h"
#include "server/async/join.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/core/ending.h"
#include "server/db/wire.h"
#include "server/services/request_id.h"
#include "server/services/step_error.h"
#include "server/services/validation.h"

namespace sluice::services {
namespace {

using core::Transaction;
using Response = Reply<pb::InteractResponse>;

// Requests that may wait behind the one that is carried out, and how large they may be together.
constexpr size_t kAhead = 16;
constexpr size_t kAheadBytes = 16 << 20;

// A message as a field of another, though a part of it is encoded already.
template <class Message>
std::string Nested(int field, const Reply<Message>& message) {
  std::string out;
  db::AppendVarint(static_cast<uint64_t>(field) << 3 | 2, out);
  db::AppendVarint(message.head.ByteSizeLong() + message.body.size(), out);
  message.head.AppendToString(&out);
  out += message.body;
  return out;
}

// Tells somebody of an end that comes, unless he has gone by then.
class EndWatch {
 public:
  EndWatch(std::shared_ptr<core::Ending> ending, std::function<void()> told)
      : state_(std::make_shared<State>()) {
    state_->told = std::move(told);
    Spawn(Watch(std::move(ending), state_));
  }

  ~EndWatch() {
    state_->told = nullptr;
    state_->scope.Stop(StopCause::kCancelled);
  }

  EndWatch(const EndWatch&) = delete;
  EndWatch& operator=(const EndWatch&) = delete;

 private:
  struct State {
    CallScope scope;
    std::function<void()> told;
  };

  static Task<void> Watch(std::shared_ptr<core::Ending> ending, std::shared_ptr<State> state) {
    const Context ctx = state->scope.MakeContext(absl::InfiniteFuture(), "");
    const bool came = co_await ending->Within(ctx, absl::InfiniteDuration());
    if (came && state->told != nullptr) state->told();
  }

  const std::shared_ptr<State> state_;
};

}  // namespace

// One stream. Two coroutines on its executor: one reads ahead, and acts on a cancel at once; the
// other carries out one request after another.
class InteractService::Conversation {
 public:
  Conversation(InteractService& service,
               const Context& ctx,
               Source<pb::InteractRequest>& requests,
               Sink<Response>& responses)
      : service_(service),
        ctx_(ctx),
        requests_(requests),
        responses_(responses),
        executor_(*Executor::Current()),
        idle_(*this) {}

  ~Conversation() { executor_.CancelTimer(idle_); }

  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  Task<absl::Status> Run() {
    EndWatch draining(service_.venues_.transactions().draining(), [this] {
      draining_ = true;
      if (turn_ == nullptr) requests_.BreakOff();
    });
    WatchIdleness();
    co_await Join(ReadAhead(), CarryOut());
    const bool open = turn_ != nullptr;
    if (open) {
      const absl::Status gone = co_await turn_->Rollback();
      gone.IgnoreError();  // it had ended by itself
      Forget();
    }
    if (!over_.ok()) co_return over_;
    if (ctx_.stop.stop_requested()) {
      co_return ctx_.Stopped(open ? errors::Executed::kRolledBack : errors::Executed::kNo);
    }
    // UNAVAILABLE would say that nothing of it was applied.
    if (draining_ && !answered_) co_return errors::ServerDraining(errors::Executed::kNo);
    co_return absl::OkStatus();
  }

 private:
  // A request that waits, or is carried out.
  struct Item {
    explicit Item(std::shared_ptr<const pb::InteractRequest> its_request)
        : request(std::move(its_request)), bytes(request->ByteSizeLong()) {}

    const std::shared_ptr<const pb::InteractRequest> request;
    const size_t bytes;
    bool cancelled = false;
    CallScope* scope = nullptr;  // while it is carried out
  };

  using ItemPtr = std::shared_ptr<Item>;

  // Ends a stream in which nothing comes and no transaction is open.
  struct IdleTimer : Timer {
    explicit IdleTimer(Conversation& owner)
        : Timer([](Timer* timer) { static_cast<IdleTimer*>(timer)->conversation.OnIdle(); }),
          conversation(owner) {}

    Conversation& conversation;
  };

  // Whenever that may have changed.
  void WatchIdleness() {
    executor_.CancelTimer(idle_);
    if (turn_ == nullptr && waiting_.empty()) executor_.StartTimer(idle_, service_.idle_);
  }

  void OnIdle() {
    over_ = errors::StreamIdle(errors::Executed::kNo);
    requests_.BreakOff();
  }

  Task<bool> ReadAhead() {
    for (;;) {
      if (ahead_bytes_ >= kAheadBytes) {
        co_await Async<bool>([&](Completion<bool> room) { room_.emplace(std::move(room)); });
      }
      std::shared_ptr<pb::InteractRequest> request = co_await requests_.Read();
      if (request == nullptr) break;
      if (request->has_cancel()) {
        Cancel(request->cancel().call_id());
        continue;
      }
      auto item = std::make_shared<Item>(std::move(request));
      waiting_.push_back(item);
      ahead_bytes_ += item->bytes;
      WatchIdleness();
      const bool taken = co_await queue_.Send(std::move(item));
      if (!taken) break;
    }
    queue_.Close();
    co_return true;
  }

  void MakeRoom() {
    if (!room_.has_value() || ahead_bytes_ >= kAheadBytes) return;
    Completion<bool> room = *std::move(room_);
    room_.reset();
    room.Resolve(true);
  }

  void Cancel(int64_t call_id) {
    for (const ItemPtr& item : waiting_) {
      if (item->request->call_id() != call_id) continue;
      item->cancelled = true;
      if (item->scope != nullptr) item->scope->Stop(StopCause::kCancelled);
    }
  }

  Task<bool> CarryOut() {
    for (;;) {
      std::optional<ItemPtr> item = co_await queue_.Receive();
      if (!item.has_value()) break;
      Response response = co_await Answer(**item);
      waiting_.pop_front();
      ahead_bytes_ -= (*item)->bytes;
      MakeRoom();
      WatchIdleness();
      answered_ = true;
      const bool alive = co_await responses_.Write(std::move(response));
      if (!alive || ctx_.stop.stop_requested() || !over_.ok()) break;
      if (draining_ && turn_ == nullptr) break;
    }
    queue_.Close();
    requests_.BreakOff();
    ahead_bytes_ = 0;
    MakeRoom();
    co_return true;
  }

  Task<Response> Answer(Item& item) {
    Response response;
    response.head.set_call_id(item.request->call_id());
    absl::Status status = errors::Cancelled(errors::Executed::kNo);
    if (!item.cancelled) status = co_await Act(item, response);
    // What was sent ahead relies on it.
    if (!status.ok() && turn_ != nullptr) co_await turn_->Fail();
    std::optional<core::TransactionFacts> facts;
    if (last_ != nullptr) facts = last_->facts();
    if (facts.has_value()) {
      SetStatus(*facts, service_.clock_.Now(), *response.head.mutable_transaction());
      if (core::IsFinished(facts->state)) {
        OnFinished();  // by somebody else, perhaps
        Forget();
      }
    }
    if (status.ok()) {
      if (response.body.empty()) response.head.mutable_done();
      co_return response;
    }
    if (facts.has_value()) status = core::WithTransaction(std::move(status), *facts);
    SetStepError(status, *response.head.mutable_error());
    co_return response;
  }

  // Carries one out, with limits of its own.
  Task<absl::Status> Act(Item& item, Response& response) {
    CallScope scope;
    item.scope = &scope;
    const std::stop_callback on_stop(ctx_.stop, [&] {
      scope.Stop(ctx_.cause == nullptr ? StopCause::kCancelled : ctx_.cause->load());
    });
    scope.Arm(executor_, service_.command_timeout_);
    const absl::Time limit = service_.clock_.Unset() + service_.command_timeout_;
    Context ctx = scope.MakeContext(std::min(ctx_.deadline, limit), ctx_.request_id);
    ctx.who = ctx_.who;
    ctx.peer = ctx_.peer;
    absl::Status status = co_await Act(ctx, *item.request, response);
    item.scope = nullptr;
    co_return status;
  }

  Task<absl::Status> Act(const Context& ctx,
                         const pb::InteractRequest& request,
                         Response& response) {
    absl::Status status;
    if (request.has_query()) {
      status = co_await Query(ctx, request.query(), response);
    } else if (request.has_batch()) {
      status = co_await Batch(ctx, request.batch(), response);
    } else if (request.has_begin()) {
      CO_CHECK(CheckRequest(request.begin()));
      status = co_await Begin(ctx, request.begin().connection_id(), request.begin().options(),
                              Venues::SessionIn(request.begin()));
    } else {
      status = co_await Control(ctx, request);
    }
    co_return status;
  }

  // What is about the open transaction itself.
  Task<absl::Status> Control(const Context& ctx, const pb::InteractRequest& request) {
    using Action = pb::InteractRequest::ActionCase;
    CO_CHECK(CheckOpen());
    absl::Status status;
    switch (request.action_case()) {
      case Action::kCommit:
        status = co_await Commit(request.commit());
        break;
      case Action::kRollback:
        status = co_await turn_->Rollback();
        break;
      case Action::kSavepoint:
        status = co_await turn_->Savepoint(ctx, request.savepoint().name());
        break;
      case Action::kRollbackToSavepoint:
        status = co_await turn_->RollbackTo(ctx, request.rollback_to_savepoint().name());
        break;
      case Action::kReleaseSavepoint:
        status = co_await turn_->Release(ctx, request.release_savepoint().name());
        break;
      case Action::kKeepAlive:
        if (!turn_->transaction().KeepAlive()) status = turn_->transaction().why();
        break;
      default:
        status = errors::ParameterInvalid("action", "is not set");
    }
    co_return status;
  }

  absl::Status CheckOpen() {
    if (turn_ != nullptr) return absl::OkStatus();
    last_ = nullptr;
    return errors::ParameterInvalid("action", "has no transaction to act on; begin one first");
  }

  Task<absl::Status> Begin(const Context& ctx,
                           const std::string& connection_id,
                           const pb::TransactionOptions& options,
                           const pb::SessionOptions* session) {
    if (turn_ != nullptr) {
      co_return errors::ParameterInvalid("action", "begins a transaction while one is open");
    }
    last_ = nullptr;
    CO_TRY(Transaction::Turn turn,
           co_await service_.venues_.Begin(ctx, connection_id, options, session,
                                           /*interactive=*/true));
    turn_ = std::make_shared<Transaction::Turn>(std::move(turn));
    last_ = turn_;
    watch_.emplace(turn_->transaction().finished(), [this] { OnFinished(); });
    co_return absl::OkStatus();
  }

  // One that somebody else has ended ends the stream.
  void OnFinished() {
    if (turn_ == nullptr || !over_.ok()) return;
    const absl::Status why = turn_->transaction().why();
    if (why.ok()) return;
    over_ = core::WithTransaction(why, turn_->facts());
    requests_.BreakOff();
  }

  // Nothing can follow in it.
  void Forget() {
    watch_.reset();
    turn_ = nullptr;
    last_ = nullptr;
  }

  // Where a request of the stream runs.
  template <class Request>
  Task<absl::StatusOr<Venue>> Enter(const Context& ctx, const Request& request) {
    const std::string& connection_id = request.connection_id();
    const pb::TransactionSelector& selector = request.transaction();
    Venue venue;
    if (selector.selector_case() == pb::TransactionSelector::kTransactionId) {
      co_return errors::ParameterInvalid("transaction.transaction_id",
                                         "has no place in a stream, which has a transaction");
    }
    if (selector.has_begin()) {
      CO_CHECK(co_await Begin(ctx, connection_id, selector.begin(), Venues::SessionIn(request)));
      venue.begun = true;
    } else {
      CO_CHECK(CheckOpen());
      CO_CHECK(Venues::CheckAgrees(turn_->transaction(), connection_id));
    }
    venue.kept = true;
    venue.turn = turn_;
    venue.connection = turn_->transaction().connection();
    venue.commit = selector.commit();
    co_return venue;
  }

  Task<absl::Status> Query(const Context& ctx,
                           const pb::QueryRequest& request,
                           Response& response) {
    CO_TRY(Venue venue, co_await Enter(ctx, request));
    const auto reply = co_await service_.query_.QueryAt(ctx, request, venue);
    CO_CHECK(co_await service_.venues_.Leave(ctx, venue, reply.status()));
    response.body = Nested(pb::InteractResponse::kQueryFieldNumber, *reply);
    co_return absl::OkStatus();
  }

  Task<absl::Status> Batch(const Context& ctx,
                           const pb::ExecuteBatchRequest& request,
                           Response& response) {
    CO_TRY(Venue venue, co_await Enter(ctx, request));
    const auto reply = co_await service_.batch_.ExecuteBatchAt(ctx, request, venue);
    CO_CHECK(co_await service_.venues_.Leave(ctx, venue, reply.status()));
    response.body = Nested(pb::InteractResponse::kBatchFieldNumber, *reply);
    co_return absl::OkStatus();
  }

  Task<absl::Status> Commit(const pb::InteractCommit& commit) {
    pb::CommitTransactionRequest request;
    request.set_transaction_id(turn_->transaction().handle());  // it has no id
    request.set_request_id(commit.request_id());
    const core::Connections::EntryPtr connection = turn_->transaction().connection();
    CO_TRY(const std::optional<db::RequestKey> key, RequestKeyOf(*connection, request));
    absl::Status committed = co_await turn_->Commit(ctx_, key.has_value() ? &*key : nullptr);
    co_return committed;
  }

  InteractService& service_;
  const Context& ctx_;
  Source<pb::InteractRequest>& requests_;
  Sink<Response>& responses_;

  Executor& executor_;
  IdleTimer idle_;
  Channel<ItemPtr> queue_{kAhead};
  size_t ahead_bytes_ = 0;                // of those that wait
  std::optional<Completion<bool>> room_;  // ReadAhead waits for it
  bool answered_ = false;
  std::deque<ItemPtr> waiting_;              // and the one that is carried out, first
  std::shared_ptr<Transaction::Turn> turn_;  // of the open transaction
  std::shared_ptr<Transaction::Turn> last_;  // what an answer tells of
  std::optional<EndWatch> watch_;            // over it
  absl::Status over_;                        // why the stream ends
  bool draining_ = false;
};

Task<absl::Status> InteractService::Interact(const Context& ctx,
                                             Source<pb::InteractRequest>& requests,
                                             Sink<Response>& responses) {
  if (ctx.draining) co_return errors::ServerDraining(errors::Executed::kNo);
  Conversation conversation(*this, ctx, requests, responses);
  absl::Status status = co_await conversation.Run();
  co_return status;
}

}  // namespace sluice::services
