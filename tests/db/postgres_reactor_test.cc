// The reactor as a guest: its work is done by a loop that is awake, and by its own thread else.
#include <future>
#include <optional>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

#include "gtest/gtest.h"

#include "server/async/guest.h"
#include "server/base/clock.h"
#include "server/db/postgres/reactor.h"

namespace sluice::postgres {
namespace {

using Thread = std::thread::id;

Thread Here() {
  return std::this_thread::get_id();
}

class PostgresReactorTest : public testing::Test {
 protected:
  PostgresReactorTest() { socketpair(AF_UNIX, SOCK_STREAM, 0, sockets_); }

  ~PostgresReactorTest() override {
    close(sockets_[0]);
    close(sockets_[1]);
  }

  // Runs it as a job of the reactor's, posted from here; answers the thread that did it.
  std::future<Thread> Post(std::function<void()> what) {
    const auto done = std::make_shared<std::promise<Thread>>();
    reactor_.PostFunction([done, what = std::move(what)] {
      what();
      done->set_value(Here());
    });
    return done->get_future();
  }

  void Say() { ASSERT_EQ(write(sockets_[1], "x", 1), 1); }

  Reactor& reactor_ = Reactor::Shared();
  Host host_{Clock::System()};
  int sockets_[2];
};

// Reads one byte each time, and tells on which thread.
struct Reader final : Watcher {
  explicit Reader(int its_socket) : socket(its_socket) {}

  void OnReady(bool /*readable*/, bool /*writable*/) override {
    char byte = 0;
    ASSERT_EQ(read(socket, &byte, 1), 1);
    std::exchange(heard, std::promise<Thread>()).set_value(Here());
  }

  const int socket;
  std::promise<Thread> heard;
};

TEST_F(PostgresReactorTest, ALoopThatIsAwakeRunsWhatItPosted) {
  host_.Rise();
  EXPECT_TRUE(Guest::RunHere());
  std::future<Thread> ran = Post([] {});
  while (ran.wait_for(std::chrono::seconds(0)) != std::future_status::ready) host_.Run();
  host_.Rest();
  EXPECT_FALSE(Guest::RunHere());
}

TEST_F(PostgresReactorTest, WhatALoopLeavesBehindIsRunByTheReactorsThread) {
  host_.Rise();
  std::future<Thread> ran = Post([] {});
  host_.Rest();
  EXPECT_NE(ran.get(), Here());
}

TEST_F(PostgresReactorTest, ASocketIsReadByWhoeverIsAwake) {
  Reader reader(sockets_[0]);
  Post([&] {
    reactor_.Watch(sockets_[0], &reader);
    reactor_.Expect();
  }).get();
  std::future<Thread> first = reader.heard.get_future();
  Say();
  EXPECT_NE(first.get(), Here());

  host_.Rise();
  host_.Run();  // from now on it attends to the sockets
  std::future<Thread> second;
  Post([&] { second = reader.heard.get_future(); });
  while (!second.valid()) host_.Run();
  Say();
  while (second.wait_for(std::chrono::seconds(0)) != std::future_status::ready) host_.Run();
  EXPECT_EQ(second.get(), Here());

  std::future<Thread> third;
  Post([&] { third = reader.heard.get_future(); });
  while (!third.valid()) host_.Run();
  host_.Rest();
  Say();
  EXPECT_NE(third.get(), Here());
  Post([&] {
    reactor_.ExpectNoMore(1);
    reactor_.Unwatch(sockets_[0]);
  }).get();
}

TEST_F(PostgresReactorTest, ATimerThatWasStartedOnALoopFiresThoughTheLoopSleeps) {
  struct Told final : Timer {
    Told() : Timer([](Timer* timer) { static_cast<Told*>(timer)->fired.set_value(Here()); }) {}

    std::promise<Thread> fired;
  } timer;

  host_.Rise();
  std::future<Thread> started = Post([&] { reactor_.StartTimer(timer, absl::Milliseconds(20)); });
  while (started.wait_for(std::chrono::seconds(0)) != std::future_status::ready) host_.Run();
  host_.Rest();
  EXPECT_NE(timer.fired.get_future().get(), Here());
}

TEST_F(PostgresReactorTest, ATurnThatTakesLongSendsTheReactorToItsOwnThread) {
  std::future<Thread> ran;
  bool here = false;
  do {  // until the reactor's thread is not awake for something else
    host_.Rise();
    ran = Post([] { usleep(20'000); });  // longer than a turn may hold a loop up
    while (ran.wait_for(std::chrono::seconds(0)) != std::future_status::ready) here = host_.Run();
  } while (ran.get() != Here());
  EXPECT_TRUE(here);
  EXPECT_FALSE(Guest::RunHere());
  EXPECT_NE(Post([] {}).get(), Here());
}

}  // namespace
}  // namespace sluice::postgres
