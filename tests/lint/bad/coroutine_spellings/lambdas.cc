Task<int> Captures(Inbox& inbox, std::unique_ptr<Job> job, std::string name) {
  const int one = co_await Async<int>([job = std::move(job)](Completion<int> done) {  // bad: capturing-argument
    Push(std::move(done));
  });
  const int two = co_await Async<int>(
      [name](Completion<int> done) { Push(std::move(done)); });         // bad: capturing-argument
  const int three = co_await Async<int>([=](auto done) {});             // bad: capturing-argument
  const int four = co_await Async<int>([&, name](auto done) {});        // bad: capturing-argument
  const int five = co_await Async<int>([*this](auto done) {});          // bad: capturing-argument
  co_return one + two;
}

void Start(Executor& executor, int n) {
  executor.Spawn([&]() -> Task<void> {                                  // bad: called-at-once
    co_await Step(n);
  }());
  [n]() -> Task<void> { co_return; }();                                 // bad: called-at-once
}
