// Work: rows that go into a table through COPY.
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/postgres/work.h"

namespace sluice::postgres {

Task<absl::StatusOr<Held>> Work::Hold(Caller& caller,
                                      std::string sql,
                                      std::string question,
                                      ParameterValues values) {
  CO_CHECK(co_await Enter(caller));
  Connection& connection = lease_.connection();
  const auto description = static_cast<size_t>(SendPending()) + 1;
  // What is compiled locks its tables, like what runs, until what it is in ends.
  connection.Prepare("", sql, {});
  connection.Describe("");
  connection.Run(question, values, Format::kText);
  const Trial trial = co_await runner().Go(lease_, caller, nullptr, 0, SettingOf());
  if (!trial.status.ok()) {
    absl::Status failure = co_await AfterFailure(caller, trial.status);
    co_return failure;
  }
  Held held;
  const Result& described = trial.trip->results[description];
  for (int i = 0; i < described.parameters(); ++i) held.types.push_back(described.parameter(i));
  const Result& answer = trial.trip->results[description + 1];
  if (answer.rows() == 1) held.answer = std::string(answer.text(0, 0));
  co_return held;
}

Task<absl::StatusOr<std::shared_ptr<Trip>>> Work::SendCopy(Caller& caller,
                                                           std::string sql,
                                                           std::string data) {
  CO_CHECK(co_await Enter(caller));
  std::string commands;
  for (const std::string& command : pending_) absl::StrAppend(&commands, command, "; ");
  commands += sql;
  pending_.clear();
  begun_ = true;
  Connection& connection = lease_.connection();
  connection.Copy(commands, std::move(data));
  connection.set_counted(true);  // by a column's default
  co_return connection.Sync();
}

Task<absl::Status> Work::AwaitCopy(Caller& caller, std::shared_ptr<Trip> copy, int64_t& affected) {
  // It may have ended since.
  if (state_ == State::kGone) co_return why_.ok() ? errors::TransactionFailed() : why_;
  Trial trial;
  trial.trip = std::move(copy);
  trial.end = co_await lease_.Await(trial.trip, caller);
  if (trial.end != Trip::End::kDone) {
    trial.status = runner().WhyLost(trial, caller, SettingOf());
  }
  for (const Result& result : trial.trip->results) {
    if (!trial.status.ok() || !result.failed()) continue;
    trial.status = runner().Why(result, caller, SettingOf(), lease_.connection().demoted());
  }
  if (!trial.status.ok()) {
    absl::Status failure = co_await AfterFailure(caller, trial.status);
    co_return failure;
  }
  affected = trial.trip->results.back().affected();
  co_return absl::OkStatus();
}

}  // namespace sluice::postgres
