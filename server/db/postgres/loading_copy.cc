// Loading: chunks that go into their table through COPY.
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/postgres/copy_rows.h"
#include "server/db/postgres/loading.h"

namespace sluice::postgres {
namespace {

using errors::Executed;

// Whether COPY does what INSERT does: there are no rules, no policies, no triggers instead of it.
constexpr char kCopiesQuery[] =
    "SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT relrowsecurity FROM "
    "pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1::text)::oid";

// Fewer are inserted in fewer round trips.
constexpr int kFewestToCopy = 32;

}  // namespace

Task<absl::StatusOr<bool>> Loading::MayCopy(Caller& caller,
                                            Work& work,
                                            const db::LoadChunk& chunk,
                                            std::string& data) {
  const absl::Status prepared = co_await Prepare(caller, work);
  if (!prepared.ok()) {
    co_return errors::WithMetadata(prepared, "row", absl::StrCat(chunk.first_row));
  }
  if (!copies_ || chunk.rows->size() < kFewestToCopy) co_return false;
  CO_CHECK(co_await Hold(caller, work));
  const bool encoded = copies_ && Encode(chunk, data);
  co_return encoded;
}

Task<absl::Status> Loading::Hold(Caller& caller, Work& work) {
  // Within a transaction of the caller's, what locks it may be undone at any time.
  const bool held = atomic() && !nested_ && !types_.empty();
  if (held) co_return absl::OkStatus();
  ParameterValues values;
  values.Add(name_, Format::kText);
  CO_TRY(Held now, co_await work.Hold(caller, sql_, kCopiesQuery, std::move(values)));
  types_ = std::move(now.types);
  copies_ = now.answer == "t" && types_.size() == columns_.size();
  co_return absl::OkStatus();
}

bool Loading::Encode(const db::LoadChunk& chunk, std::string& data) {
  std::vector<Oid> missing;  // INSERT learns them
  for (const Oid type : types_) backend_.types().AppendMissing(type, missing);
  if (!missing.empty()) return false;
  if (EncodeRows(backend_.types(), types_, *chunk.rows, format_, data)) return true;
  if (format_ == Format::kText) return false;
  const bool as_text = EncodeRows(backend_.types(), types_, *chunk.rows, Format::kText, data);
  if (as_text) format_ = Format::kText;
  return as_text;
}

Task<absl::StatusOr<std::shared_ptr<Trip>>> Loading::SendCopy(Caller& caller,
                                                              Work& work,
                                                              std::string data) {
  std::string sql = absl::StrCat("COPY ", name_, " (", list_, ") FROM STDIN (FORMAT ",
                                 format_ == Format::kBinary ? "binary" : "text", ")");
  // Which of the rows failed, and how it would have by itself, only INSERT can tell.
  CO_CHECK(co_await work.Guard(caller));
  CO_TRY(std::shared_ptr<Trip> copy,
         co_await work.SendCopy(caller, std::move(sql), std::move(data)));
  co_return copy;
}

Task<std::optional<absl::Status>> Loading::EndCopy(Caller& caller,
                                                   Work& work,
                                                   std::shared_ptr<Trip> copy,
                                                   const db::LoadChunk& chunk,
                                                   int64_t& affected) {
  absl::Status copied;
  {
    const Work::Kept kept(work);
    copied = co_await work.AwaitCopy(caller, std::move(copy), affected);
    const bool again = work.state() == Work::State::kFailed && !caller.stopped();
    if (copied.ok() || again) {
      const absl::Status ended = co_await work.Unguard(caller, /*keep=*/copied.ok());
      if (again && ended.ok()) co_return std::nullopt;
      copied = ended;
    }
  }
  // There is no guard any more to go back to.
  if (work.state() == Work::State::kFailed) co_await work.Fail(caller);
  if (copied.ok() || WasEnded(copied)) co_return copied;
  copied = errors::WithExecuted(std::move(copied), Executed::kRolledBack);
  co_return errors::WithMetadata(std::move(copied), "row", absl::StrCat(chunk.first_row));
}

Task<absl::Status> Loading::InsertAhead(Caller& caller, db::LoadChunk& chunk) {
  // Only the first asks the server, before anything is under way.
  std::string data;
  const absl::StatusOr<bool> copies = co_await MayCopy(caller, *work_, chunk, data);
  CO_CHECK(co_await Land(caller));
  db::ChunkOutcome outcome;
  absl::Status inserted = copies.status();
  if (copies.ok() && *copies) {
    auto copy = co_await SendCopy(caller, *work_, std::move(data));
    if (copy.ok()) {
      flight_.emplace(Flight{std::move(chunk), *std::move(copy)});
      co_return absl::OkStatus();
    }
    inserted = copy.status();
  } else if (copies.ok()) {
    inserted = co_await InsertRows(caller, *work_, chunk, outcome);
  }
  inserted = co_await EndAtomic(caller, std::move(inserted), std::move(outcome));
  co_return inserted;
}

Task<absl::Status> Loading::Land(Caller& caller) {
  if (!flight_.has_value()) co_return absl::OkStatus();
  const Flight flight = *std::move(flight_);
  flight_.reset();
  db::ChunkOutcome outcome;
  std::optional<absl::Status> copied =
      co_await EndCopy(caller, *work_, flight.copy, flight.chunk, outcome.rows_affected);
  if (!copied.has_value()) {
    copied = co_await InsertRows(caller, *work_, flight.chunk, outcome);
  }
  absl::Status inserted = co_await EndAtomic(caller, *std::move(copied), std::move(outcome));
  co_return inserted;
}

}  // namespace sluice::postgres
