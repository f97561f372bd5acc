// Await: how a coroutine waits for a Work.
#ifndef SLUICE_SERVER_DB_SQLITE_AWAIT_H_
#define SLUICE_SERVER_DB_SQLITE_AWAIT_H_

#include <stop_token>
#include <utility>

#include "absl/status/status.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/errors.h"
#include "server/db/sqlite/held_wait.h"
#include "server/db/sqlite/loop_reader.h"
#include "server/db/sqlite/work_queue.h"

namespace sluice::sqlite {

// Hands the work to a queue, and waits for its result. A stopped call takes it out again while it
// waits, and asks it to end once it runs.
template <class W>
Task<typename W::Result> Await(const Context& ctx, LoopSide& side, WorkQueue& queue, W& work) {
  const std::stop_callback on_stop(ctx.stop, [&] {
    if (!side.Cancel(queue, work)) return;
    work.Refuse(WhyNotReached(ctx.Stopped(errors::Executed::kNo), queue));
  });
  HeldWait limit(ctx, queue, [&] {
    if (side.Withdraw(queue, work)) work.Refuse(WriterHeldTooLong(queue));
  });
  typename W::Result result =
      co_await Async<typename W::Result>([&](Completion<typename W::Result> done) {
        work.WaitFor(std::move(done));
        const absl::Status taken = ctx.stop.stop_requested() ? ctx.Stopped(errors::Executed::kNo)
                                                             : side.Submit(queue, work);
        if (!taken.ok()) work.Refuse(taken);
      });
  co_return result;
}

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_AWAIT_H_
