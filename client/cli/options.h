// The command line of `sluice`, read.
#ifndef SLUICE_CLIENT_CLI_OPTIONS_H_
#define SLUICE_CLIENT_CLI_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

#include "client/cli/printer.h"
#include "sluice/v1/common.pb.h"
#include "sluice/v1/query.pb.h"
#include "sluice/v1/value.pb.h"

namespace sluice::cli {

enum class Command {
  kQuery,
  kDescribe,
  kExplain,
  kBatch,
  kImport,
  kBackup,
  kSchemaSchemas,
  kSchemaTables,
  kSchemaDescribe,
  kConnectionsList,
  kConnectionsGet,
  kConnectionsTest,
  kConnectionsRegister,
  kConnectionsKeepRequests,
  kConnectionsClose,
  kTxBegin,
  kTxCommit,
  kTxRollback,
  kTxSavepoint,
  kTxRollbackTo,
  kTxRelease,
  kTxKeep,
  kTxGet,
  kTxList,
  kTxEnd,
  kTxOutcome,
  kHealth,
  kStats,
  kInfo,
};

// The statement of `query`, `describe` and `explain`, and how `query` is to run it.
struct QueryOptions {
  std::string sql;   // the statement, or `-` for standard input
  std::string file;  // or a file that holds it; empty: none
  std::vector<v1::Value> params;
  std::vector<std::pair<std::string, v1::Value>> named_params;
  int64_t max_rows = 0;  // 0: the server's default
  bool stream = false;
  bool read_only = false;
  bool analyze = false;  // of explain: run it and measure
};

// What writes have in common.
struct WriteOptions {
  v1::BatchMode mode = v1::BATCH_MODE_ATOMIC;
  std::string request_id;         // empty: none
  int64_t max_affected_rows = 0;  // 0: no bound
  bool validate_only = false;
};

// What `batch` was asked to run: a script, or one statement with many sets of values.
struct BatchOptions {
  std::string file;         // the script, `-` for standard input; empty: none
  std::string sql;          // the one statement; empty: none
  std::string params_file;  // its sets of values, `-` for standard input
  bool read_only = false;
  WriteOptions write;
};

enum class FileForm { kCsv, kTsv, kNdjson, kSql };

// What `import` was asked to load.
struct ImportOptions {
  std::string file;  // `-` for standard input
  FileForm form = FileForm::kCsv;
  std::string schema;  // empty: the engine's own choice
  std::string table;
  std::vector<std::string> columns;  // empty: those of the header
  bool header = true;
  std::optional<std::string> null_text;
  v1::ConflictAction on_conflict = v1::CONFLICT_ACTION_FAIL;
  std::vector<std::string> key;  // empty: the primary key
  bool create = false;
  int64_t chunk_rows = 0;  // 0: as many as make a good chunk
  WriteOptions write;
};

struct BackupOptions {
  std::string file;
  bool force = false;  // overwrite it
};

struct SchemaOptions {
  std::string schema;  // empty: all, or the engine's own choice
  std::string prefix;
  std::string table;
};

struct RegisterOptions {
  std::string url;
  std::string name;
  bool read_only = false;
  bool must_exist = false;
  bool keep_requests = false;
};

// Which transaction a command is about, and what `tx` is to do with it.
struct TxOptions {
  std::string id;             // empty: none
  std::string handle;         // instead, of get and end
  bool commit = false;        // after the statement, the batch or the load
  std::string savepoint;      // its name
  std::string request_id;     // of commit and outcome; empty: none
  std::string outcome_token;  // empty: none
  v1::TransactionOptions begin;
};

struct Options {
  std::string server = "127.0.0.1:50051";
  std::optional<Format> format;  // none: table on a terminal, else NDJSON
  std::optional<absl::Duration> timeout;
  bool quiet = false;  // no notes on standard error
  Command command = Command::kHealth;
  // Of most commands. Empty: all, of health, stats and tx list; that of the transaction, if there
  // is one.
  std::string connection_id = "default";
  QueryOptions query;
  BatchOptions batch;
  ImportOptions import;
  BackupOptions backup;
  SchemaOptions schema;
  RegisterOptions registration;
  TxOptions tx;
  std::optional<absl::Duration> drain_timeout;  // of connections close
};

// Reads the command line. An exit code instead of options means that the tool is done: help was
// asked for and printed, or the usage is wrong and was explained on standard error.
std::optional<int> ParseOptions(int argc, const char* const* argv, Options* options);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_OPTIONS_H_
