#include "server/services/bulk_service.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/services/store_fixture.h"

namespace sluice::services {
namespace {

using test::Fails;
using test::IsOk;
using test::WasExecuted;

constexpr pb::BatchMode kModes[] = {pb::BATCH_MODE_ATOMIC, pb::BATCH_MODE_STOP_ON_ERROR,
                                    pb::BATCH_MODE_CONTINUE};

class BulkServiceTest : public StoreFixture {
 protected:
  // The field that a load with this first message, and a row, is refused for.
  std::string Refused(const pb::BulkInsertRequest& first) {
    return InvalidField(Load({Items({1}, first)}).status());
  }

  // The field that is not built yet, or what else is said.
  std::string NotBuilt(const pb::BulkInsertRequest& first) {
    const absl::Status status = Load({first}).status();
    if (status.code() != absl::StatusCode::kUnimplemented) return status.ToString();
    EXPECT_EQ(errors::ReasonOf(status), "FIELD_NOT_IMPLEMENTED");
    return errors::MetadataOf(status, "field");
  }

  // A row whose name is missing: it breaks NOT NULL.
  static pb::BulkInsertRequest Nameless(int64_t id) {
    pb::BulkInsertRequest message;
    pb::Row& row = *message.add_rows();
    row.add_values()->set_int64_value(id);
    row.add_values()->set_null_value(google::protobuf::NULL_VALUE);
    return message;
  }

