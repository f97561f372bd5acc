// Requests that come again, through the services that take a request_id.
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/services/store_fixture.h"

namespace sluice::services {
namespace {

using test::Fails;
using test::IsOk;

constexpr char kId[] = "123e4567-e89b-12d3-a456-426614174abc";

class RepeatTest : public StoreFixture {
 protected:
  static pb::QueryRequest Write(absl::string_view sql = "INSERT INTO item (name) VALUES ('item')") {
    pb::QueryRequest request = Request(sql);
    request.set_request_id(kId);
    return request;
  }

  static pb::ExecuteBatchRequest Batched(pb::BatchMode mode, std::vector<std::string> statements) {
    pb::ExecuteBatchRequest request;
    request.set_connection_id("default");
    request.set_mode(mode);
    request.set_request_id(kId);
    for (std::string& sql : statements) request.add_steps()->set_sql(std::move(sql));
    return request;
  }

  static pb::BulkInsertRequest KeyedHeader(pb::BatchMode mode = pb::BATCH_MODE_ATOMIC) {
    pb::BulkInsertRequest first = Header(mode);
    first.set_request_id(kId);
    return first;
  }

  void ExpectReused(const absl::Status& status) {
    EXPECT_THAT(status, Fails(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
    const errors::Parts parts = errors::PartsOf(status);
    ASSERT_EQ(parts.fields.size(), 1U);
    EXPECT_EQ(parts.fields[0].first, "request_id");
  }
};

template <class Response>
std::string WithoutTime(Response response) {
  response.clear_elapsed();
  return response.SerializeAsString();
}

TEST_F(RepeatTest, Fault43_ARepeatedWriteAnswersWhatTheFirstOneDid) {
  pb::QueryRequest request =
      Write("INSERT INTO item (name) VALUES ('a'), ('b') RETURNING id, name");
  const auto first = Query(request);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(Query("INSERT INTO item VALUES (50, 'meanwhile')"), IsOk());
  (*request.mutable_labels())["attempt"] = "2";
  request.mutable_retry()->set_max_attempts(1);
  const auto second = Query(request);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->rows_size(), 2);
  EXPECT_EQ(second->command_tag(), "INSERT 0 2");
  EXPECT_EQ(WithoutTime(*second), WithoutTime(*first));
  EXPECT_EQ(Count(), 3);
}

TEST_F(RepeatTest, AnIdIsThatOfOneRequest) {
  ASSERT_THAT(Query(Write()), IsOk());
  ExpectReused(Query(Write("DELETE FROM item")).status());
  pb::QueryRequest bounded = Write();
  bounded.set_max_affected_rows(1);
  ExpectReused(Query(bounded).status());
  ExpectReused(
      Batch(Batched(pb::BATCH_MODE_ATOMIC, {"INSERT INTO item (name) VALUES ('item')"})).status());
  ExpectReused(Load({KeyedHeader(), Items({5})}).status());

  pb::StreamQueryRequest stream;
  ASSERT_TRUE(stream.ParseFromString(Write().SerializeAsString()));
  CollectingSink<pb::StreamQueryResponse> sink;
  ExpectReused(executor_.Run(queries_.StreamQuery(ctx_, stream, sink)));
  EXPECT_TRUE(sink.messages.empty());
  EXPECT_EQ(Count(), 1);
}

TEST_F(RepeatTest, AnotherConnectionKnowsNothingOfIt) {
  pb::QueryRequest request = Write();
  ASSERT_THAT(Query(request), IsOk());
  request.set_connection_id("second");
  ASSERT_THAT(Query(request), IsOk());
  EXPECT_EQ(Count(), 2);
  ASSERT_THAT(Query(request), IsOk());
  EXPECT_EQ(Count(), 2);
}

TEST_F(RepeatTest, WhatFailedMayBeSentAgain) {
  pb::QueryRequest request = Write("INSERT INTO item VALUES (1, 'item')");
  ASSERT_THAT(Query("INSERT INTO item VALUES (1, 'in the way')"), IsOk());
  EXPECT_THAT(Query(request), Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR"));
  request.set_max_affected_rows(1);
  request.set_sql("INSERT INTO item VALUES (2, 'item'), (3, 'item')");
  EXPECT_THAT(Query(request),
              Fails(absl::StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  request.set_max_affected_rows(2);
  EXPECT_THAT(Query(request), IsOk()) << "other content than the failed ones', too";
  EXPECT_EQ(Count(), 3);
}

TEST_F(RepeatTest, ALongAnswerIsNotKeptButAShorterOneIs) {
  constexpr char kLong[] = "INSERT INTO item (name) VALUES ('x') RETURNING zeroblob(65536)";
  ASSERT_THAT(Query(Write(kLong)), IsOk());
  const auto repeat = Query(Write(kLong));
  EXPECT_THAT(repeat, Fails(absl::StatusCode::kFailedPrecondition, "REPLAY_TOO_LARGE"));
  EXPECT_EQ(errors::MetadataOf(repeat.status(), "outcome"), "committed");
  EXPECT_EQ(Count(), 1);

  pb::QueryRequest shorter =
      Write("INSERT INTO item (name) VALUES ('x') RETURNING zeroblob(65000)");
  shorter.set_request_id("00000000-0000-0000-0000-000000000001");
  ASSERT_THAT(Query(shorter), IsOk());
  const auto again = Query(shorter);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->rows(0).values(0).bytes_value().size(), 65000U);
  EXPECT_EQ(Count(), 2);
}

TEST_F(RepeatTest, AReadIsRunAgain) {
  const pb::QueryRequest request = Write("SELECT count(*) FROM item");
  EXPECT_EQ(Query(request)->rows(0).values(0).int64_value(), 0);
  ASSERT_THAT(Query("INSERT INTO item VALUES (1, 'item')"), IsOk());
  EXPECT_EQ(Query(request)->rows(0).values(0).int64_value(), 1);

  const pb::ExecuteBatchRequest batch =
      Batched(pb::BATCH_MODE_ATOMIC, {"SELECT count(*) AS n FROM item"});
  EXPECT_EQ(Batch(batch)->results(0).rows(0).values(0).int64_value(), 1);
  ASSERT_THAT(Query("INSERT INTO item VALUES (2, 'item')"), IsOk());
  EXPECT_EQ(Batch(batch)->results(0).rows(0).values(0).int64_value(), 2);
}

TEST_F(RepeatTest, ATrialNeitherUsesAnIdNorMeetsIt) {
  pb::QueryRequest query = Write();
  pb::ExecuteBatchRequest batch =
      Batched(pb::BATCH_MODE_ATOMIC, {"INSERT INTO item (name) VALUES ('item')"});
  pb::BulkInsertRequest atomic = Items({10}, KeyedHeader());
  pb::BulkInsertRequest apart = Items({11}, KeyedHeader(pb::BATCH_MODE_CONTINUE));
  query.set_validate_only(true);
  batch.set_validate_only(true);
  atomic.set_validate_only(true);
  apart.set_validate_only(true);
  for (const bool used : {false, true}) {
    if (used) {
      ASSERT_THAT(Query(Write()), IsOk());
    }
    EXPECT_THAT(Query(query), IsOk());
    EXPECT_THAT(Batch(batch), IsOk());
    EXPECT_THAT(Load({atomic}), IsOk());
    const auto load = Load({apart});
    ASSERT_THAT(load, IsOk());
    EXPECT_FALSE(load->chunks(0).has_error());
    EXPECT_EQ(Count(), used ? 1 : 0);
  }
}

TEST_F(RepeatTest, AStreamIsRepeatedAsItWas) {
  pb::StreamQueryRequest request;
  request.set_connection_id("default");
  request.set_sql("INSERT INTO item (name) VALUES ('a'), ('b') RETURNING id");
  request.set_request_id(kId);
  CollectingSink<pb::StreamQueryResponse> first;
  ASSERT_THAT(executor_.Run(queries_.StreamQuery(ctx_, request, first)), IsOk());
  CollectingSink<pb::StreamQueryResponse> second;
  ASSERT_THAT(executor_.Run(queries_.StreamQuery(ctx_, request, second)), IsOk());
  ASSERT_EQ(second.messages.size(), first.messages.size());
  for (size_t i = 0; i < first.messages.size(); ++i) {
    EXPECT_EQ(WithoutTime(second.messages[i]), WithoutTime(first.messages[i]));
  }
  EXPECT_EQ(second.messages.back().row_count(), 2);
  EXPECT_EQ(Count(), 2);
}

TEST_F(RepeatTest, ABatchIsRepeatedWithTheFailuresOfItsSteps) {
  const pb::ExecuteBatchRequest request = Batched(
      pb::BATCH_MODE_CONTINUE, {"INSERT INTO item VALUES (1, 'item')",
                                "INSERT INTO item VALUES (1, 'again')", "SELECT name FROM item"});
  const auto first = Batch(request);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->failed(), 1);
  ASSERT_THAT(Query("UPDATE item SET name = 'changed'"), IsOk());
  const auto second = Batch(request);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->results(1).error().reason(), "SQL_ERROR");
  EXPECT_EQ(second->results(2).rows(0).values(0).string_value(), "item");
  EXPECT_EQ(second->results(1).error().SerializeAsString().size(),
            first->results(1).error().SerializeAsString().size());
  EXPECT_EQ(Count(), 1);
  ExpectReused(Batch(Batched(pb::BATCH_MODE_STOP_ON_ERROR, {"DELETE FROM item"})).status());
}

TEST_F(RepeatTest, AnAtomicBatchThatFailedMayBeSentAgain) {
  const pb::ExecuteBatchRequest request =
      Batched(pb::BATCH_MODE_ATOMIC,
              {"INSERT INTO item VALUES (1, 'item')", "INSERT INTO item VALUES (2, 'item')"});
  ASSERT_THAT(Query("INSERT INTO item VALUES (2, 'in the way')"), IsOk());
  EXPECT_THAT(Batch(request), Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR"));
  ASSERT_THAT(Query("DELETE FROM item"), IsOk());
  EXPECT_EQ(Batch(request)->rows_affected(), 2);
  EXPECT_EQ(Batch(request)->rows_affected(), 2);
  EXPECT_EQ(Count(), 2);
}

TEST_F(RepeatTest, AnAtomicLoadIsRepeatedAsAWhole) {
  pb::BulkInsertRequest first = KeyedHeader();
  ASSERT_THAT(Load({first, Items({1, 2}), Items({3})}), IsOk());
  (*first.mutable_labels())["attempt"] = "2";
  const auto repeat = Load({first, Items({1, 2}), Items({3})});
  ASSERT_THAT(repeat, IsOk());
  EXPECT_EQ(repeat->rows_received(), 3);
  EXPECT_EQ(repeat->rows_affected(), 3);
  ASSERT_EQ(repeat->chunks_size(), 2);
  EXPECT_TRUE(repeat->chunks(0).replayed());
  EXPECT_EQ(repeat->chunks(0).rows(), 2);
  EXPECT_TRUE(repeat->chunks(1).replayed());

  ExpectReused(Load({first, Items({1, 2}), Items({4})}).status());
  ExpectReused(Load({first, Items({1, 2})}).status());
  ExpectReused(Load({first, Items({1, 2, 3})}).status());
  EXPECT_EQ(Count(), 3);
}

TEST_F(RepeatTest, ALoadByChunkThatBrokeOffIsCompletedByItsRepeat) {
  pb::BulkInsertRequest first = KeyedHeader(pb::BATCH_MODE_CONTINUE);
  first.set_on_conflict(pb::CONFLICT_ACTION_SKIP);
  ASSERT_THAT(Query("INSERT INTO item VALUES (2, 'there')"), IsOk());
  ListSource broken({first, Items({1, 2}), Items({3})}, /*breaks_off=*/true);
  EXPECT_EQ(Load(broken).status().code(), absl::StatusCode::kCancelled);
  ASSERT_THAT(Query("DELETE FROM item WHERE id = 1"), IsOk());

  const auto whole = Load({first, Items({1, 2}), Items({3}), Items({4})});
  ASSERT_THAT(whole, IsOk());
  ASSERT_EQ(whole->chunks_size(), 3);
  EXPECT_TRUE(whole->chunks(0).replayed());
  EXPECT_EQ(whole->chunks(0).rows_affected(), 1);
  EXPECT_FALSE(whole->chunks(2).replayed());
  EXPECT_EQ(whole->rows_affected(), 3);
  EXPECT_EQ(whole->rows_skipped(), 1);
  EXPECT_EQ(Number("SELECT count(*) FROM item WHERE id = 1"), 0) << "it was not inserted again";
  EXPECT_EQ(Number("SELECT count(*) FROM item WHERE id IN (3, 4)"), 2);
}

TEST_F(RepeatTest, AnIdOfALoadByChunkIsTakenForAnythingWhole) {
  ASSERT_THAT(Load({Items({1}, KeyedHeader(pb::BATCH_MODE_CONTINUE))}), IsOk());
  ExpectReused(Query(Write()).status());
  ExpectReused(
      Batch(Batched(pb::BATCH_MODE_ATOMIC, {"INSERT INTO item VALUES (9, 'nine')"})).status());
  ExpectReused(Load({Items({1}, KeyedHeader())}).status());
  EXPECT_EQ(Count(), 1);
}

TEST_F(RepeatTest, AnIdOfSomethingWholeIsTakenForALoadByChunk) {
  ASSERT_THAT(Query(Write()), IsOk());
  const auto response = Load({Items({5}, KeyedHeader(pb::BATCH_MODE_CONTINUE))});
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->chunks_failed(), 1);
  EXPECT_EQ(response->chunks(0).error().reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(Count(), 1);
}

TEST_F(RepeatTest, AWriteThatCompilesNoLongerHasItsAnswer) {
  const pb::QueryRequest create = Write("CREATE TABLE once (x)");
  ASSERT_THAT(Query(create), IsOk());
  EXPECT_THAT(Query(create), IsOk());
}

TEST_F(RepeatTest, AChunkWithOtherRowsIsRefusedByItself) {
  const pb::BulkInsertRequest first = KeyedHeader(pb::BATCH_MODE_CONTINUE);
  ASSERT_THAT(Load({first, Items({1}), Items({2})}), IsOk());
  const auto repeat = Load({first, Items({1}), Items({3})});
  ASSERT_THAT(repeat, IsOk());
  EXPECT_TRUE(repeat->chunks(0).replayed());
  EXPECT_EQ(repeat->chunks(1).error().reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(Count(), 2);
}

}  // namespace
}  // namespace sluice::services
