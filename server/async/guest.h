// Guest: an executor with a thread of its own that a loop runs beside itself while it is awake.
#ifndef SLUICE_SERVER_ASYNC_GUEST_H_
#define SLUICE_SERVER_ASYNC_GUEST_H_

#include <cstdint>

#include "absl/time/time.h"

#include "server/base/clock.h"

namespace sluice {

// To ask another thread costs a call two wake-ups, which are dearer than a brief question to a
// database. So a loop that is awake runs the guest's work itself; the guest's own thread does it
// while no loop is.
class Guest {
 public:
  // The process's guest, or null. There is one at most, and it stays to the end of the process.
  static Guest* Present();

  // Whether the calling thread runs the guest before it sleeps: it need not be woken for what is
  // posted here.
  static bool RunHere();

  // Runs what there is to do on the calling thread, without waiting, unless another thread is at
  // it. True if something ran.
  virtual bool Visit() = 0;
  // Whether work was posted or is under way. Any thread.
  virtual bool Busy() const = 0;
  // What it waits for from elsewhere, and what of it has come so far. Any thread.
  virtual int UnderWay() const = 0;
  virtual uint64_t Done() const = 0;
  // Between the two its own thread need not look after it. Any thread, in pairs.
  virtual void Attend() = 0;
  virtual void Leave() = 0;

 protected:
  virtual ~Guest() = default;

  // Makes it the process's guest.
  static void Appear(Guest& guest);

 private:
  friend class Host;

  static void SetRunHere(bool here);
};

// Host: a loop's side of that. Of one thread.
class Host {
 public:
  explicit Host(const Clock& clock) : clock_(clock) {}

  ~Host() { Rest(); }

  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // The loop is awake.
  void Rise();
  // True if something of the guest ran, which may have posted to the loop.
  bool Run();
  // The loop is about to wait.
  void Rest();

  // Who is run here, or null.
  const Guest* guest() const { return guest_; }

 private:
  // A turn that takes longer keeps the loop's calls from theirs: the guest's own thread is to take
  // the next ones, for a while.
  static constexpr absl::Duration kLong = absl::Microseconds(500);
  static constexpr absl::Duration kApart = absl::Milliseconds(10);

  const Clock& clock_;
  Guest* guest_ = nullptr;  // that is run here
  bool attending_ = false;
  absl::Duration apart_until_;  // on the steady clock
};

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_GUEST_H_
