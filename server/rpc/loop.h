// Loop: a thread with a completion queue. Every call lives on one loop from its acceptance to its
// end.
#ifndef SLUICE_SERVER_RPC_LOOP_H_
#define SLUICE_SERVER_RPC_LOOP_H_

#include <atomic>
#include <memory>
#include <thread>

#include "grpc/support/time.h"
#include "grpcpp/alarm.h"
#include "grpcpp/completion_queue.h"

#include "server/async/executor.h"
#include "server/async/guest.h"
#include "server/rpc/cork.h"
#include "server/rpc/gathering.h"
#include "server/rpc/idle_poll.h"
#include "server/rpc/tag.h"

namespace sluice::rpc {

// Owned by the Server. Only code that cannot wait runs here.
class Loop final : public Executor {
 public:
  Loop(std::unique_ptr<grpc::ServerCompletionQueue> queue, ClientSockets& sockets);
  ~Loop() override;

  void Start();
  // Ends the thread. No operation may be outstanding, and nobody may post any more.
  void Stop();

  grpc::ServerCompletionQueue* queue() const { return queue_.get(); }

 private:
  struct WakeTag final : Tag {
    explicit WakeTag(Loop& owner) : loop(owner) {}

    void Complete(bool ok) override;

    Loop& loop;
  };

  struct StopJob final : Job {
    explicit StopJob(Loop& owner)
        : Job([](Job* job) { static_cast<StopJob*>(job)->loop.stopping_ = true; }), loop(owner) {}

    Loop& loop;
  };

  void Wake() override;
  void Run();
  // The next event, if one comes by the deadline; else null.
  Tag* Next(gpr_timespec deadline, bool& ok);
  // The next event, after so many that were handled; null if there is something else to do first.
  Tag* Await(int handled, bool& ok);
  // Runs what is in the inbox: mostly calls to which a database has answered.
  bool RunAnswered();
  // True if the guest ran, or an event came, after a rest or a few.
  bool Gather(Tag*& tag, bool& ok);

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  ClientSockets& sockets_;
  // One alarm serves all wake-ups: it is set only after its last tag came out of the queue.
  grpc::Alarm alarm_;
  WakeTag wake_tag_;
  StopJob stop_job_;
  std::atomic<bool> woken_{false};  // the alarm is on its way
  Host host_;                       // own thread
  const bool may_poll_;             // or it would keep from running what it waits for
  IdlePoll idle_poll_;
  Gathering gathering_;
  bool stopping_ = false;  // own thread
  std::thread thread_;
};

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_LOOP_H_
