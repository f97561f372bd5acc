// The client library in one page: a query with parameters, a stream, a transaction, and an error
// taken apart.
#include <iostream>

#include "client/client.h"

using sluice::client::Get;
using sluice::client::MakeQuery;
using sluice::client::MakeStreamQuery;
using sluice::client::ThenCommit;
using sluice::client::Transaction;

int main(int argc, char** argv) {
  auto client = sluice::client::Client::Connect(argc > 1 ? argv[1] : "127.0.0.1:50051");
  if (!client.ok()) return std::cerr << client.status().message() << '\n', 2;

  const auto result = client->Query(MakeQuery("SELECT upper(?), ? + 1", "sluice", 41));
  if (!result.ok()) return std::cerr << result.status().message() << '\n', 1;
  const sluice::v1::Row& row = result->rows(0);
  std::cout << Get<std::string>(row.values(0)).value_or("?") << ' '
            << Get<int64_t>(row.values(1)).value_or(0) << '\n';

  auto stream = client->StreamQuery(MakeStreamQuery(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n",
      100000));
  if (!stream.ok()) return std::cerr << stream.status().message() << '\n', 1;
  int64_t sum = 0;
  auto next = (*stream)->Next();
  for (; next.ok() && *next != nullptr; next = (*stream)->Next()) {
    sum += Get<int64_t>((*next)->values(0)).value_or(0);
  }
  if (!next.ok()) return std::cerr << next.status().message() << '\n', 1;
  std::cout << (*stream)->Summary().row_count() << " rows, sum " << sum << '\n';

  for (const char* sql : {"CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, balance)",
                          "INSERT OR REPLACE INTO account VALUES (1, 100), (2, 0)"}) {
    const auto done = client->Query(MakeQuery(sql));
    if (!done.ok()) return std::cerr << done.status().message() << '\n', 1;
  }
  // Run again, as a whole, if it meets a conflict.
  const absl::Status moved = RunTransaction(*client, {}, [](Transaction& transaction) {
    const char* const change = "UPDATE account SET balance = balance + ? WHERE id = ?";
    const auto taken = transaction.Query(MakeQuery(change, -30, 1));
    if (!taken.ok()) return taken.status();
    return transaction.Query(ThenCommit(MakeQuery(change, 30, 2))).status();
  });
  if (!moved.ok()) return std::cerr << moved.message() << '\n', 1;
  std::cout << "30 moved from account 1 to account 2\n";

  const auto failed = client->Query(MakeQuery("SELEC 1"));
  const auto error = sluice::client::DecodeError(failed.status());
  std::cout << error.reason << ", executed: " << ExecutedName(error.executed) << '\n';
}
