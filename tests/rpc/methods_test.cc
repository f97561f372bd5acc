// The four kinds of method, and every way in which a call can end early.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"

#include "tests/rpc/testing_server.h"

namespace sluice::rpc {
namespace {

google::rpc::ErrorInfo InfoOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  google::rpc::ErrorInfo info;
  EXPECT_GE(details.details_size(), 1);
  if (details.details_size() > 0) EXPECT_TRUE(details.details(0).UnpackTo(&info));
  return info;
}

TEST(Methods, UnaryAnswers) {
  TestingServer server;
  const auto stub = server.Stub();
  for (int i = 0; i < 100; ++i) {
    grpc::ClientContext context;
    pb::Answer answer;
    const grpc::Status status = stub->Unary(&context, MakeAsk(i), &answer);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(answer.number(), i);
  }
}

TEST(Methods, AReplysRowsArriveWholeHoweverLarge) {
  TestingServer server;
  const auto stub = server.Stub();
  for (const int64_t size : {0, 1, 16'000, 16'384, 16'385, 5'000'000, 64 << 20}) {
    grpc::ClientContext context;
    pb::Answer answer;
    const grpc::Status status = stub->Unary(&context, MakeAsk(size, "large"), &answer);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(answer.number(), size);
    ASSERT_EQ(answer.body().size(), static_cast<size_t>(size));
    EXPECT_EQ(answer.body().find_first_not_of('x'), std::string::npos);
  }
}

TEST(Methods, AnErrorCarriesItsDetails) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext context;
  pb::Answer answer;
  const grpc::Status status = stub->Unary(&context, MakeAsk(1, "fail"), &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const google::rpc::ErrorInfo info = InfoOf(status);
  EXPECT_EQ(info.reason(), "PARAMETER_INVALID");
  EXPECT_EQ(info.domain(), "sluice");
  EXPECT_EQ(info.metadata().at("executed"), "no");
}

TEST(Methods, ServerStreamGivesAllMessagesInOrder) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext context;
  const auto reader = stub->Count(&context, MakeAsk(5'000));
  pb::Answer answer;
  int64_t expected = 0;
  while (reader->Read(&answer)) EXPECT_EQ(answer.number(), expected++);
  EXPECT_EQ(expected, 5'000);
  EXPECT_TRUE(reader->Finish().ok());
}

TEST(Methods, ClientStreamReadsUntilTheClientIsDone) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext context;
  pb::Answer answer;
  const auto writer = stub->Sum(&context, &answer);
  for (int i = 1; i <= 1'000; ++i) ASSERT_TRUE(writer->Write(MakeAsk(i)));
  writer->WritesDone();
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_EQ(answer.number(), 500'500);
}

TEST(Methods, ClientStreamMayFailBeforeTheClientIsDone) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext context;
  pb::Answer answer;
  const auto writer = stub->Sum(&context, &answer);
  writer->Write(MakeAsk(1, "fail"));
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(Methods, BidirectionalStreamAnswersWhileItReads) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext context;
  const auto stream = stub->Echo(&context);
  pb::Answer answer;
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(stream->Write(MakeAsk(i)));
    ASSERT_TRUE(stream->Read(&answer));
    EXPECT_EQ(answer.number(), i);
  }
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(Methods, ManyCallsAtOnceFromManyChannels) {
  TestingServer server;
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&] {
      const auto stub = server.Stub();
      for (int i = 0; i < 200; ++i) {
        grpc::ClientContext context;
        pb::Answer answer;
        if (stub->Unary(&context, MakeAsk(i), &answer).ok() && answer.number() == i) ++good;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 1'600);
}

TEST(EarlyEnd, ClientCancelsAUnaryCall) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext context;
  pb::Answer answer;
  grpc::Status status;
  std::thread caller([&] { status = stub->Unary(&context, MakeAsk(1, "wait"), &answer); });
  ASSERT_TRUE(server.service.gate.AwaitWaiting(1));
  context.TryCancel();
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(absl::IsCancelled(server.service.AwaitEnd()));
}

TEST(EarlyEnd, TheCallersDeadlineReachesTheHandler) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  pb::Answer answer;
  const grpc::Status status = stub->Unary(&context, MakeAsk(1, "wait"), &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  const absl::Status ended = server.service.AwaitEnd();
  EXPECT_TRUE(absl::IsDeadlineExceeded(ended) || absl::IsCancelled(ended)) << ended;
}

TEST(EarlyEnd, TheServersOwnLimitEndsACallWithoutADeadline) {
  TestingServer server(ServerOptions(), absl::Milliseconds(100));
  const auto stub = server.Stub();
  grpc::ClientContext context;
  pb::Answer answer;
  const grpc::Status status = stub->Unary(&context, MakeAsk(1, "wait"), &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(InfoOf(status).reason(), "DEADLINE_PASSED");
  EXPECT_EQ(InfoOf(status).metadata().at("executed"), "rolled_back");
}

TEST(EarlyEnd, ALostConnectionStopsTheHandler) {
  TestingServer server;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<pb::Answer>> call;
  grpc::CompletionQueue queue;
  {
    auto stub = server.Stub();
    call = stub->AsyncUnary(&context, MakeAsk(1, "wait"), &queue);
    pb::Answer answer;
    grpc::Status status;
    call->Finish(&answer, &status, &queue);
    ASSERT_TRUE(server.service.gate.AwaitWaiting(1));
    context.TryCancel();
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
  }
  EXPECT_TRUE(absl::IsCancelled(server.service.AwaitEnd()));
}

TEST(EarlyEnd, ACancelledStreamStopsItsProducer) {
  TestingServer server;
  const auto stub = server.Stub();
  grpc::ClientContext context;
  const auto reader = stub->Count(&context, MakeAsk(1'000'000, "bulk"));
  pb::Answer answer;
  ASSERT_TRUE(reader->Read(&answer));
  context.TryCancel();
  EXPECT_FALSE(server.service.AwaitEnd().ok());
  EXPECT_LT(server.service.written, 1'000'000);
  while (reader->Read(&answer)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST(EarlyEnd, Fault37_AStreamWhoseClientTakesNothingIsEnded) {
  TestingServer server(ServerOptions(), absl::InfiniteDuration(), absl::Milliseconds(300));
  const auto stub = server.Stub();
  grpc::ClientContext context;
  const auto reader = stub->Count(&context, MakeAsk(1'000'000, "bulk"));
  // Nothing is read until the producer was told to stop: its window fills, and it holds what fits
  // there, no more.
  EXPECT_FALSE(server.service.AwaitEnd().ok());
  EXPECT_LT(server.service.written, 1'000);
  pb::Answer answer;
  while (reader->Read(&answer)) {
  }
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
}

TEST(EarlyEnd, Fault77_GarbageIsRefusedAndHarmless) {
  TestingServer server;
  const auto channel = server.Connect();
  grpc::GenericStub generic(channel);
  grpc::CompletionQueue queue;
  for (const std::string& bytes :
       {std::string("\xff\xff\xff\xff"), std::string(5'000, '\x0a'), std::string("\x08")}) {
    grpc::ClientContext context;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer reply;
    grpc::Status status;
    const auto call =
        generic.PrepareUnaryCall(&context, "/sluice.testing.Testing/Unary", request, &queue);
    call->StartCall();
    call->Finish(&reply, &status, &status);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL) << status.error_message();
    EXPECT_THAT(status.error_message(), ::testing::HasSubstr("Unable to parse"));
    EXPECT_EQ(InfoOf(status).metadata().at("executed"), "no");
  }
  grpc::ClientContext context;
  pb::Answer answer;
  EXPECT_TRUE(pb::Testing::NewStub(channel)->Unary(&context, MakeAsk(1), &answer).ok());
}

TEST(EarlyEnd, Fault77_NestingBeyondMeasureIsRefused) {
  TestingServer server;
  const auto stub = server.Stub();
  pb::Ask deep;
  pb::Ask* at = &deep;
  for (int i = 0; i < 5'000; ++i) at = at->mutable_inner();
  grpc::ClientContext context;
  pb::Answer answer;
  EXPECT_EQ(stub->Unary(&context, deep, &answer).error_code(), grpc::StatusCode::INTERNAL);
}

TEST(EarlyEnd, Fault77_ARequestBeyondTheLimitIsRefused) {
  ServerOptions options;
  options.max_request_bytes = 1 << 20;
  TestingServer server(std::move(options));
  const auto stub = server.Stub();
  grpc::ClientContext context;
  pb::Answer answer;
  EXPECT_EQ(stub->Unary(&context, MakeAsk(1, std::string(2 << 20, 'x')), &answer).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(Shedding, CallsBeyondTheLimitAreRefusedAtOnceAndCounted) {
  ServerOptions options;
  options.max_calls = 2;
  TestingServer server(std::move(options));
  const auto stub = server.Stub();
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&] {
      grpc::ClientContext context;
      pb::Answer answer;
      EXPECT_TRUE(stub->Unary(&context, MakeAsk(1, "wait"), &answer).ok());
    });
  }
  ASSERT_TRUE(server.service.gate.AwaitWaiting(2));
  grpc::ClientContext context;
  pb::Answer answer;
  const grpc::Status status = stub->Unary(&context, MakeAsk(1), &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(InfoOf(status).reason(), "SERVER_OVERLOADED");
  EXPECT_EQ(server.server.calls().shed(), 1);
  server.service.gate.Open();
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace sluice::rpc
