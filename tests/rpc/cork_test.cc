#include "server/rpc/cork.h"

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/tcp.h>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

#include "tests/rpc/testing_server.h"

namespace sluice::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Both ends of a connection on loopback.
class Connection {
 public:
  Connection() {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener, any, size), 0);
    EXPECT_EQ(listen(listener, 1), 0);
    EXPECT_EQ(getsockname(listener, any, &size), 0);
    near_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(near_, any, size), 0);
    far_ = accept(listener, nullptr, nullptr);
    close(listener);
  }

  ~Connection() { Close(); }

  void Close() {
    if (near_ >= 0) close(near_);
    if (far_ >= 0) close(far_);
    near_ = far_ = -1;
  }

  int near() const { return near_; }

  void Send(const std::string& text) const {
    EXPECT_EQ(send(near_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }

  // What is there, or what comes within `seconds`.
  std::string Received(int seconds) const {
    const timeval limit = {seconds, seconds == 0 ? 1 : 0};
    setsockopt(far_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::string out(100, '\0');
    const ssize_t got = recv(far_, out.data(), out.size(), 0);
    out.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return out;
  }

 private:
  int near_ = -1;
  int far_ = -1;
};

TEST(CorkTest, WhatIsSentMeanwhileGoesTogetherAtTheEnd) {
  const Connection connection;
  ClientSockets sockets;
  sockets.Add(connection.near());
  ASSERT_THAT(sockets.List(), ElementsAre(connection.near()));
  {
    const Cork cork(sockets.List());
    connection.Send("one ");
    connection.Send("two ");
    EXPECT_EQ(connection.Received(0), "");
    connection.Send("three");
  }
  EXPECT_EQ(connection.Received(5), "one two three");
  connection.Send("four");
  EXPECT_EQ(connection.Received(5), "four");
}

TEST(CorkTest, WhatIsNoTcpSocketIsLeftOut) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  ClientSockets sockets;
  sockets.Add(ends[0]);
  EXPECT_EQ(sockets.count(), 0u);
  close(ends[0]);
  close(ends[1]);
}

TEST(CorkTest, ClosedOnesAreForgottenEvenIfTheirNumberIsTaken) {
  Connection closed;
  const Connection open;
  ClientSockets sockets;
  sockets.Add(closed.near());
  sockets.Add(open.near());
  closed.Close();
  const Connection of_others;  // on the numbers of the closed one
  EXPECT_THAT(sockets.List(), ElementsAre(open.near()));
}

TEST(CorkTest, OfTooManyNoneIsCorked) {
  std::vector<std::unique_ptr<Connection>> connections;
  ClientSockets sockets;
  for (size_t i = 0; i <= ClientSockets::kMostCorked; ++i) {
    connections.push_back(std::make_unique<Connection>());
    sockets.Add(connections.back()->near());
  }
  EXPECT_THAT(sockets.List(), IsEmpty());
  connections.pop_back();
  for (size_t i = 0; i < ClientSockets::kMostCorked; ++i) sockets.List();
  EXPECT_THAT(sockets.List(), SizeIs(ClientSockets::kMostCorked));
}

TEST(CorkTest, ThoseThatComeAndGoDoNotPileUp) {
  ClientSockets sockets;
  for (int i = 0; i < 1000; ++i) sockets.Add(Connection().near());
  EXPECT_LE(sockets.count(), 2u);
}

// How many packets with data a socket has sent.
uint32_t PacketsSentBy(int socket) {
  tcp_info info = {};
  socklen_t size = sizeof info;
  EXPECT_EQ(getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  return info.tcpi_data_segs_out;
}

TEST(CorkTest, AnswersThatComeTogetherLeaveTogether) {
  constexpr int kCalls = 64;
  TestingServer server;
  const auto stub = server.Stub();
  std::vector<std::thread> callers;
  std::vector<int64_t> answers(kCalls, -1);
  for (int i = 0; i < kCalls; ++i) {
    callers.emplace_back([&, i] {
      grpc::ClientContext context;
      pb::Answer answer;
      if (stub->Unary(&context, MakeAsk(i, "wait"), &answer).ok())
        answers[static_cast<size_t>(i)] = answer.number();
    });
  }
  ASSERT_TRUE(server.service.gate.AwaitWaiting(kCalls));
  const ClientSockets::Few sockets = server.server.client_sockets().List();
  ASSERT_THAT(sockets, SizeIs(1));
  const uint32_t before = PacketsSentBy(sockets[0]);
  // The loop is kept busy until all may answer.
  Notification busy;
  Notification opened;

  struct Hold : Job {
    Hold(Notification& its_busy, Notification& its_opened)
        : Job([](Job* job) {
            static_cast<Hold*>(job)->busy.Notify();
            static_cast<Hold*>(job)->opened.WaitForNotification();
          }),
          busy(its_busy),
          opened(its_opened) {}

    Notification& busy;
    Notification& opened;
  } hold(busy, opened);

  server.server.executor().Post(&hold);
  busy.WaitForNotification();
  server.service.gate.Open();
  opened.Notify();
  for (std::thread& caller : callers) caller.join();
  for (int i = 0; i < kCalls; ++i) EXPECT_EQ(answers[static_cast<size_t>(i)], i);
  EXPECT_LT(PacketsSentBy(sockets[0]) - before, kCalls / 4);
}

}  // namespace
}  // namespace sluice::rpc
