// Answers: what a server sends for the messages of one trip, made into results.
#ifndef SLUICE_SERVER_DB_POSTGRES_ANSWERS_H_
#define SLUICE_SERVER_DB_POSTGRES_ANSWERS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"

#include "server/db/postgres/input.h"
#include "server/db/postgres/protocol.h"
#include "server/db/postgres/result.h"

namespace sluice::postgres {

// Whether the session is in a transaction, as the server says at each Sync.
enum class Block { kNone, kOpen, kFailed, kUnknown };

using Results = absl::InlinedVector<Result, 3>;

// Takes what the protocol has at each place and nothing else, so that no answer is ever taken for
// another's. The reactor's thread only.
class Answers {
 public:
  // Results are kept whole until their trip has ended: what it brings may take so much, in bytes.
  static constexpr int64_t kMost = int64_t{128} << 20;

  // A message that has a result, and what comes for it, in this order.
  struct Expected {
    bool parse = false;
    bool bind = false;
    bool parameters = false;
    bool columns = false;  // or that there are none
    bool execution = false;
    std::shared_ptr<const Columns> shape;  // of its rows, if that is known
  };

  enum class Taken {
    kMore,     // it goes on
    kCopyIn,   // the server waits for what a COPY reads
    kReady,    // the trip has ended
    kTooMuch,  // more than may be kept
    kStrange,  // no server says this here
  };

  void Expect(Expected expected) { expected_.push_back(std::move(expected)); }

  // How many messages that have a result there are.
  size_t expected() const { return expected_.size(); }

  // Commands in the simple protocol, which have no rows; how many results there will be is not
  // known.
  void ExpectCommands() { simple_ = true; }

  // Takes a message, which is in `buffer`, and appends its result to `results`, if that is
  // complete. Not for notices, settings and notifications, which may come anywhere.
  Taken Take(const ServerMessage& message,
             const std::shared_ptr<const Input::Buffer>& buffer,
             Results& results);

  // The server skips what is left, up to the end of the trip.
  bool failed() const { return failed_; }

  // After kReady.
  Block block() const { return block_; }

 private:
  // These answer false for what is strange.
  bool TakeStep(Expected& expected,
                const ServerMessage& message,
                const std::shared_ptr<const Input::Buffer>& buffer,
                Results& results);
  bool TakeParameters(absl::string_view body);
  bool TakeColumns(const ServerMessage& message);
  bool TakeRow(absl::string_view body, const std::shared_ptr<const Input::Buffer>& buffer);
  bool TakeEnd(const ServerMessage& message, Results& results);
  bool TakeError(absl::string_view body, Results& results);
  bool TakeReady(absl::string_view body, Results& results);
  void End(Result::Kind kind, Results& results);

  absl::InlinedVector<Expected, 3> expected_;
  bool simple_ = false;
  bool failed_ = false;
  Block block_ = Block::kUnknown;
  Result next_;                          // the one that is not complete
  const Input::Buffer* last_ = nullptr;  // that a result keeps
  int64_t kept_ = 0;                     // bytes
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_ANSWERS_H_
