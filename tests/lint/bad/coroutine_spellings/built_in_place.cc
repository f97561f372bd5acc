// Each line that ends in `bad: rule` must be found, and no other.
Task<int> Designated(const Context& ctx) {
  const Rows rows = co_await Execute(ctx, Options{.sql = "select 1"});  // bad: built-in-place
  const Rows more = co_await Execute(
      ctx,
      Options{                                                          // bad: built-in-place
          .sql = "select 1"});
  co_return rows.size() + more.size();
}

Task<int> Braces(const Context& ctx) {
  const Rows rows = co_await Execute({ctx, "select 1"});                // bad: built-in-place
  const Rows none = co_await Execute({});                               // bad: built-in-place
  const Rows empty = co_await Execute(Options{});                       // bad: built-in-place
  CO_TRY(const Rows tried, co_await Execute(Options{.sql = "x"}));      // bad: built-in-place
  Use(Options{.sql = "beside"}, co_await Execute(ctx));                 // bad: built-in-place
  co_await Awaiter{&ctx};                                               // bad: built-in-place
  co_return rows.size();
}

Task<std::vector<int>> AwaitedFirst() {
  const std::vector<int> both{co_await One(), co_await Two()};          // bad: built-in-place
  const Pair pair = Pair{Name(co_await One()), 2};                      // bad: built-in-place
  co_return Wrapped{co_await One()};                                    // bad: built-in-place
}