  // A row whose name is a list in lists, `depth` deep.
  static pb::BulkInsertRequest Nested(int depth) {
    pb::BulkInsertRequest message = Items({1});
    pb::Value* value = message.mutable_rows(0)->mutable_values(1);
    for (int i = 1; i < depth; ++i) value = value->mutable_array_value()->add_values();
    value->set_int64_value(1);
    return message;
  }
};

// The first message.

TEST_F(BulkServiceTest, TheFirstMessageNamesTheConnectionAndTheTable) {
  EXPECT_EQ(InvalidField(Load(std::vector<pb::BulkInsertRequest>()).status()), "table");
  pb::BulkInsertRequest first = Header();
  first.clear_table();
  EXPECT_EQ(Refused(first), "table");
  first = Header();
  first.clear_connection_id();
  EXPECT_EQ(Refused(first), "connection_id");
  first.set_connection_id("other");
  EXPECT_THAT(Load({first}), Fails(absl::StatusCode::kNotFound, "CONNECTION_NOT_FOUND"));
  first.set_connection_id("guarded");
  EXPECT_THAT(Load({first}), Fails(absl::StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
}

TEST_F(BulkServiceTest, ItsFieldsHaveBounds) {
  pb::BulkInsertRequest first = Header();
  first.set_max_affected_rows(-1);
  EXPECT_EQ(Refused(first), "max_affected_rows");
  EXPECT_EQ(Refused(Header(static_cast<pb::BatchMode>(4))), "mode");
  first = Header();
  first.set_on_conflict(static_cast<pb::ConflictAction>(4));
  EXPECT_EQ(Refused(first), "on_conflict");
  first = Header();
  first.set_request_id("once");
  EXPECT_EQ(Refused(first), "request_id");
  first = Header();
  (*first.mutable_labels())[std::string(65, 'k')] = "v";
  EXPECT_EQ(Refused(first), "labels[\"" + std::string(64, 'k') + "\"]");
  for (const auto action :
       {pb::CONFLICT_ACTION_UNSPECIFIED, pb::CONFLICT_ACTION_FAIL, pb::CONFLICT_ACTION_SKIP}) {
    first = Header();
    first.add_conflict_columns("id");
    first.set_on_conflict(action);
    EXPECT_EQ(Refused(first), "conflict_columns");
  }
  EXPECT_EQ(Count(), 0);
}

TEST_F(BulkServiceTest, WhatIsNotBuiltYetIsNamed) {
  pb::BulkInsertRequest first = Header();
  first.mutable_session();
  EXPECT_EQ(NotBuilt(first), "session");
}

TEST_F(BulkServiceTest, ATableThatIsNotThereIsNotFoundAndTheNearestNamed) {
  pb::BulkInsertRequest first = Header();
  first.set_table("itme");
  const auto load = Load({Items({1}, first)});
  EXPECT_THAT(load, Fails(absl::StatusCode::kNotFound, "TABLE_NOT_FOUND"));
  EXPECT_EQ(errors::MetadataOf(load.status(), "nearest"), "item");

  first.set_mode(pb::BATCH_MODE_CONTINUE);
  const auto apart = Load({Items({1}, first)});
  ASSERT_THAT(apart, IsOk());
  EXPECT_EQ(apart->chunks(0).error().code(), static_cast<int>(absl::StatusCode::kNotFound));
  EXPECT_EQ(apart->chunks(0).error().reason(), "TABLE_NOT_FOUND");

  first = Header();
  first.set_schema("temp");
  EXPECT_THAT(Load({Items({1}, first)}), Fails(absl::StatusCode::kNotFound, "TABLE_NOT_FOUND"));
  first.set_schema("main");
  EXPECT_THAT(Load({Items({1}, first)}), IsOk());
}

TEST_F(BulkServiceTest, ColumnsAreThoseOfTheTableEachOnce) {
  pb::BulkInsertRequest first = Header();
  first.add_columns("name");
  first.add_columns("size");
  EXPECT_EQ(Refused(first), "columns[1]");
  first.set_columns(1, "NAME");
  EXPECT_EQ(Refused(first), "columns[1]");
  first.set_columns(1, "id");
  pb::BulkInsertRequest swapped = first;
  swapped.add_rows()->add_values()->set_string_value("seven");
  swapped.mutable_rows(0)->add_values()->set_int64_value(7);
  EXPECT_THAT(Load({swapped}), IsOk());
  EXPECT_EQ(Number("SELECT id FROM item WHERE name = 'seven'"), 7);
}

TEST_F(BulkServiceTest, WhatTheDatabaseComputesIsNotGiven) {
  ASSERT_THAT(Query("CREATE TABLE sum (a INTEGER, b INTEGER AS (a + 1), c INTEGER)"), IsOk());
  pb::BulkInsertRequest first = Header();
  first.set_table("sum");
  pb::BulkInsertRequest rows = first;
  rows.add_rows()->add_values()->set_int64_value(1);
  rows.mutable_rows(0)->add_values()->set_int64_value(5);
  EXPECT_THAT(Load({rows}), IsOk());
  EXPECT_EQ(Number("SELECT a + b + c FROM sum"), 8);
  first.add_columns("b");
  EXPECT_EQ(Refused(first), "columns[0]");
  first.clear_columns();
  first.set_on_conflict(pb::CONFLICT_ACTION_UPDATE);
  EXPECT_EQ(Refused(first), "conflict_columns") << "the table has no primary key";
}

// Rows.

TEST_F(BulkServiceTest, RowsComeInAnyMessageAndAreCountedByChunk) {
  for (const pb::BatchMode mode : kModes) {
    const auto load = Load({Header(mode), Items({1, 2}), pb::BulkInsertRequest(), Items({3})});
    ASSERT_THAT(load, IsOk());
    EXPECT_EQ(load->rows_received(), 3);
    EXPECT_EQ(load->rows_affected(), 3);
    EXPECT_EQ(load->rows_skipped(), 0);
    EXPECT_EQ(load->chunk_count(), 2) << "messages without rows are no chunks";
    EXPECT_EQ(load->chunks_failed(), 0);
    ASSERT_EQ(load->chunks_size(), 2);
    EXPECT_EQ(load->chunks(0).chunk(), 0);
    EXPECT_EQ(load->chunks(0).rows(), 2);
    EXPECT_EQ(load->chunks(1).chunk(), 1);
    EXPECT_EQ(load->chunks(1).rows_affected(), 1);
    EXPECT_FALSE(load->chunks(1).replayed());
    EXPECT_TRUE(load->has_elapsed());
    EXPECT_FALSE(load->has_transaction());
    EXPECT_EQ(Number("SELECT sum(id) FROM item"), 6);
    ASSERT_THAT(Query("DELETE FROM item"), IsOk());
  }
}

TEST_F(BulkServiceTest, TheFirstMessageMayCarryRows) {
  const auto load = Load({Items({1}, Header()), Items({2})});
  ASSERT_THAT(load, IsOk());
  EXPECT_EQ(load->chunk_count(), 2);
  EXPECT_EQ(Count(), 2);
}

TEST_F(BulkServiceTest, ALoadWithoutRowsSucceeds) {
  for (const pb::BatchMode mode : kModes) {
    const auto load = Load({Header(mode)});
    ASSERT_THAT(load, IsOk());
    EXPECT_EQ(load->rows_received(), 0);
    EXPECT_EQ(load->chunk_count(), 0);
    EXPECT_EQ(load->chunks_size(), 0);
  }
}

TEST_F(BulkServiceTest, FieldsOfTheFirstMessageAreRefusedInALaterOne) {
  const auto load = Load({Items({1}, Header()), Items({2}, Header(pb::BATCH_MODE_UNSPECIFIED))});
  EXPECT_EQ(InvalidField(load.status()), "connection_id");
  EXPECT_THAT(load, WasExecuted("rolled_back"));
  EXPECT_EQ(Count(), 0);

  pb::BulkInsertRequest later = Items({2});
  (*later.mutable_labels())["k"] = "v";
  EXPECT_EQ(InvalidField(Load({Header(), later}).status()), "labels");
  EXPECT_THAT(Load({Header(), later}), WasExecuted("no"));
}

TEST_F(BulkServiceTest, WhatIsOutOfPlaceEndsALoadByChunkWithoutUndoingIt) {
  const auto load =
      Load({Header(pb::BATCH_MODE_CONTINUE), Items({1}), Items({2}), Header(), Items({3})});
  EXPECT_EQ(InvalidField(load.status()), "connection_id");
  EXPECT_THAT(load, WasExecuted("unknown"));
  EXPECT_EQ(Number("SELECT count(*) FROM item WHERE id = 3"), 0);
}

TEST_F(BulkServiceTest, ARowWithAnotherNumberOfValuesIsNamed) {
  pb::BulkInsertRequest message = Items({2, 3});
  message.mutable_rows(1)->mutable_values()->RemoveLast();
  const auto load = Load({Header(), Items({1}), message});
  EXPECT_EQ(InvalidField(load.status()), "rows");
  EXPECT_EQ(errors::MetadataOf(load.status(), "row"), "2");
  EXPECT_THAT(load, WasExecuted("rolled_back"));
  EXPECT_EQ(Count(), 0);

  message.mutable_rows(1)->add_values();
  message.mutable_rows(1)->add_values();
  const auto apart = Load({Header(pb::BATCH_MODE_CONTINUE), Items({1}), message});
  ASSERT_THAT(apart, IsOk());
  EXPECT_EQ(apart->chunks(1).error().reason(), "PARAMETER_INVALID");
  EXPECT_EQ(apart->chunks(1).error().metadata().at("row"), "2");
  EXPECT_EQ(Count(), 1);
}

TEST_F(BulkServiceTest, AValueThatIsNestedTooDeepIsNamedWithItsRow) {
  const auto deep = Load({Header(), Items({5, 6}), Nested(33)});
  EXPECT_EQ(InvalidField(deep.status()), "rows[0]");
  EXPECT_EQ(errors::MetadataOf(deep.status(), "row"), "2");
  EXPECT_THAT(deep, WasExecuted("rolled_back"));
  EXPECT_EQ(InvalidField(Load({Header(), Nested(32)}).status()), "rows")
      << "not too deep, but no list has a place here";
  EXPECT_EQ(Count(), 0);
}

// Modes.

TEST_F(BulkServiceTest, AnAtomicLoadFailsAsOneAndIsReadNoFurther) {
  std::vector<pb::BulkInsertRequest> messages = {Header(pb::BATCH_MODE_UNSPECIFIED), Items({1, 2}),
                                                 Items({3, 1})};
  for (int64_t id = 10; id < 30; ++id) messages.push_back(Items({id}));
  ListSource source(messages);
  const auto load = Load(source);
  EXPECT_THAT(load, Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR"));
  EXPECT_THAT(load, WasExecuted("rolled_back"));
  EXPECT_EQ(errors::MetadataOf(load.status(), "row"), "3");
  EXPECT_LT(source.taken(), messages.size());
  EXPECT_EQ(Count(), 0);
}

TEST_F(BulkServiceTest, StopOnErrorEndsWithItsFirstFailedChunk) {
  std::vector<pb::BulkInsertRequest> messages = {Header(pb::BATCH_MODE_STOP_ON_ERROR),
                                                 Items({1, 2}), Items({3, 1})};
  for (int64_t id = 10; id < 30; ++id) messages.push_back(Items({id}));
  ListSource source(messages);
  const auto load = Load(source);
  ASSERT_THAT(load, IsOk());
  EXPECT_LT(source.taken(), messages.size());
  EXPECT_EQ(load->chunks_failed(), 1);
  EXPECT_EQ(load->rows_affected(), 2);
  ASSERT_EQ(load->chunks_size(), 2) << "what was not reached has no outcome";
  EXPECT_EQ(load->chunks(1).error().code(), static_cast<int>(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(load->chunks(1).error().metadata().at("row"), "3");
  EXPECT_EQ(load->chunks(1).rows(), 2);
  EXPECT_EQ(load->chunks(1).rows_affected(), 0);
  EXPECT_EQ(Count(), 2);
}

TEST_F(BulkServiceTest, ContinueInsertsEveryChunkThatCanBe) {
  const auto load = Load({Header(pb::BATCH_MODE_CONTINUE), Items({1}), Nameless(2), Items({3})});
  ASSERT_THAT(load, IsOk());
  EXPECT_EQ(load->chunk_count(), 3);
  EXPECT_EQ(load->chunks_failed(), 1);
  EXPECT_EQ(load->rows_received(), 3);
  EXPECT_EQ(load->rows_affected(), 2);
  EXPECT_FALSE(load->chunks(0).has_error());
  const pb::StepError& error = load->chunks(1).error();
  EXPECT_EQ(error.code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(error.metadata().at("row"), "1");
  EXPECT_EQ(error.metadata().at("executed"), "rolled_back");
  EXPECT_EQ(error.sql().column(), "name");
  EXPECT_FALSE(load->chunks(2).has_error());
}

TEST_F(BulkServiceTest, AThousandOutcomesAreListedAndAThousandFailuresBeyond) {
  pb::BulkInsertRequest first = Header(pb::BATCH_MODE_CONTINUE);
  first.set_validate_only(true);
  std::vector<pb::BulkInsertRequest> messages = {first};
  for (int64_t i = 0; i < 1000; ++i) messages.push_back(i % 2 == 0 ? Items({i}) : Nameless(i));
  for (int64_t i = 0; i < 1001; ++i) messages.push_back(Nameless(i));
  messages.insert(messages.begin() + 1002, Items({1}));
  const auto load = Load(messages);
  ASSERT_THAT(load, IsOk());
  EXPECT_EQ(load->chunk_count(), 2002);
  EXPECT_EQ(load->chunks_failed(), 1501);
  ASSERT_EQ(load->chunks_size(), 2000);
  EXPECT_EQ(load->chunks(999).chunk(), 999);
  EXPECT_EQ(load->chunks(1000).chunk(), 1000);
  EXPECT_EQ(load->chunks(1001).chunk(), 1002) << "a success beyond the first thousand";
  EXPECT_EQ(load->chunks(1999).chunk(), 2000);
  EXPECT_EQ(load->chunks(1999).error().metadata().at("row"), "2000");
}

// Keys that are taken.

TEST_F(BulkServiceTest, ATakenKeyFailsIsSkippedOrUpdated) {
  ASSERT_THAT(Load({Items({1}, Header())}), IsOk());
  pb::BulkInsertRequest first = Header();
  first.set_on_conflict(pb::CONFLICT_ACTION_FAIL);
  EXPECT_THAT(Load({Items({1}, first)}), Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR"));

  first.set_on_conflict(pb::CONFLICT_ACTION_SKIP);
  const auto skipped = Load({Items({1, 2}, first), Items({2, 3})});
  ASSERT_THAT(skipped, IsOk());
  EXPECT_EQ(skipped->rows_received(), 4);
  EXPECT_EQ(skipped->rows_affected(), 2);
  EXPECT_EQ(skipped->rows_skipped(), 2);

  first.set_on_conflict(pb::CONFLICT_ACTION_UPDATE);
  pb::BulkInsertRequest changed = Items({1}, first);
  changed.mutable_rows(0)->mutable_values(1)->set_string_value("changed");
  const auto updated = Load({changed});
  ASSERT_THAT(updated, IsOk());
  EXPECT_EQ(updated->rows_affected(), 1);
  EXPECT_EQ(updated->rows_skipped(), 0);
  EXPECT_EQ(Number("SELECT id FROM item WHERE name = 'changed'"), 1);
}

TEST_F(BulkServiceTest, AnotherKeyThanThePrimaryOneMayBeNamed) {
  ASSERT_THAT(Query("CREATE UNIQUE INDEX by_name ON item (name)"), IsOk());
  ASSERT_THAT(Load({Items({1}, Header())}), IsOk());
  pb::BulkInsertRequest first = Header();
  first.set_on_conflict(pb::CONFLICT_ACTION_UPDATE);
  first.add_conflict_columns("name");
  ASSERT_THAT(Load({Items({5}, first)}), IsOk());
  EXPECT_EQ(Number("SELECT id FROM item"), 5);
}

// Bounds and trials.

TEST_F(BulkServiceTest, ALoadMayChangeSoManyRowsAndNotOneMore) {
  pb::BulkInsertRequest first = Header();
  first.set_max_affected_rows(2);
  const auto load = Load({first, Items({1, 2}), Items({3})});
  EXPECT_THAT(load, Fails(absl::StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_THAT(load, WasExecuted("rolled_back"));
  EXPECT_EQ(errors::MetadataOf(load.status(), "rows_affected"), "3");
  EXPECT_EQ(errors::MetadataOf(load.status(), "max_affected_rows"), "2");
  EXPECT_EQ(Count(), 0);
  EXPECT_THAT(Load({first, Items({1}), Items({2})}), IsOk());
}

TEST_F(BulkServiceTest, InTheOtherModesTheBoundIsThatOfAChunk) {
  pb::BulkInsertRequest first = Header(pb::BATCH_MODE_CONTINUE);
  first.set_max_affected_rows(2);
  const auto load = Load({first, Items({1, 2}), Items({3, 4, 5}), Items({6, 7})});
  ASSERT_THAT(load, IsOk());
  EXPECT_EQ(load->chunks(1).error().reason(), "AFFECTED_ROWS_EXCEEDED");
  EXPECT_EQ(load->chunks_failed(), 1);
  EXPECT_EQ(Count(), 4);
}

TEST_F(BulkServiceTest, ATrialAnswersInEveryModeAndLeavesNothing) {
  for (const pb::BatchMode mode : kModes) {
    pb::BulkInsertRequest first = Header(mode);
    first.set_validate_only(true);
    const auto load = Load({first, Items({1, 2}), Items({3})});
    ASSERT_THAT(load, IsOk());
    EXPECT_EQ(load->rows_affected(), 3);
    EXPECT_EQ(Count(), 0);
  }
}

}  // namespace
}  // namespace sluice::services
