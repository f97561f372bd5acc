// Timeline: which history of its database a session writes, and what became of a transaction in it.
#ifndef SLUICE_SERVER_DB_POSTGRES_TIMELINE_H_
#define SLUICE_SERVER_DB_POSTGRES_TIMELINE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/db/postgres/result.h"
#include "server/db/transaction.h"

namespace sluice::postgres {

// A standby that takes over from its primary goes on in a timeline of its own, and gives the
// numbers of transactions that did not reach it to others. So does a server that lost what was not
// yet on its disk, in the same timeline.
struct Timeline {
  std::string system;  // the identifier of its cluster
  std::string number;  // eight hexadecimal digits
  std::string start;   // another after each crash, and now and then for no reason
};

// Asks a session for it. Fails where the server is no PostgreSQL; nothing while it is a standby.
extern const absl::string_view kTimelineSql;
std::optional<Timeline> TimelineIn(const Result& result);

// What is asked beside the statements of callers, so often that it is prepared.
enum class Question {
  kNumber,      // a transaction for its number; empty: it has written nothing
  kDurability,  // a transaction what its COMMIT will wait for
};

absl::string_view SqlOf(Question question);

std::string NumberIn(const Result& result);
db::Durability DurabilityIn(const Result& result);

// What is told of a COMMIT whose answer was lost, to ask by. Nothing in it is a secret: who may ask
// may ask the database itself.
struct OutcomeToken {
  std::string request;  // id of the key that was stored with it; empty: there was none
  std::string number;   // empty: not known
  Timeline timeline;    // of the number
};

std::string Pack(const OutcomeToken& token);
// Error: PARAMETER_INVALID on `outcome_token`.
absl::StatusOr<OutcomeToken> Unpack(absl::string_view text);

// Asks what became of a transaction, by its number and the timeline's system and number. No row:
// the server goes on in another.
extern const absl::string_view kOutcomeSql;
// `start`: of the timeline, when the transaction ran.
db::Outcome OutcomeIn(const Result& result, absl::string_view start);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_TIMELINE_H_
