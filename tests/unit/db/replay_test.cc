#include "server/db/replay.h"

#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/support/matchers.h"

namespace sluice::db {
namespace {

using test::Fails;
using test::IsOk;

Rows FullRows() {
  Rows rows;
  rows.wire = std::string("\x0a\0wire\xff", 7);
  rows.count = 3;
  rows.has_columns = true;
  rows.truncated = true;
  rows.end = true;
  rows.rows_affected = std::numeric_limits<int64_t>::max();
  rows.last_insert_rowid = -5;
  rows.command_tag = "INSERT 0 3";
  return rows;
}

absl::Status FullFailure() {
  absl::Status failure(absl::StatusCode::kAlreadyExists, "it is there already");
  failure.SetPayload("sluice/reason", absl::Cord("SQL_ERROR"));
  failure.SetPayload("sluice/meta/executed", absl::Cord("rolled_back"));
  failure.SetPayload("empty", absl::Cord());
  return failure;
}

BatchResults Mixed() {
  BatchResults results;
  results.emplace_back(FullRows());
  results.emplace_back(FullFailure());
  results.emplace_back(Rows());
  results.emplace_back(absl::UnknownError(""));
  return results;
}

void ExpectSame(const Rows& one, const Rows& other) {
  EXPECT_EQ(one.wire, other.wire);
  EXPECT_EQ(one.count, other.count);
  EXPECT_EQ(one.has_columns, other.has_columns);
  EXPECT_EQ(one.truncated, other.truncated);
  EXPECT_EQ(one.end, other.end);
  EXPECT_EQ(one.rows_affected, other.rows_affected);
  EXPECT_EQ(one.last_insert_rowid, other.last_insert_rowid);
  EXPECT_EQ(one.command_tag, other.command_tag);
}

void ExpectSame(const BatchResults& one, const BatchResults& other) {
  ASSERT_EQ(one.size(), other.size());
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].status(), other[i].status()) << i;
    if (one[i].ok() && other[i].ok()) ExpectSame(*one[i], *other[i]);
  }
}

TEST(Replay, WhatWasPackedComesBack) {
  const auto unpacked = UnpackReply(PackReply(Mixed()));
  ASSERT_THAT(unpacked, IsOk());
  ExpectSame(*unpacked, Mixed());
  EXPECT_EQ(errors::MetadataOf((*unpacked)[1].status(), "executed"), "rolled_back");

  const auto nothing = UnpackReply(PackReply({}));
  ASSERT_THAT(nothing, IsOk());
  EXPECT_TRUE(nothing->empty());
}

TEST(Replay, EveryFlagIsItsOwn) {
  for (int flags = 0; flags < 8; ++flags) {
    Rows rows;
    rows.has_columns = (flags & 1) != 0;
    rows.truncated = (flags & 2) != 0;
    rows.end = (flags & 4) != 0;
    BatchResults results;
    results.emplace_back(rows);
    const auto unpacked = UnpackReply(PackReply(results));
    ASSERT_THAT(unpacked, IsOk());
    ExpectSame(*unpacked, results);
  }
}

TEST(Replay, ALargeAnswerAndManyResultsComeBack) {
  BatchResults results;
  for (int i = 0; i < 10'000; ++i) {
    Rows& rows = *results.emplace_back(Rows());
    rows.last_insert_rowid = i;
  }
  results.front()->wire = std::string(1 << 20, 'x');
  const auto unpacked = UnpackReply(PackReply(results));
  ASSERT_THAT(unpacked, IsOk());
  ExpectSame(*unpacked, results);
}

// Bytes of the first version, as databases hold them. They may never change.
TEST(Replay, WhatTheFirstVersionPackedIsRead) {
  BatchResults results;
  Rows& rows = *results.emplace_back(Rows());
  rows.wire = "wire";
  rows.count = 1;
  rows.has_columns = true;
  rows.truncated = true;
  rows.rows_affected = 300;
  rows.last_insert_rowid = 7;
  rows.command_tag = "TAG";
  absl::Status failure(absl::StatusCode::kNotFound, "no");
  failure.SetPayload("k", absl::Cord("v"));
  results.emplace_back(failure);
  const std::string stored = absl::HexStringToBytes(
      "0102"
      "0601ac0207"
      "03544147"
      "0477697265"
      "0105026e6f"
      "01016b0176");
  const auto unpacked = UnpackReply(stored);
  ASSERT_THAT(unpacked, IsOk());
  ExpectSame(*unpacked, results);
  EXPECT_EQ(PackReply(results), stored);
}

TEST(Replay, OtherBytesAreRefused) {
  const std::string packed = PackReply(Mixed());
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_THAT(UnpackReply(packed.substr(0, size)), Fails(absl::StatusCode::kInternal, "INTERNAL"))
        << size;
  }
  EXPECT_THAT(UnpackReply(packed + "x"), Fails(absl::StatusCode::kInternal, "INTERNAL"));
  std::string later = packed;
  later[0] = 2;
  EXPECT_THAT(UnpackReply(later), Fails(absl::StatusCode::kInternal, "INTERNAL"));
  const std::string endless = absl::HexStringToBytes("01ffffffff0f");
  EXPECT_THAT(UnpackReply(endless), Fails(absl::StatusCode::kInternal, "INTERNAL"));
  const std::string long_text = absl::HexStringToBytes("01010000000000ffffffff07");
  EXPECT_THAT(UnpackReply(long_text), Fails(absl::StatusCode::kInternal, "INTERNAL"));
}

TEST(Replay, DamagedBytesHarmNobody) {
  const std::string packed = PackReply(Mixed());
  std::minstd_rand random(3);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = packed;
    for (auto flips = 1 + random() % 4; flips > 0; --flips) {
      damaged[random() % damaged.size()] ^= static_cast<char>(1 + random() % 255);
    }
    const auto unpacked = UnpackReply(damaged);
    if (!unpacked.ok()) ++refused;
    if (unpacked.ok()) EXPECT_THAT(UnpackReply(PackReply(*unpacked)), IsOk());
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace sluice::db
