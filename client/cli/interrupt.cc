#include "client/cli/interrupt.h"

#include <csignal>

#include <pthread.h>
#include <unistd.h>

namespace sluice::cli {
namespace {

constexpr int kWake = SIGUSR1;  // sent by the destructor, to the watching thread alone

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, kWake);
  return signals;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t signals = Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { Watch(); });
}

Interrupt::~Interrupt() {
  done_ = true;
  pthread_kill(thread_.native_handle(), kWake);
  thread_.join();
}

void Interrupt::Watch() {
  const sigset_t signals = Signals();
  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && !done_) {
    if (!stop_.request_stop()) _exit(128 + signal);
  }
}

}  // namespace sluice::cli
