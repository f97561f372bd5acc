// Returning early on errors, in plain functions (TRY) and in coroutines (CO_TRY).
#ifndef SLUICE_SERVER_BASE_STATUS_H_
#define SLUICE_SERVER_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define SLUICE_CONCAT_INNER(a, b) a##b
#define SLUICE_CONCAT(a, b) SLUICE_CONCAT_INNER(a, b)

#define SLUICE_TRY_IMPL(result, return_keyword, lhs, ...) \
  auto result = (__VA_ARGS__);                            \
  if (!result.ok()) [[unlikely]]                          \
    return_keyword std::move(result).status();            \
  lhs = *std::move(result)

// TRY(const auto file, Open(path)): the value, or return with the error. A statement, never an
// expression.
#define TRY(lhs, ...) SLUICE_TRY_IMPL(SLUICE_CONCAT(try_, __LINE__), return, lhs, __VA_ARGS__)
// The same in a coroutine.
#define CO_TRY(lhs, ...) SLUICE_TRY_IMPL(SLUICE_CONCAT(try_, __LINE__), co_return, lhs, __VA_ARGS__)

#define SLUICE_CHECK_IMPL(status, return_keyword, ...) \
  auto status = (__VA_ARGS__);                         \
  if (!status.ok()) [[unlikely]]                       \
  return_keyword status

// TRY_STATUS(Check(request)): go on, or return with the error.
#define TRY_STATUS(...) SLUICE_CHECK_IMPL(SLUICE_CONCAT(check_, __LINE__), return, __VA_ARGS__)
// The same in a coroutine.
#define CO_CHECK(...) SLUICE_CHECK_IMPL(SLUICE_CONCAT(check_, __LINE__), co_return, __VA_ARGS__)

#endif  // SLUICE_SERVER_BASE_STATUS_H_
