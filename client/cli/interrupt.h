// Ctrl-C.
#ifndef SLUICE_CLIENT_CLI_INTERRUPT_H_
#define SLUICE_CLIENT_CLI_INTERRUPT_H_

#include <atomic>
#include <stop_token>
#include <thread>

namespace sluice::cli {

// Turns SIGINT and SIGTERM into a stop request, so that a call is cancelled on the server and its
// end is still shown; a second signal ends the process at once. Owned by main; a thread of its own
// waits for the signals. REQUIRES: made before any other thread, which then inherits the mask.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token Token() const { return stop_.get_token(); }

 private:
  void Watch();

  std::stop_source stop_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_INTERRUPT_H_
