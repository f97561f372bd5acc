thread_local int calls = 0;

Task<void> Locks(Shared& shared) {
  absl::MutexLock lock(&shared.mu);                                     // bad: held-lock
  const int n = co_await One();
  shared.n += n;
}

Task<void> LocksFurtherIn(Shared& shared) {
  for (int i = 0; i < 3; ++i) {
    std::unique_lock<std::mutex> lock(shared.mu);                       // bad: held-lock
    if (shared.n == 0) {
      const int n = co_await One();
      shared.n = n;
    }
  }
  const std::scoped_lock both{shared.mu, shared.other};                 // bad: held-lock
  std::lock_guard<Wrapped<std::mutex>> third(shared.third);             // bad: held-lock
  absl::ReaderMutexLock reader(&shared.mu);                             // bad: held-lock
  co_await Two();
}

Task<void> ThreadLocals() {
  static thread_local Buffer buffer;                                    // bad: thread-local
  ++calls;                                                              // bad: thread-local
  co_await One();
}
