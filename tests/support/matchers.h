// Matchers for statuses.
#ifndef SLUICE_TESTS_SUPPORT_MATCHERS_H_
#define SLUICE_TESTS_SUPPORT_MATCHERS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"

#include "server/base/errors.h"

namespace sluice::test {

inline const absl::Status& StatusOf(const absl::Status& status) {
  return status;
}

template <class T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// EXPECT_THAT(result, IsOk());
MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

// EXPECT_THAT(result, Fails(absl::StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
MATCHER_P2(Fails, code, reason, "fails as expected") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code && errors::ReasonOf(StatusOf(arg)) == reason;
}

// EXPECT_THAT(result, WasExecuted("rolled_back"));
MATCHER_P(WasExecuted, executed, "says what became of the work") {
  *result_listener << StatusOf(arg).ToString();
  return errors::MetadataOf(StatusOf(arg), "executed") == executed;
}

}  // namespace sluice::test

#endif  // SLUICE_TESTS_SUPPORT_MATCHERS_H_
