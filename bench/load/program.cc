#include "bench/load/program.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace sluice::bench {
namespace {

double Round(double value) {
  return std::round(value * 1000) / 1000;
}

std::chrono::nanoseconds Seconds(double seconds) {
  return std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9));
}

nlohmann::ordered_json ToJson(const LoadResult& result) {
  const auto calls = static_cast<double>(result.calls);
  nlohmann::ordered_json json = {
      {"calls", result.calls},
      {"errors", result.errors},
      {"first_error", result.first_error},
      {"seconds", Round(result.seconds)},
      {"calls_per_s", Round(result.seconds > 0 ? calls / result.seconds : 0)},
      {"p50_us", Round(result.latency.QuantileMicros(0.5))},
      {"p99_us", Round(result.latency.QuantileMicros(0.99))},
      {"p999_us", Round(result.latency.QuantileMicros(0.999))},
      {"max_us", Round(result.latency.MaxMicros())},
      {"acknowledged", result.acknowledged},
      {"unanswered", result.unanswered},
      {"rows", result.rows},
      {"rows_per_s",
       Round(result.seconds > 0 ? static_cast<double>(result.rows) / result.seconds : 0)},
      {"bytes", result.bytes},
      {"cpu_us_per_call", nullptr},
      {"cpu_us_per_row", nullptr},
      {"client_cpu_us_per_call", nullptr},
  };
  const auto server_micros = static_cast<double>(result.server_cpu_nanos) / 1e3;
  if (result.server_cpu_nanos >= 0) {
    if (result.calls > 0) json["cpu_us_per_call"] = Round(server_micros / calls);
    if (result.rows > 0) {
      json["cpu_us_per_row"] = Round(server_micros / static_cast<double>(result.rows));
    }
  }
  if (result.calls > 0) {
    json["client_cpu_us_per_call"] =
        Round(static_cast<double>(result.client_cpu_nanos) / 1e3 / calls);
  }
  return json;
}

// The option that the method cannot do without; empty if it is there.
std::string Missing(const RequestOptions& request) {
  switch (request.method) {
    case Method::kTpcbCalls:
    case Method::kInteract:
    case Method::kTpcbBatch:
      return "";
    case Method::kBulk:
      return request.table.empty() ? "--table" : "";
    case Method::kQuery:
    case Method::kStream:
      return request.sql.empty() ? "--sql" : "";
    default:
      if (request.sql.empty()) return "--sql";
      return request.keys == 0 ? "--keys" : "";
  }
}

}  // namespace

int RunProgram(const Program& program, int argc, char** argv) {
  LoadOptions options;
  RequestOptions& request = options.request;
  double warm_up = 1;
  double duration = 5;
  CLI::App app(program.description);
  app.set_version_flag("--version", program.version);
  app.add_option("--server", options.server, "Address, for example 127.0.0.1:50051")->required();
  const std::map<std::string, Method> methods = {{"point", Method::kPoint},
                                                 {"insert", Method::kInsert},
                                                 {"batch", Method::kBatch},
                                                 {"point_batch", Method::kPointBatch},
                                                 {"query", Method::kQuery},
                                                 {"stream", Method::kStream},
                                                 {"bulk", Method::kBulk},
                                                 {"tpcb_calls", Method::kTpcbCalls},
                                                 {"interact", Method::kInteract},
                                                 {"tpcb_batch", Method::kTpcbBatch},
                                                 {"transaction_point", Method::kTransactionPoint},
                                                 {"interact_point", Method::kInteractPoint}};
  app.add_option(
         "--method", request.method,
         "point, insert: Query with a random key; batch, point_batch: ExecuteBatch with many; "
         "query, stream: the SQL as it stands; bulk: BulkInsert; tpcb_calls, interact, "
         "tpcb_batch: the transactions of pgbench; transaction_point, interact_point: point in "
         "one read-only transaction")
      ->transform(CLI::CheckedTransformer(methods));
  app.add_option("--sql", request.sql, "Statement; with a key it has one parameter");
  app.add_option("--connection", request.connection_id, "Connection ID")->capture_default_str();
  app.add_option("--table", request.table, "bulk: a table with columns id, name, price, note");
  app.add_option("--keys", request.keys, "Keys are 1 to this")->check(CLI::PositiveNumber);
  app.add_option("--sets", request.sets, "batch, bulk: rows in one; point_batch: reads")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", request.seed, "Seed of the random keys")->capture_default_str();
  app.add_option("--branches", request.tpcb.branches, "pgbench: branches of the database")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--accounts", request.tpcb.accounts, "pgbench: accounts of the database")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--chunk-bytes", request.chunk_bytes, "stream: chunk size asked for");
  app.add_option("--concurrency", options.concurrency, "Calls in flight")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--channels", options.channels, "Connections")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--rate", options.calls_per_second,
                 "Calls started a second; 0: as fast as it goes");
  app.add_option("--calls", options.calls, "End after so many calls, without a warm-up");
  app.add_option("--warmup", warm_up, "Seconds before measuring")->capture_default_str();
  app.add_option("--duration", duration, "Seconds to measure")->capture_default_str();
  app.add_option("--server-pid", options.server_pid, "Process whose CPU time is measured");
  CLI11_PARSE(app, argc, argv);
  const std::string missing = Missing(request);
  if (!missing.empty()) {
    std::fprintf(stderr, "this method needs %s\n", missing.c_str());
    return 2;
  }
  options.warm_up = options.calls > 0 ? std::chrono::nanoseconds(0) : Seconds(warm_up);
  options.duration = options.calls > 0 ? std::chrono::hours(1) : Seconds(duration);

  const LoadResult result = program.run(options);
  std::puts(ToJson(result).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return result.errors == 0 ? 0 : 1;
}

}  // namespace sluice::bench
