#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/db/postgres/types.h"

namespace sluice::postgres {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

Type Make(Oid oid, Form form, Oid inner = 0, const std::vector<Oid>& fields = {}) {
  Type type;
  type.oid = oid;
  type.name = "made";
  type.form = form;
  type.inner = inner;
  for (const Oid field : fields) type.fields.push_back({"field", field});
  return type;
}

std::vector<Oid> Missing(const TypeBook& book, Oid oid) {
  std::vector<Oid> missing;
  book.AppendMissing(oid, missing);
  return missing;
}

TEST(PostgresTypes, BuiltInTypesAreKnownFromTheStart) {
  const TypeBook book;
  const Type* const integers = book.Find(1007);
  ASSERT_NE(integers, nullptr);
  EXPECT_EQ(integers->name, "integer[]");
  EXPECT_EQ(integers->form, Form::kArray);
  EXPECT_EQ(integers->inner, 23u);
  EXPECT_EQ(integers->delimiter, ',');
  EXPECT_EQ(book.Find(1020)->delimiter, ';') << "box[]";
  EXPECT_EQ(book.Find(4532)->inner, 3906u) << "nummultirange";
  EXPECT_EQ(book.Find(16384), nullptr);
  EXPECT_EQ(book.Find(0), nullptr);
}

TEST(PostgresTypes, ABuiltInTypeStaysAsItIs) {
  TypeBook book;
  book.Add(Make(23, Form::kString));
  EXPECT_EQ(book.Find(23)->form, Form::kInt4);
}

TEST(PostgresTypes, ALearnedTypeIsReplacedWhereItStands) {
  TypeBook book;
  book.Add(Make(20000, Form::kComposite, 0, {23}));
  const Type* const type = book.Find(20000);
  for (Oid oid = 20001; oid < 21000; ++oid) book.Add(Make(oid, Form::kString));
  book.Add(Make(20000, Form::kComposite, 0, {23, 25}));
  EXPECT_EQ(book.Find(20000), type);
  EXPECT_EQ(type->fields.size(), 2u);
}

TEST(PostgresTypes, WhatATypeIsMadeOfIsMissingToo) {
  TypeBook book;
  EXPECT_THAT(Missing(book, 23), IsEmpty());
  EXPECT_THAT(Missing(book, 20000), ElementsAre(20000));
  book.Add(Make(20000, Form::kArray, 20001));
  EXPECT_THAT(Missing(book, 20000), ElementsAre(20001));
  book.Add(Make(20001, Form::kComposite, 0, {23, 20002, 20003, 20002}));
  EXPECT_THAT(Missing(book, 20000), UnorderedElementsAre(20002, 20003));
  book.Add(Make(20002, Form::kDomain, 25));
  book.Add(Make(20003, Form::kRange, 20002));
  EXPECT_THAT(Missing(book, 20000), IsEmpty());
}

TEST(PostgresTypes, WhatIsOnTheListAlreadyIsNotPutThereAgain) {
  const TypeBook book;
  std::vector<Oid> missing;
  for (const Oid oid : {20000, 20001, 20000}) book.AppendMissing(oid, missing);
  EXPECT_THAT(missing, ElementsAre(20000, 20001));
}

TEST(PostgresTypes, ATypeMadeOfItselfEndsTheSearch) {
  TypeBook book;
  book.Add(Make(20000, Form::kComposite, 0, {25, 20001, 20002}));
  book.Add(Make(20001, Form::kArray, 20000));
  book.Add(Make(20002, Form::kDomain, 20002));
  EXPECT_THAT(Missing(book, 20000), IsEmpty());
  EXPECT_TRUE(book.HasBinary(20000));
  EXPECT_EQ(book.Base(20002), nullptr);
  EXPECT_EQ(book.ValueTypeOf(20002), pb::VALUE_TYPE_RAW);
}

TEST(PostgresTypes, BinaryNeedsADecoderForEveryPart) {
  TypeBook book;
  EXPECT_TRUE(book.HasBinary(23));
  EXPECT_TRUE(book.HasBinary(2249)) << "record";
  EXPECT_FALSE(book.HasBinary(869)) << "inet";
  EXPECT_FALSE(book.HasBinary(1041)) << "inet[]";
  EXPECT_FALSE(book.HasBinary(20000)) << "not known";
  book.Add(Make(20000, Form::kComposite, 0, {23, 1007}));
  book.Add(Make(20001, Form::kComposite, 0, {20000, 1041}));
  book.Add(Make(20002, Form::kDomain, 20001));
  EXPECT_TRUE(book.HasBinary(20000));
  EXPECT_FALSE(book.HasBinary(20001));
  EXPECT_FALSE(book.HasBinary(20002));
}

TEST(PostgresTypes, TheContractsTypeIsThatOfTheBase) {
  TypeBook book;
  book.Add(Make(20000, Form::kDomain, 20001));
  EXPECT_EQ(book.ValueTypeOf(20000), pb::VALUE_TYPE_RAW) << "its base is not known yet";
  book.Add(Make(20001, Form::kDomain, 1700));
  EXPECT_EQ(book.ValueTypeOf(20000), pb::VALUE_TYPE_NUMERIC);
  EXPECT_EQ(book.Base(20000), book.Find(1700));
}

TEST(PostgresTypes, EveryFormHasATypeOfTheContract) {
  const std::pair<Oid, pb::ValueType> cases[] = {
      {16, pb::VALUE_TYPE_BOOL},          {17, pb::VALUE_TYPE_BYTES},
      {20, pb::VALUE_TYPE_INT64},         {21, pb::VALUE_TYPE_INT64},
      {22, pb::VALUE_TYPE_ARRAY},         {25, pb::VALUE_TYPE_STRING},
      {26, pb::VALUE_TYPE_INT64},         {114, pb::VALUE_TYPE_JSON},
      {142, pb::VALUE_TYPE_STRING},       {700, pb::VALUE_TYPE_FLOAT},
      {701, pb::VALUE_TYPE_DOUBLE},       {869, pb::VALUE_TYPE_STRING},
      {1009, pb::VALUE_TYPE_ARRAY},       {1082, pb::VALUE_TYPE_DATE},
      {1083, pb::VALUE_TYPE_TIME},        {1114, pb::VALUE_TYPE_TIMESTAMP},
      {1184, pb::VALUE_TYPE_TIMESTAMPTZ}, {1186, pb::VALUE_TYPE_INTERVAL},
      {1266, pb::VALUE_TYPE_STRING},      {1700, pb::VALUE_TYPE_NUMERIC},
      {2249, pb::VALUE_TYPE_COMPOSITE},   {2278, pb::VALUE_TYPE_UNSPECIFIED},
      {2950, pb::VALUE_TYPE_UUID},        {3802, pb::VALUE_TYPE_JSON},
      {3904, pb::VALUE_TYPE_RANGE},       {4451, pb::VALUE_TYPE_RANGE},
      {5069, pb::VALUE_TYPE_INT64},       {20000, pb::VALUE_TYPE_RAW}};
  const TypeBook book;
  for (const auto& [oid, expected] : cases) EXPECT_EQ(book.ValueTypeOf(oid), expected) << oid;
}

}  // namespace
}  // namespace sluice::postgres
