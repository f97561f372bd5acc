// How the server begins and ends: what is in flight is answered honestly, whatever happens.
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

#include "tests/rpc/testing_server.h"

namespace sluice::rpc {
namespace {

std::string ReasonIn(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  if (!details.ParseFromString(status.error_details()) || details.details_size() == 0) return "";
  return details.details(0).UnpackTo(&info) ? info.reason() + "/" + info.metadata().at("executed")
                                            : "";
}

TEST(Drain, Fault79_AUnaryCallInFlightIsFinished) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::Status status;
  std::thread caller([&] {
    grpc::ClientContext context;
    pb::Answer answer;
    status = stub->Unary(&context, MakeAsk(7, "wait"), &answer);
  });
  ASSERT_TRUE(server.service.gate.AwaitWaiting(1));
  std::thread drain([&] { server.server.Drain(absl::Seconds(30)); });
  while (!server.server.calls().draining()) std::this_thread::yield();
  server.service.gate.Open();
  drain.join();
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(Drain, Fault79_AStreamIsToldToEndAndNothingOfItIsLeftOpen) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext context;
  const auto reader = stub->Count(&context, MakeAsk(3, "wait"));
  pb::Answer answer;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(reader->Read(&answer));
  ASSERT_TRUE(server.service.gate.AwaitWaiting(1));
  server.server.Drain(absl::Seconds(30));  // returns long before that: nothing is left in flight
  EXPECT_FALSE(reader->Read(&answer));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonIn(status), "SERVER_DRAINING/no");
}

TEST(Drain, NewCallsAreRefusedAsCertainlyNotApplied) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext warm_up;
  pb::Answer answer;
  ASSERT_TRUE(stub->Unary(&warm_up, MakeAsk(1), &answer).ok());
  server.server.Drain(absl::ZeroDuration());
  grpc::ClientContext context;
  const grpc::Status status = stub->Unary(&context, MakeAsk(1), &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonIn(status), "SERVER_DRAINING/no");
}

TEST(Drain, WhatOutlastsTheGraceIsStoppedAndSaysWhatBecameOfIt) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::Status status;
  std::thread caller([&] {
    grpc::ClientContext context;
    pb::Answer answer;
    status = stub->Unary(&context, MakeAsk(7, "wait"), &answer);
  });
  ASSERT_TRUE(server.service.gate.AwaitWaiting(1));
  server.server.Drain(absl::Milliseconds(50));
  caller.join();
  EXPECT_EQ(status.error_code(),
            grpc::StatusCode::ABORTED);  // the handler says that it rolled back
  EXPECT_EQ(ReasonIn(status), "SERVER_DRAINING/rolled_back");
}

TEST(Drain, CallsThatWaitForTheirClientAreStoppedAndSayWhatBecameOfThem) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext sum_context, echo_context;
  pb::Answer answer;
  const auto sum = stub->Sum(&sum_context, &answer);
  const auto echo = stub->Echo(&echo_context);
  ASSERT_TRUE(sum->Write(MakeAsk(1)));
  ASSERT_TRUE(echo->Write(MakeAsk(1)));
  ASSERT_TRUE(echo->Read(&answer));
  while (server.server.calls().in_flight() < 2) std::this_thread::yield();
  server.server.Drain(absl::Milliseconds(50));
  for (const grpc::Status& status : {sum->Finish(), echo->Finish()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
    EXPECT_EQ(ReasonIn(status), "SERVER_DRAINING/rolled_back");
  }
}

TEST(Drain, Fault80_AHurryCutsTheGraceShort) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::Status status;
  std::thread caller([&] {
    grpc::ClientContext context;
    pb::Answer answer;
    status = stub->Unary(&context, MakeAsk(7, "wait"), &answer);
  });
  ASSERT_TRUE(server.service.gate.AwaitWaiting(1));
  std::thread drain([&] { server.server.Drain(absl::Hours(1)); });
  while (!server.server.calls().draining()) std::this_thread::yield();
  server.server.Hurry();
  drain.join();
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
}

TEST(Drain, Fault79_UnderLoadEveryCallEndsHonestly) {
  for (int round = 0; round < 5; ++round) {
    auto server = std::make_unique<TestingServer>();
    std::atomic<bool> stop{false};
    std::atomic<int> good{0}, refused{0}, odd{0};
    std::vector<std::thread> clients;
    for (int c = 0; c < 4; ++c) {
      clients.emplace_back([&, stub = server->Stub()] {
        while (!stop) {
          grpc::ClientContext context;
          context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
          pb::Answer answer;
          const grpc::Status status = stub->Unary(&context, MakeAsk(1), &answer);
          if (status.ok()) {
            ++good;
          } else if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
            ++refused;
          } else {
            ADD_FAILURE() << status.error_code() << " " << status.error_message();
            ++odd;
          }
        }
      });
    }
    while (good < 200) std::this_thread::yield();
    server->server.Drain(absl::Seconds(5));
    server->server.Shutdown();
    stop = true;
    for (std::thread& client : clients) client.join();
    server.reset();
    EXPECT_EQ(odd, 0);
    EXPECT_GT(good, 0);
  }
}

TEST(Start, Fault78_ASecondServerOnThePortIsRefused) {
  TestingServer first;
  ServerOptions options;
  options.listen = first.server.address();
  Server second(std::move(options));
  const absl::Status status = second.Start();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("address is in use"));
}

TEST(Start, Fault78_ASecondServerOnTheSocketIsRefusedAndTheFirstGoesOn) {
  const std::string path = ::testing::TempDir() + "/sluice-" + std::to_string(getpid()) + ".sock";
  ServerOptions options;
  options.listen = "unix:" + path;
  TestingServer first(options);
  Server second(options);
  const absl::Status status = second.Start();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("in use"));
  grpc::ClientContext context;
  pb::Answer answer;
  EXPECT_TRUE(first.Stub()->Unary(&context, MakeAsk(1), &answer).ok());
}

TEST(Start, AStaleSocketIsReplaced) {
  const std::string path =
      ::testing::TempDir() + "/sluice-stale-" + std::to_string(getpid()) + ".sock";
  ServerOptions options;
  options.listen = "unix:" + path;
  const pid_t child = fork();
  if (child == 0) {  // leaves its socket behind, as a killed server does
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    _exit(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  TestingServer server(options);
  grpc::ClientContext context;
  pb::Answer answer;
  EXPECT_TRUE(server.Stub()->Unary(&context, MakeAsk(1), &answer).ok());
}

TEST(Start, AMethodWithoutARouteIsRefused) {
  Server server{ServerOptions()};
  server.router().AddService<TestingServer::Raw>("sluice.testing.Testing");
  const absl::Status status = server.Start();
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("methods without a route: sluice.testing.Testing/Count"));
}

}  // namespace
}  // namespace sluice::rpc
