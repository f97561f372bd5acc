#include "server/services/request_id.h"

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/services/store_fixture.h"

namespace sluice::services {
namespace {

using test::IsOk;

constexpr char kId[] = "123e4567-e89b-12d3-a456-426614174abc";

core::Connections::Entry Connection(absl::string_view handle = "h_1") {
  core::Connections::Entry connection;
  connection.handle = std::string(handle);
  return connection;
}

template <class Request>
db::RequestKey KeyOf(const Request& request, absl::string_view handle = "h_1") {
  const auto key = RequestKeyOf(Connection(handle), request);
  EXPECT_THAT(key, IsOk());
  EXPECT_TRUE(key.ok() && key->has_value());
  return key.ok() && key->has_value() ? **key : db::RequestKey();
}

pb::QueryRequest Keyed(absl::string_view id = kId) {
  pb::QueryRequest request;
  request.set_sql("INSERT INTO item VALUES (1, 'item')");
  request.set_request_id(std::string(id));
  return request;
}

TEST(RequestId, ARequestWithoutOneHasNoKey) {
  EXPECT_EQ(RequestKeyOf(Connection(), pb::QueryRequest())->has_value(), false);
  EXPECT_EQ(RequestKeyOf(Connection(), pb::StreamQueryRequest())->has_value(), false);
  EXPECT_EQ(RequestKeyOf(Connection(), pb::ExecuteBatchRequest())->has_value(), false);
  EXPECT_EQ(RequestKeyOf(Connection(), pb::BulkInsertRequest())->has_value(), false);
}

TEST(RequestId, AnIdIsAUuidInEitherCase) {
  const db::RequestKey key = KeyOf(Keyed());
  EXPECT_EQ(key.id,
            std::string("\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x14\x17\x4a\xbc"));
  EXPECT_EQ(key.scope.size(), 16U);
  EXPECT_EQ(key.content.size(), 32U);
  EXPECT_EQ(key.part, 0);
  EXPECT_EQ(KeyOf(Keyed(absl::AsciiStrToUpper(kId))).id, key.id);
}

TEST(RequestId, NothingElseIsAnId) {
  const std::string id = kId;
  for (const std::string& wrong : std::vector<std::string>{
           id.substr(1), id + "0", "{" + id.substr(2) + "}", " " + id.substr(1), "g" + id.substr(1),
           "123e45670e89b-12d3-a456-426614174abc", "123e4567-e89b-12d3-a456-42661417-abc",
           "123e4567e89b12d3a456426614174abc", std::string(36, '-'), std::string(35, '0') + '\0'}) {
    EXPECT_EQ(InvalidField(RequestKeyOf(Connection(), Keyed(wrong)).status()), "request_id")
        << wrong;
  }
  pb::BulkInsertRequest load;
  load.set_request_id("once");
  EXPECT_EQ(InvalidField(RequestKeyOf(Connection(), load).status()), "request_id");
}

TEST(RequestId, ItHoldsForItsConnection) {
  EXPECT_EQ(KeyOf(Keyed(), "h_1").scope, KeyOf(Keyed(), "h_1").scope);
  EXPECT_NE(KeyOf(Keyed(), "h_1").scope, KeyOf(Keyed(), "h_2").scope);
}

TEST(RequestId, IdLabelsAndRetriesAreNoContent) {
  const std::string content = KeyOf(Keyed()).content;
  pb::QueryRequest other = Keyed("00000000-0000-0000-0000-000000000000");
  (*other.mutable_labels())["job"] = "nightly";
  other.mutable_retry()->set_max_attempts(1);
  EXPECT_EQ(KeyOf(other).content, content);
}

TEST(RequestId, EverythingElseIsContent) {
  const std::vector<std::function<void(pb::QueryRequest&)>> changes = {
      [](pb::QueryRequest& /*request*/) {},
      [](pb::QueryRequest& request) { request.set_connection_id("default"); },
      [](pb::QueryRequest& request) { request.mutable_sql()->append(" "); },
      [](pb::QueryRequest& request) { request.add_params(); },
      [](pb::QueryRequest& request) { request.add_params()->set_int64_value(1); },
      [](pb::QueryRequest& request) { request.add_params()->set_double_value(1); },
      [](pb::QueryRequest& request) { request.add_params()->set_string_value("1"); },
      [](pb::QueryRequest& request) { (*request.mutable_named_params())["a"]; },
      [](pb::QueryRequest& request) { (*request.mutable_named_params())["b"]; },
      [](pb::QueryRequest& request) { request.set_max_rows(1); },
      [](pb::QueryRequest& request) { request.set_max_bytes(1); },
      [](pb::QueryRequest& request) { request.set_max_affected_rows(1); },
      [](pb::QueryRequest& request) { request.set_read_only(true); },
      [](pb::QueryRequest& request) { request.set_validate_only(true); },
  };
  std::set<std::string> contents;
  for (const auto& change : changes) {
    pb::QueryRequest request = Keyed();
    change(request);
    contents.insert(KeyOf(request).content);
  }
  EXPECT_EQ(contents.size(), changes.size());
}

TEST(RequestId, NamedValuesHaveNoOrder) {
  pb::QueryRequest up = Keyed();
  pb::QueryRequest down = Keyed();
  for (int i = 0; i < 100; ++i) {
    (*up.mutable_named_params())[absl::StrCat("p", i)].set_int64_value(i);
    (*down.mutable_named_params())[absl::StrCat("p", 99 - i)].set_int64_value(99 - i);
  }
  EXPECT_EQ(KeyOf(up).content, KeyOf(down).content);
}

TEST(RequestId, MethodsAreToldApart) {
  const pb::QueryRequest query = Keyed();
  pb::StreamQueryRequest stream;
  ASSERT_TRUE(stream.ParseFromString(query.SerializeAsString()));
  EXPECT_EQ(stream.sql(), query.sql());
  EXPECT_EQ(KeyOf(stream).id, KeyOf(query).id);
  EXPECT_NE(KeyOf(stream).content, KeyOf(query).content);
}

TEST(RequestId, TheContentOfALoadIsAllThatCame) {
  pb::BulkInsertRequest one;
  one.add_rows()->add_values()->set_int64_value(1);
  pb::BulkInsertRequest two;
  two.add_rows()->add_values()->set_int64_value(2);
  pb::BulkInsertRequest both = one;
  *both.add_rows() = two.rows(0);
  const std::string in_order = ContentOf(ContentOf("", one), two);
  EXPECT_EQ(in_order, ContentOf(ContentOf("", one), two));
  EXPECT_NE(in_order, ContentOf(ContentOf("", two), one));
  EXPECT_NE(in_order, ContentOf("", both)) << "chunks are part of it";
  EXPECT_NE(in_order, ContentOf("", two));

  pb::BulkInsertRequest labelled = one;
  (*labelled.mutable_labels())["job"] = "nightly";
  EXPECT_EQ(ContentOf("", labelled), ContentOf("", one));
  EXPECT_EQ(ContentOf(in_order, labelled), ContentOf(in_order, one));
  labelled.set_table("item");
  EXPECT_NE(ContentOf("", labelled), ContentOf("", one));
}

}  // namespace
}  // namespace sluice::services
