// Channel: a bounded queue between coroutines, on any executors. A full channel makes its sender
// wait, an empty one its receiver.
#ifndef SLUICE_SERVER_ASYNC_CHANNEL_H_
#define SLUICE_SERVER_ASYNC_CHANNEL_H_

#include <cassert>
#include <deque>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"

#include "server/async/completion.h"
#include "server/async/task.h"
#include "server/base/mutex.h"

namespace sluice {

template <class T>
class Channel {
 public:
  explicit Channel(size_t capacity) : capacity_(capacity) {}

  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  ~Channel() {
    MutexLock lock(&mu_);
    assert(senders_.empty() && !receiver_.has_value());
  }

  // Waits for room. False: the channel is closed and the value is dropped.
  Task<bool> Send(T value) {
    const bool sent = co_await Async<bool>(
        [&](Completion<bool> done) { Offer(std::move(value), std::move(done)); });
    co_return sent;
  }

  // Waits for a value; nothing once the channel is closed and empty. One receiver at a time.
  Task<std::optional<T>> Receive() {
    std::optional<T> value = co_await Async<std::optional<T>>(
        [&](Completion<std::optional<T>> done) { Await(std::move(done)); });
    co_return value;
  }

  // Ends the channel: waiting senders get false, the receiver gets what is left and then nothing.
  // Any thread.
  void Close() {
    std::deque<Sender> refused;
    std::optional<Completion<std::optional<T>>> receiver;
    {
      MutexLock lock(&mu_);
      closed_ = true;
      refused.swap(senders_);
      if (receiver_.has_value()) receiver = TakeReceiver();
    }
    for (Sender& sender : refused) sender.done.Resolve(false);
    if (receiver.has_value()) receiver->Resolve(std::nullopt);
  }

 private:
  struct Sender {
    T value;
    Completion<bool> done;
  };

  void Offer(T value, Completion<bool> done) {
    std::optional<Completion<std::optional<T>>> receiver;
    bool sent = false;
    {
      MutexLock lock(&mu_);
      if (!closed_ && receiver_.has_value()) {
        receiver = TakeReceiver();
        sent = true;
      } else if (!closed_ && queue_.size() < capacity_) {
        queue_.push_back(std::move(value));
        sent = true;
      } else if (!closed_) {
        senders_.push_back(Sender{std::move(value), std::move(done)});
        return;
      }
    }
    if (receiver.has_value()) receiver->Resolve(std::move(value));
    done.Resolve(sent);
  }

  void Await(Completion<std::optional<T>> done) {
    std::optional<T> value;
    std::optional<Completion<bool>> sender;
    {
      MutexLock lock(&mu_);
      assert(!receiver_.has_value() && "one receiver at a time");
      if (!queue_.empty()) {
        value.emplace(std::move(queue_.front()));
        queue_.pop_front();
      }
      if (!senders_.empty()) {  // room came free, or the capacity is zero
        T next = std::move(senders_.front().value);
        sender.emplace(std::move(senders_.front().done));
        senders_.pop_front();
        if (value.has_value()) {
          queue_.push_back(std::move(next));
        } else {
          value.emplace(std::move(next));
        }
      }
      if (!value.has_value() && !closed_) {
        receiver_.emplace(std::move(done));
        return;
      }
    }
    if (sender.has_value()) sender->Resolve(true);
    done.Resolve(std::move(value));
  }

  Completion<std::optional<T>> TakeReceiver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Completion<std::optional<T>> receiver = std::move(*receiver_);
    receiver_.reset();
    return receiver;
  }

  const size_t capacity_;

  Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<T> queue_ ABSL_GUARDED_BY(mu_);
  std::deque<Sender> senders_ ABSL_GUARDED_BY(mu_);
  std::optional<Completion<std::optional<T>>> receiver_ ABSL_GUARDED_BY(mu_);
};

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_CHANNEL_H_
