// What the services' tests share: reading replies, and a stream's other end.
#ifndef SLUICE_TESTS_UNIT_SERVICES_SUPPORT_H_
#define SLUICE_TESTS_UNIT_SERVICES_SUPPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

#include "server/async/reply.h"
#include "server/async/stream.h"
#include "server/async/task.h"
#include "server/base/errors.h"

namespace sluice::services {

// The message that the peer reads: [head][rows].
template <class M>
M Parsed(const Reply<M>& reply) {
  M message;
  EXPECT_TRUE(message.ParseFromString(reply.head.SerializeAsString() + reply.body));
  return message;
}

// The one field that a PARAMETER_INVALID names, or what else it is.
inline std::string InvalidField(const absl::Status& status) {
  const errors::Parts parts = errors::PartsOf(status);
  if (status.code() != absl::StatusCode::kInvalidArgument || parts.reason != "PARAMETER_INVALID" ||
      parts.fields.size() != 1) {
    return status.ToString();
  }
  return parts.fields[0].first;
}

// Keeps what a task ends with, for a test that carries it on by itself.
inline Task<void> Store(Task<absl::Status> task, absl::Status& status) {
  status = co_await task;
}

// CollectingSink: keeps what a stream sends, and is gone after `limit` messages.
template <class M>
class CollectingSink final : public Sink<Reply<M>> {
 public:
  explicit CollectingSink(size_t limit = SIZE_MAX) : limit_(limit) {}

  Task<bool> Write(Reply<M> reply) override {
    if (messages.size() == limit_) co_return false;
    messages.push_back(Parsed(reply));
    co_return true;
  }

  std::vector<M> messages;

 private:
  const size_t limit_;
};

}  // namespace sluice::services

#endif  // SLUICE_TESTS_UNIT_SERVICES_SUPPORT_H_
