// The house forms: none of them may be found. co_await F(Options{.sql = s}) in a comment is none.
#define CO_TRY_SKETCH(name, call)         \
  auto name##_or = co_await Call({call}); \
  if (!name##_or.ok()) co_return name##_or.status()

namespace sluice {
namespace {

thread_local int calls = 0;
constexpr std::string_view kText = "if (co_await x) { F({1}) }";
constexpr std::string_view kRaw = R"sql(co_await F({1});)sql";
constexpr int kBig = 1'000'000;

int CountCall() {
  thread_local Buffer buffer{1, 2};
  return ++calls;
}

}  // namespace

class Lane final : public Session {
 public:
  Lane() = default;
  explicit Lane(Options options) : options_{std::move(options)}, names_({}) {}
  bool idle() const { return {}; }
  [[nodiscard]] int at(int index) const { return slots_[index](index); }

  Task<absl::StatusOr<Rows>> Execute(const Context& ctx, Options options = {}) override {
    Statement statement(options.sql, {1, 2});
    CO_TRY(Rows rows, co_await session_.Execute(ctx, std::move(statement)));
    const bool alive = co_await sink_.Write(std::move(rows));
    if (!alive) co_return errors::PeerGone();
    const auto& [first, second] = rows.Ends({1, 2});
    {
      absl::MutexLock lock(&mu_);
      ++sent_;
    }
    co_return co_await Join(First(ctx), Second(ctx, Statement("select 1")));
  }

  Task<int> Waits(Inbox& inbox) {
    const int one = co_await Async<int>([&](Completion<int> done) {
      inbox.Push(Job{std::move(done), Options{.sql = "x"}});
    });
    const int two = co_await Async<int>([this, &inbox](auto done) { slots_ = {1, 2}; });
    const int three = co_await Async<int>([&]<class A, class B>(A a, B b) -> std::pair<A, B> {
      return {a, b};
    });
    auto start = [options = options_](Completion<int> done) { Push(std::move(done), options); };
    const int four = co_await Async<int>(std::move(start));
    Options all{.sql = "built before"};
    const Rows rows = co_await Read(std::move(all));
    co_return one + two + three + four;
  }

  Task<void> Loops() {
    for (;;) {
      const auto message = co_await source_.Read();
      if (!message) break;
    }
    while (const auto row = co_await source_.Read()) Use(*row);
    if (const bool ok = co_await sink_.Ready(); ok) Count();
    for (const auto& row : co_await Everything()) Use(row);
    const int chosen = wide_ ? co_await One() : co_await Two();
    std::sort(rows_.begin(), rows_.end(), [order = order_](int a, int b) { return order(a, b); });
    executor_.Spawn(Named(*this));
    absl::MutexLock lock(&mu_);
    ++sent_;
  }

  void Spawns() {
    absl::MutexLock lock(&mu_);
    auto body = [this]() -> Task<void> {
      const int n = co_await One();
      sent_ = n;
    };
    Keep(body);
    Sort([](int a) { return a; }(3));
    if (Ready({1})) Count();
  }

 private:
  Task<int> CountsCalls() {
    const int n = co_await One();
    co_return n + CountCall();
  }

  Options options_{};
  int sent_{0};
};

}  // namespace sluice
