// Sink and Source: the ends of a stream as services see them.
#ifndef SLUICE_SERVER_ASYNC_STREAM_H_
#define SLUICE_SERVER_ASYNC_STREAM_H_

#include <memory>

#include "server/async/task.h"

namespace sluice {

// Takes messages. One Write at a time.
template <class T>
class Sink {
 public:
  virtual ~Sink() = default;

  // Waits until the message is on its way, which is how a slow peer slows its producer. False: the
  // peer is gone or stalled; stop producing.
  virtual Task<bool> Write(T message) = 0;
};

// Gives messages. One Read at a time.
template <class T>
class Source {
 public:
  virtual ~Source() = default;

  // The next message, or null at the end of the stream (or of the peer), or once the call has to
  // end.
  virtual Task<std::shared_ptr<T>> Read() = 0;

  // A Read that waits, and every later one, gives nothing. On the call's executor.
  virtual void BreakOff() = 0;

  // After the end: the peer has said that this was all, and did not just break off.
  virtual bool complete() const = 0;
};

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_STREAM_H_
